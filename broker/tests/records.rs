//! Goal: what is written as a batch is read back the same, for every codec; what other writers write is read; no bytes make the
//! readers panic, disagree with each other or exceed their bound.
#![allow(clippy::unwrap_used)]

use std::io::Read;

use broker::wire::batch::{self, BatchError, BatchHeader, Batches, Compression, TimestampType};
use broker::wire::batch_builder::{BatchBuilder, BatchFacts};
use broker::wire::compression::{compress, decompress, CompressionError, Decompressor};
use broker::wire::record::{OwnedRecords, RecordError, Records};
use broker::wire::record_stream::{RecordFacts, RecordStream, StreamError};
use broker::wire::BATCH_HEADER_BYTES;
use bytes::{Bytes, BytesMut};
use kafka_protocol::records::{self as theirs, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions};
use proptest::prelude::*;

const BOUND: usize = 1 << 20;

#[derive(Debug, Clone, PartialEq)]
struct Owned {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

fn blob() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..80),
        (any::<u8>(), 0..3000usize).prop_map(|(byte, n)| vec![byte; n])
    ]
}

fn owned() -> impl Strategy<Value = Owned> {
    let header = (blob(), prop::option::of(blob()));
    let timestamp = prop_oneof![Just(-1i64), any::<i64>(), 1_700_000_000_000i64..1_700_000_100_000];
    (
        timestamp,
        prop::option::of(blob()),
        prop::option::of(blob()),
        prop::collection::vec(header, 0..4),
    )
        .prop_map(|(timestamp, key, value, headers)| Owned {
            timestamp,
            key,
            value,
            headers,
        })
}

fn codec() -> impl Strategy<Value = Compression> {
    prop::sample::select(&Compression::ALL[..])
}

fn encode(facts: BatchFacts, records: &[Owned]) -> Bytes {
    let mut builder = BatchBuilder::new(facts);
    for record in records {
        let headers: Vec<_> = record
            .headers
            .iter()
            .map(|(key, value)| (&key[..], value.as_deref()))
            .collect();
        builder
            .push(record.timestamp, record.key.as_deref(), record.value.as_deref(), headers)
            .unwrap();
    }
    builder.build().unwrap()
}

fn decode(bytes: &Bytes) -> Vec<Owned> {
    let header = BatchHeader::parse(bytes).unwrap();
    let section = decompress(header.compression().unwrap(), &bytes.slice(BATCH_HEADER_BYTES..), BOUND).unwrap();
    let records = Records::new(&section, header.record_count).unwrap();
    records
        .enumerate()
        .map(|(index, record)| {
            let record = record.unwrap();
            assert_eq!(header.offset_of(&record), header.base_offset + index as i64);
            Owned {
                timestamp: header.timestamp_of(record.timestamp_delta),
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: record
                    .headers
                    .iter()
                    .map(|h| (h.key.to_vec(), h.value.map(<[u8]>::to_vec)))
                    .collect(),
            }
        })
        .collect()
}

fn by_slice(section: &Bytes, codec: Compression, count: i32) -> Result<Vec<RecordFacts>, StreamError> {
    let plain = decompress(codec, section, BOUND)?;
    let facts: Result<Vec<_>, RecordError> = Records::new(&plain, count)?
        .map(|record| record.map(RecordFacts::from))
        .collect();
    Ok(facts?)
}

fn by_call(section: &Bytes, codec: Compression, count: i32) -> Result<Vec<RecordFacts>, StreamError> {
    let mut records = OwnedRecords::new(decompress(codec, section, BOUND)?, count)?;
    let mut facts = Vec::new();
    while let Some(record) = records.next_record() {
        facts.push(RecordFacts::from(record?));
    }
    Ok(facts)
}

fn by_stream(section: &Bytes, codec: Compression, count: i32) -> Result<Vec<RecordFacts>, StreamError> {
    RecordStream::new(Decompressor::new(codec, section, BOUND)?, count)?.collect()
}

