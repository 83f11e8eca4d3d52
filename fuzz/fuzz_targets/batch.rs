//! A partition's records in a Produce request: two bytes that choose the rules, then the records.
#![no_main]

use broker::catalog::configs::{TopicCompression, TopicConfigs};
use broker::log::validate::{validate, Rules};
use broker::wire::batch::{crc_ok, BatchHeader, TimestampType};
use broker::wire::compression::decompress;
use broker::wire::record::Records;
use broker::wire::BATCH_HEADER_BYTES;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use pg_kafka_fuzz::signed;

const NOW_MS: i64 = 1_700_000_000_000;
const DECOMPRESSED_BYTES: usize = 8 << 20;

fuzz_target!(|data: &[u8]| {
    let [first, second, records @ ..] = data else { return };
    let rules = Rules {
        timestamp_type: [TimestampType::CreateTime, TimestampType::LogAppendTime][usize::from(first & 1)],
        timestamp_before_max_ms: [i64::MAX, 1000][usize::from(first >> 1 & 1)],
        compacted: first & 4 != 0,
        compression: [
            TopicCompression::Producer,
            TopicCompression::None,
            TopicCompression::Gzip(1),
            TopicCompression::Snappy,
            TopicCompression::Lz4(9),
            TopicCompression::Zstd(1),
        ][usize::from(first >> 4) % 6],
        decompressed_max_bytes: DECOMPRESSED_BYTES,
        ..Rules::new("t", 0, &TopicConfigs::default(), if first & 8 == 0 { 13 } else { 3 })
    };
    // Without it hardly any input would come past the checksum.
    let records = if second & 1 == 0 {
        signed(records)
    } else {
        Bytes::copy_from_slice(records)
    };
    let Ok(valid) = validate(Some(&records), &rules, NOW_MS) else {
        return;
    };
    let header = BatchHeader::parse(&valid.bytes).expect("what is stored has a header");
    assert_eq!(header.size_bytes(), valid.bytes.len(), "what is stored has its size");
    assert!(crc_ok(&valid.bytes), "what is stored has its checksum");
    assert_eq!(header.record_count, header.last_offset_delta + 1);
    let codec = header.compression().expect("a codec");
    let plain =
        decompress(codec, &valid.bytes.slice(BATCH_HEADER_BYTES..), DECOMPRESSED_BYTES).expect("what is stored is readable");
    let read = Records::new(&plain, header.record_count)
        .expect("records")
        .map(|record| record.expect("a record"));
    assert_eq!(read.count() as i64, i64::from(header.record_count));
});