proptest! {
    #[test]
    fn records_survive_every_codec(records in prop::collection::vec(owned(), 1..20), compression in codec()) {
        let batch = encode(BatchFacts { compression, ..BatchFacts::default() }, &records);
        let header = BatchHeader::parse(&batch).unwrap();
        prop_assert!(batch::crc_ok(&batch));
        prop_assert_eq!(header.size_bytes(), batch.len());
        prop_assert_eq!(header.compression(), Ok(compression));
        prop_assert_eq!(header.record_count as usize, records.len());
        prop_assert_eq!(header.next_offset(), records.len() as i64);
        prop_assert_eq!(&header.to_bytes()[..], &batch[..BATCH_HEADER_BYTES]);
        prop_assert_eq!(decode(&batch), records);
    }

    #[test]
    fn all_readers_agree_on_mutated_sections(
        records in prop::collection::vec(owned(), 1..8),
        compression in codec(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
        count in prop_oneof![Just(None), any::<i32>().prop_map(Some), (0..10i32).prop_map(Some)],
    ) {
        let batch = encode(BatchFacts { compression, ..BatchFacts::default() }, &records);
        let mut section = batch[BATCH_HEADER_BYTES..].to_vec();
        for (index, byte) in changes {
            let at = index.index(section.len());
            section[at] = byte;
        }
        if let Some(cut) = cut {
            section.truncate(cut.index(section.len() + 1));
        }
        let section = Bytes::from(section);
        let count = count.unwrap_or(records.len() as i32);
        let (slice, stream) = (by_slice(&section, compression, count), by_stream(&section, compression, count));
        prop_assert_eq!(&slice, &by_call(&section, compression, count));
        match (slice, stream) {
            (Ok(slice), Ok(stream)) => prop_assert_eq!(slice, stream),
            // Which of several errors is met first depends on when the decompressor is asked.
            (Err(_), Err(_)) => {}
            (slice, stream) => prop_assert!(false, "{slice:?} but {stream:?}"),
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), compression in codec(), count in any::<i32>()) {
        let bytes = Bytes::from(bytes);
        let _ = by_slice(&bytes, compression, count);
        let _ = by_stream(&bytes, compression, count);
        let _ = batch::crc_ok(&bytes);
        let _ = batch::with_timestamp(&bytes, TimestampType::CreateTime, 0);
        prop_assert!(Batches::new(bytes).count() < 10);
    }

    #[test]
    fn any_bytes_survive_every_codec(data in blob(), compression in codec()) {
        let packed = Bytes::from(compress(compression, None, &data).unwrap());
        prop_assert_eq!(&decompress(compression, &packed, data.len()).unwrap()[..], &data[..]);
        if !data.is_empty() {
            prop_assert_eq!(
                decompress(compression, &packed, data.len() - 1),
                Err(CompressionError::TooLarge(data.len() - 1))
            );
        }
    }
}

#[test]
fn batches_are_cut_out_without_copying() {
    let record = Owned {
        timestamp: 5,
        key: None,
        value: Some(b"v".to_vec()),
        headers: vec![],
    };
    let one = encode(BatchFacts::default(), std::slice::from_ref(&record));
    let two = encode(BatchFacts::default(), &[record.clone(), record]);
    let blob = Bytes::from([&one[..], &two[..], &one[..65]].concat());
    let found: Vec<_> = Batches::new(blob.clone()).collect();
    assert_eq!(found.len(), 3);
    assert_eq!(found[0].as_ref().unwrap().1.as_ptr(), blob.as_ptr());
    assert_eq!(found[1].as_ref().unwrap().1, two);
    assert_eq!(
        found[2].as_ref().unwrap_err(),
        &BatchError::Truncated {
            need: one.len(),
            have: 65
        }
    );
}

#[test]
fn a_changed_timestamp_keeps_everything_else() {
    let record = Owned {
        timestamp: 5,
        key: None,
        value: Some(b"v".to_vec()),
        headers: vec![],
    };
    let facts = BatchFacts {
        producer_id: 7,
        producer_epoch: 3,
        base_sequence: 9,
        transactional: true,
        ..BatchFacts::default()
    };
    let before = encode(facts, &[record]);
    let (header, after) = batch::with_timestamp(&before, TimestampType::LogAppendTime, 1234).unwrap();
    assert!(batch::crc_ok(&after));
    assert_eq!(BatchHeader::parse(&after).unwrap(), header);
    assert_eq!(header.timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!(header.timestamp_of(99), 1234);
    assert!(header.is_transactional() && !header.is_control());
    assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (7, 3, 9));
    assert_eq!(after[BATCH_HEADER_BYTES..], before[BATCH_HEADER_BYTES..]);
}

#[test]
fn a_bomb_of_every_codec_stops_at_the_bound() {
    let zeros = vec![0; 64 * BOUND];
    for codec in Compression::ALL {
        let bomb = Bytes::from(compress(codec, None, &zeros).unwrap());
        assert_eq!(
            decompress(codec, &bomb, BOUND),
            Err(CompressionError::TooLarge(BOUND)),
            "{codec:?}"
        );
        let mut stream = Decompressor::new(codec, &bomb, BOUND).unwrap();
        let mut through = 0;
        let mut buffer = [0; 4096];
        let error = loop {
            match stream.read(&mut buffer) {
                Ok(0) => panic!("{codec:?} ended after {through} bytes"),
                Ok(count) => through += count,
                Err(error) => break CompressionError::from_io(error),
            }
        };
        assert_eq!(error, CompressionError::TooLarge(BOUND), "{codec:?}");
        assert!(through <= BOUND, "{codec:?} yielded {through} bytes");
    }
}

/// libzstd itself answers this differently for a large buffer and for a small one.
#[test]
fn a_zstd_frame_without_the_content_it_states_is_refused_by_every_reader() {
    let states_3706_bytes_and_has_none = Bytes::from_static(&[0x28, 0xb5, 0x2f, 0xfd, 0x40, 0x58, 0x7a, 0x0d, 1, 0, 0]);
    for piece_bytes in [1, 1000, 3705, 3706, 1 << 20] {
        let mut stream = Decompressor::new(Compression::Zstd, &states_3706_bytes_and_has_none, BOUND).unwrap();
        assert!(stream.read(&mut vec![0; piece_bytes]).is_err(), "in pieces of {piece_bytes}");
    }
    assert!(decompress(Compression::Zstd, &states_3706_bytes_and_has_none, BOUND).is_err());
}

#[test]
fn raw_snappy_is_read_and_its_claimed_length_is_not_believed() {
    let text = b"the same words, the same words, the same words".repeat(100);
    let raw = snap::raw::Encoder::new().compress_vec(&text).unwrap();
    assert_eq!(
        &decompress(Compression::Snappy, &Bytes::from(raw), BOUND).unwrap()[..],
        &text[..]
    );
    let claims_a_gibibyte = Bytes::from_static(&[0x80, 0x80, 0x80, 0x80, 0x04, 0x00, b'x']);
    let error = decompress(Compression::Snappy, &claims_a_gibibyte, usize::MAX).unwrap_err();
    assert_eq!(
        error,
        CompressionError::Malformed("snappy block that claims more than it can hold".to_owned())
    );
}

#[test]
fn xerial_streams_in_a_row_and_of_several_blocks_are_one() {
    let text: Vec<u8> = (0..100_000u32).flat_map(u32::to_be_bytes).collect();
    let stream = compress(Compression::Snappy, None, &text).unwrap();
    assert!(stream.starts_with(b"\x82SNAPPY\0"));
    let twice = Bytes::from([&stream[..], &stream[..]].concat());
    assert_eq!(
        &decompress(Compression::Snappy, &twice, BOUND).unwrap()[..],
        &text.repeat(2)[..]
    );
    for cut in [17, 19, stream.len() - 1] {
        let cut = Bytes::from(stream[..cut].to_vec());
        assert!(matches!(
            decompress(Compression::Snappy, &cut, BOUND),
            Err(CompressionError::Malformed(_))
        ));
    }
}

#[test]
fn lz4_frames_that_kafka_refuses_are_refused() {
    let frame = compress(Compression::Lz4, None, b"some bytes").unwrap();
    assert_eq!(
        &decompress(Compression::Lz4, &Bytes::from(frame.clone()), BOUND).unwrap()[..],
        b"some bytes"
    );
    for (at, byte) in [(0, 0x02), (4, 0x40), (4, 0xe0), (4, 0x61), (5, 0x30), (5, 0x41)] {
        let mut changed = frame.clone();
        changed[at] = byte;
        assert!(
            matches!(
                decompress(Compression::Lz4, &changed.into(), BOUND),
                Err(CompressionError::Malformed(_))
            ),
            "{at}"
        );
    }
}

#[test]
fn records_say_what_is_wrong_with_them() {
    let check = |section: &[u8], count, expected| {
        let found: Result<Vec<_>, _> = Records::new(section, count).and_then(Iterator::collect);
        assert_eq!(found.unwrap_err(), expected, "{section:?}");
    };
    check(&[], -1, RecordError::RecordCount(-1));
    check(&[], 1, RecordError::Truncated);
    check(&[0xff; 6], 1, RecordError::Varint);
    check(&[1], 1, RecordError::Truncated);
    check(&[12, 0, 0, 0, 1, 1, 0, 0], 1, RecordError::TrailingBytes);
    check(&[14, 0, 0, 0, 1, 1, 0, 0], 1, RecordError::RecordSize);
    check(&[12, 0, 0, 0, 40, 1, 0], 1, RecordError::Truncated);
    check(&[12, 0, 0, 0, 1, 1, 1], 1, RecordError::HeaderCount(-1));
    check(&[12, 0, 0, 0, 1, 1, 20], 1, RecordError::HeaderCount(10));
    check(&[16, 0, 0, 0, 1, 1, 2, 1, 1], 1, RecordError::HeaderKey);
}

/// The records of the files in `fixtures`, which Kafka 4.3.1's `MemoryRecordsBuilder` wrote.
fn fixture_records() -> Vec<Owned> {
    let record = |i: i64| Owned {
        timestamp: 1_700_000_000_000 + i * 10,
        key: (i % 3 != 0).then(|| format!("key-{i}").into_bytes()),
        value: (i % 5 != 0).then(|| format!("the value of record {i} is this text").repeat(3).into_bytes()),
        headers: match i % 7 {
            0 => vec![
                (b"trace".to_vec(), Some(format!("t{i}").into_bytes())),
                (b"none".to_vec(), None),
            ],
            _ => vec![],
        },
    };
    (0..1000).map(record).collect()
}

#[test]
fn batches_of_the_java_client_hold_the_records_that_it_was_given() {
    let fixtures: [(Compression, &'static [u8]); 4] = [
        (Compression::Gzip, include_bytes!("fixtures/java-gzip.batch")),
        (Compression::Snappy, include_bytes!("fixtures/java-snappy.batch")),
        (Compression::Lz4, include_bytes!("fixtures/java-lz4.batch")),
        (Compression::Zstd, include_bytes!("fixtures/java-zstd.batch")),
    ];
    let records = fixture_records();
    for (compression, bytes) in fixtures {
        let written = Bytes::from_static(bytes);
        assert!(batch::crc_ok(&written));
        assert_eq!(decode(&written), records, "{compression:?}");
        let facts = BatchFacts {
            compression,
            producer_id: 4000,
            producer_epoch: 3,
            base_sequence: 17,
            ..BatchFacts::default()
        };
        let ours = encode(facts, &records);
        let known = |bytes: &[u8]| BatchHeader {
            batch_length: 0,
            crc: 0,
            ..BatchHeader::parse(bytes).unwrap()
        };
        assert_eq!(known(&ours), known(&written));
        let section = |bytes: &Bytes| decompress(compression, &bytes.slice(BATCH_HEADER_BYTES..), BOUND).unwrap();
        assert_eq!(section(&ours), section(&written), "{compression:?}");
    }
}

fn their_records(records: &[Owned]) -> Vec<theirs::Record> {
    let record = |(index, record): (usize, &Owned)| theirs::Record {
        transactional: true,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: 40,
        producer_epoch: 2,
        timestamp_type: theirs::TimestampType::Creation,
        offset: index as i64,
        sequence: 7 + index as i32,
        timestamp: record.timestamp,
        key: record.key.clone().map(Bytes::from),
        value: record.value.clone().map(Bytes::from),
        headers: (record.headers.iter())
            .map(|(key, value)| (String::from_utf8(key.clone()).unwrap().into(), value.clone().map(Bytes::from)))
            .collect(),
    };
    records.iter().enumerate().map(record).collect()
}

#[test]
fn an_uncompressed_batch_is_the_one_that_another_encoder_writes() {
    let records = fixture_records();
    let facts = BatchFacts {
        producer_id: 40,
        producer_epoch: 2,
        base_sequence: 7,
        transactional: true,
        ..BatchFacts::default()
    };
    let mut written = BytesMut::new();
    let options = RecordEncodeOptions {
        version: 2,
        compression: theirs::Compression::None,
    };
    RecordBatchEncoder::encode(&mut written, &their_records(&records), &options).unwrap();
    let ours = encode(facts, &records);
    assert_eq!(ours, written);
    let read = RecordBatchDecoder::decode(&mut ours.clone()).unwrap();
    assert_eq!(read.records, their_records(&records));
}
