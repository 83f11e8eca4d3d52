//! Goal: a batch is taken, changed or refused as Kafka 4.3 does; each refusal has its code, and nothing is copied without need.
#![allow(clippy::unwrap_used)]

use broker::catalog::configs::TopicCompression;
use broker::limits;
use broker::log::validate::{validate, Rules, ValidBatch, ValidationError};
use broker::wire::batch::{self, BatchHeader, Compression, TimestampType};
use broker::wire::batch_builder::{BatchBuilder, BatchFacts};
use broker::wire::compression::{compress, decompress};
use broker::wire::record::Records;
use broker::wire::BATCH_HEADER_BYTES;
use bytes::Bytes;
use kafka_protocol::ResponseError;
use proptest::prelude::*;

const NOW: i64 = 1_700_000_000_000;

const RULES: Rules = Rules {
    topic: "t",
    partition: 1,
    timestamp_type: TimestampType::CreateTime,
    timestamp_before_max_ms: i64::MAX,
    timestamp_after_max_ms: 3_600_000,
    max_message_bytes: 1_048_588,
    segment_bytes: 1 << 30,
    compacted: false,
    compression: TopicCompression::Producer,
    produce_version: 13,
    decompressed_max_bytes: limits::DECOMPRESSED_BATCH_BYTES,
    record_errors_max: limits::RECORD_ERRORS_PER_REQUEST,
};

const IDEMPOTENT: BatchFacts = BatchFacts {
    compression: Compression::None,
    level: None,
    log_append_time_ms: None,
    producer_id: 4000,
    producer_epoch: 2,
    base_sequence: 11,
    transactional: false,
    control: false,
};

/// Three records with keys, the largest timestamp in the middle.
fn sample(facts: BatchFacts) -> Bytes {
    let mut builder = BatchBuilder::new(facts);
    for (key, timestamp) in [("a", NOW), ("b", NOW + 20), ("c", NOW + 10)] {
        builder
            .push(timestamp, Some(key.as_bytes()), Some(b"value"), [(&b"h"[..], None)])
            .unwrap();
    }
    builder.build().unwrap()
}

fn with_codec(compression: Compression) -> Bytes {
    sample(BatchFacts {
        compression,
        ..IDEMPOTENT
    })
}

/// The sample with `bytes` written over it at `at`, and the checksum that belongs to that.
fn patched(batch: &Bytes, at: usize, bytes: &[u8]) -> Bytes {
    let mut copy = batch.to_vec();
    copy[at..at + bytes.len()].copy_from_slice(bytes);
    batch::set_crc(&mut copy);
    Bytes::from(copy)
}

fn accepted(records: &Bytes, rules: &Rules) -> ValidBatch {
    let valid = validate(Some(records), rules, NOW).unwrap();
    assert!(batch::crc_ok(&valid.bytes));
    assert_eq!(BatchHeader::parse(&valid.bytes).unwrap(), valid.header);
    valid
}

fn refused(records: &Bytes, rules: &Rules) -> ValidationError {
    validate(Some(records), rules, NOW).unwrap_err()
}

#[track_caller]
fn check_code(records: &Bytes, rules: &Rules, code: ResponseError) {
    let error = refused(records, rules);
    assert_eq!(error.code, code, "{error:?}");
    assert_eq!(error.record_errors, []);
}

type Plain = Vec<(i64, i64, Option<Vec<u8>>, Option<Vec<u8>>, usize)>;

fn plain(bytes: &Bytes) -> Plain {
    let header = BatchHeader::parse(bytes).unwrap();
    let section = decompress(header.compression().unwrap(), &bytes.slice(BATCH_HEADER_BYTES..), 1 << 24).unwrap();
    let records = Records::new(&section, header.record_count).unwrap().map(Result::unwrap);
    let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    records
        .map(|r| {
            (
                header.offset_of(&r),
                header.timestamp_of(r.timestamp_delta),
                owned(r.key),
                owned(r.value),
                r.headers.len(),
            )
        })
        .collect()
}

#[test]
fn a_good_batch_is_the_slice_that_came_in() {
    for codec in Compression::ALL {
        let sent = with_codec(codec);
        let valid = accepted(&sent, &RULES);
        assert_eq!(
            (valid.bytes.as_ptr(), valid.bytes.len()),
            (sent.as_ptr(), sent.len()),
            "{codec:?}"
        );
        assert_eq!(valid.log_append_time_ms, None);
        assert_eq!((valid.header.producer_id, valid.header.base_sequence), (4000, 11));
    }
}

#[test]
fn there_must_be_one_whole_batch_of_version_2() {
    let sent = with_codec(Compression::None);
    let code = ResponseError::InvalidRecord;
    assert_eq!(validate(None, &RULES, NOW).unwrap_err().code, code);
    check_code(&Bytes::new(), &RULES, code);
    check_code(&sent.slice(..11), &RULES, code);
    check_code(&sent.slice(..sent.len() - 1), &RULES, code);
    check_code(&[&sent[..], &sent[..]].concat().into(), &RULES, code);
    check_code(&patched(&sent, 16, &[1]), &RULES, code);
    check_code(&patched(&sent, 16, &[3]), &RULES, ResponseError::CorruptMessage);
    check_code(
        &patched(&sent, 8, &13i32.to_be_bytes()),
        &RULES,
        ResponseError::CorruptMessage,
    );
    check_code(
        &patched(&sent, 8, &(-1i32).to_be_bytes()),
        &RULES,
        ResponseError::CorruptMessage,
    );
}

#[test]
fn what_follows_the_batch_and_is_no_batch_is_cut_off() {
    let sent = with_codec(Compression::None);
    for tail in [&[0xff; 11][..], &sent[..sent.len() - 1]] {
        assert_eq!(accepted(&[&sent[..], tail].concat().into(), &RULES).bytes, sent);
    }
    check_code(&[&sent[..], &[0; 12]].concat().into(), &RULES, ResponseError::CorruptMessage);
}

#[test]
fn a_batch_shorter_than_its_header_is_corrupt() {
    let mut short = with_codec(Compression::None).to_vec();
    short.truncate(40);
    short[8..12].copy_from_slice(&28i32.to_be_bytes());
    check_code(&short.into(), &RULES, ResponseError::CorruptMessage);
}

#[test]
fn the_header_must_be_that_of_a_client() {
    let sent = with_codec(Compression::None);
    let code = ResponseError::InvalidRecord;
    check_code(&patched(&sent, 0, &1i64.to_be_bytes()), &RULES, code);
    check_code(&patched(&sent, 57, &0i32.to_be_bytes()), &RULES, code);
    check_code(&patched(&sent, 57, &2i32.to_be_bytes()), &RULES, code);
    check_code(&patched(&sent, 23, &3i32.to_be_bytes()), &RULES, code);
    check_code(&patched(&sent, 23, &(-1i32).to_be_bytes()), &RULES, code);
    check_code(&patched(&sent, 23, &i32::MAX.to_be_bytes()), &RULES, code);
    check_code(&patched(&sent, 53, &(-1i32).to_be_bytes()), &RULES, code);
    check_code(
        &sample(BatchFacts {
            control: true,
            ..IDEMPOTENT
        }),
        &RULES,
        code,
    );
    accepted(
        &sample(BatchFacts {
            transactional: true,
            ..IDEMPOTENT
        }),
        &RULES,
    );
    accepted(&sample(BatchFacts::default()), &RULES);
}

#[test]
fn a_wrong_checksum_is_a_corrupt_message_whatever_else_is_wrong_behind_it() {
    let mut sent = with_codec(Compression::Zstd).to_vec();
    *sent.last_mut().unwrap() ^= 1;
    check_code(&Bytes::from(sent.clone()), &RULES, ResponseError::CorruptMessage);
    sent[60] ^= 1;
    check_code(&Bytes::from(sent), &RULES, ResponseError::CorruptMessage);
}

#[test]
fn zstd_needs_produce_7() {
    let rules = Rules {
        produce_version: 6,
        ..RULES
    };
    check_code(
        &with_codec(Compression::Zstd),
        &rules,
        ResponseError::UnsupportedCompressionType,
    );
    accepted(&with_codec(Compression::Lz4), &rules);
    accepted(
        &with_codec(Compression::Zstd),
        &Rules {
            produce_version: 7,
            ..RULES
        },
    );
}

#[test]
fn an_unknown_codec_and_unreadable_data_are_unforeseen() {
    let sent = with_codec(Compression::Gzip);
    check_code(&patched(&sent, 22, &[5]), &RULES, ResponseError::UnknownServerError);
    check_code(
        &patched(&sent, 22, &[5]),
        &Rules {
            produce_version: 3,
            ..RULES
        },
        ResponseError::UnknownServerError,
    );
    for codec in &Compression::ALL[1..] {
        let broken = patched(&with_codec(*codec), BATCH_HEADER_BYTES, &[0xff; 8]);
        check_code(&broken, &RULES, ResponseError::UnknownServerError);
    }
}

#[test]
fn malformed_records_are_invalid_in_every_codec() {
    let good = with_codec(Compression::None);
    let section = &good[BATCH_HEADER_BYTES..];
    let mut longer = section.to_vec();
    longer.push(0);
    for codec in Compression::ALL {
        for records in [&section[..section.len() - 1], &longer[..], &[0xff; 30]] {
            let packed = compress(codec, None, records).unwrap();
            let mut bytes = with_codec(codec)[..BATCH_HEADER_BYTES].to_vec();
            bytes.extend_from_slice(&packed);
            let length = bytes.len() as i32 - 12;
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
            batch::set_crc(&mut bytes);
            check_code(&bytes.into(), &RULES, ResponseError::InvalidRecord);
        }
    }
}

#[test]
fn sizes_are_checked_as_sent_and_again_when_rebuilt() {
    let mut builder = BatchBuilder::new(BatchFacts {
        compression: Compression::Zstd,
        ..IDEMPOTENT
    });
    builder.push(NOW, None, Some(&[7; 10_000]), []).unwrap();
    let sent = builder.build().unwrap();
    let limit = |max_message_bytes| Rules {
        max_message_bytes,
        ..RULES
    };
    accepted(&sent, &limit(sent.len()));
    check_code(&sent, &limit(sent.len() - 1), ResponseError::MessageTooLarge);
    let stored_plain = Rules {
        compression: TopicCompression::None,
        ..limit(10_000)
    };
    check_code(&sent, &stored_plain, ResponseError::MessageTooLarge);
    accepted(
        &sent,
        &Rules {
            max_message_bytes: 11_000,
            ..stored_plain
        },
    );
    let segment = |segment_bytes| Rules { segment_bytes, ..RULES };
    accepted(&sent, &segment(sent.len() as u64));
    check_code(&sent, &segment(sent.len() as u64 - 1), ResponseError::RecordListTooLarge);
}

#[test]
fn a_bomb_is_too_large() {
    let zeros = vec![0; 32 * 1024 * 1024];
    let mut builder = BatchBuilder::new(BatchFacts {
        compression: Compression::Zstd,
        ..IDEMPOTENT
    });
    for _ in 0..=limits::DECOMPRESSED_BATCH_BYTES / zeros.len() {
        builder.push(NOW, None, Some(&zeros), []).unwrap();
    }
    check_code(&builder.build().unwrap(), &RULES, ResponseError::MessageTooLarge);
}

#[test]
fn a_compacted_topic_takes_no_record_without_key() {
    let rules = Rules {
        compacted: true,
        ..RULES
    };
    for codec in Compression::ALL {
        accepted(&with_codec(codec), &rules);
        let mut builder = BatchBuilder::new(BatchFacts {
            compression: codec,
            ..IDEMPOTENT
        });
        for key in [Some(&b"k"[..]), None, Some(b""), None] {
            builder.push(NOW, key, None, []).unwrap();
        }
        let sent = builder.build().unwrap();
        accepted(&sent, &RULES);
        let error = refused(&sent, &rules);
        assert_eq!(error.code, ResponseError::InvalidRecord);
        assert_eq!(
            error.record_errors.iter().map(|(index, _)| *index).collect::<Vec<_>>(),
            [1, 3]
        );
    }
}

#[test]
fn the_records_named_in_an_error_are_bounded() {
    let mut builder = BatchBuilder::new(IDEMPOTENT);
    for _ in 0..limits::RECORD_ERRORS_PER_REQUEST * 2 {
        builder.push(NOW, None, None, []).unwrap();
    }
    let error = refused(
        &builder.build().unwrap(),
        &Rules {
            compacted: true,
            ..RULES
        },
    );
    assert_eq!(error.record_errors.len(), limits::RECORD_ERRORS_PER_REQUEST);
}

#[test]
fn create_times_have_limits() {
    let one = |timestamp| {
        let mut builder = BatchBuilder::new(IDEMPOTENT);
        builder.push(NOW, Some(b"k"), None, []).unwrap();
        builder.push(timestamp, None, None, []).unwrap();
        builder.build().unwrap()
    };
    let rules = Rules {
        timestamp_before_max_ms: 1000,
        timestamp_after_max_ms: 2000,
        ..RULES
    };
    for good in [NOW - 1000, NOW, NOW + 2000, -1] {
        accepted(&one(good), &rules);
    }
    for bad in [NOW - 1001, NOW + 2001, 0, -2, i64::MAX] {
        let error = refused(&one(bad), &rules);
        assert_eq!(error.code, ResponseError::InvalidTimestamp);
        assert_eq!(
            error.record_errors.iter().map(|(index, _)| *index).collect::<Vec<_>>(),
            [1],
            "{bad}"
        );
    }
    let log_append = Rules {
        timestamp_type: TimestampType::LogAppendTime,
        ..rules
    };
    accepted(&one(0), &log_append);
    // Among errors of both kinds the timestamp's code wins.
    assert_eq!(
        refused(
            &one(0),
            &Rules {
                compacted: true,
                ..rules
            }
        )
        .code,
        ResponseError::InvalidRecord
    );
    let first_late = {
        let mut builder = BatchBuilder::new(IDEMPOTENT);
        builder.push(0, Some(b"k"), None, []).unwrap();
        builder.push(NOW, None, None, []).unwrap();
        builder.build().unwrap()
    };
    assert_eq!(
        refused(
            &first_late,
            &Rules {
                compacted: true,
                ..rules
            }
        )
        .code,
        ResponseError::InvalidTimestamp
    );
}

#[test]
fn refused_records_are_told_of_in_the_words_of_kafka() {
    let keyless = {
        let mut builder = BatchBuilder::new(IDEMPOTENT);
        for _ in 0..4 {
            builder.push(NOW, None, None, []).unwrap();
        }
        builder.build().unwrap()
    };
    let compacted = Rules {
        compacted: true,
        ..RULES
    };
    let error = refused(&keyless, &compacted);
    let words = "Compacted topic cannot accept message without key in topic partition t-1";
    assert_eq!(error.record_errors[3], (3, Some(words.to_owned())));
    let shown = [0, 1, 2].map(|index| format!("RecordError(batchIndex={index}, message='{words}')"));
    assert_eq!(
        error.message,
        format!(
            "One or more records have been rejected due to 4 record errors in total, and only showing the first three errors at most: [{}]",
            shown.join(", ")
        )
    );

    let narrow = Rules {
        timestamp_before_max_ms: 1000,
        timestamp_after_max_ms: -1,
        ..RULES
    };
    let error = refused(&keyless, &narrow);
    assert_eq!(
        error.message,
        "One or more records have been rejected due to invalid timestamp"
    );
    assert_eq!(
        error.record_errors[2].1.as_deref(),
        Some(&*format!(
            "Timestamp {NOW} of message with offset 2 is out of range. The timestamp should be within [{}, {}]",
            NOW - 1000,
            NOW - 1
        ))
    );
}

#[test]
fn a_wrong_max_timestamp_is_put_right() {
    for codec in Compression::ALL {
        let good = with_codec(codec);
        let valid = accepted(&patched(&good, 35, &(NOW + 500).to_be_bytes()), &RULES);
        assert_eq!(valid.header.max_timestamp, NOW + 20);
        assert_eq!(valid.bytes, good);
    }
}

#[test]
fn log_append_time_is_the_brokers() {
    let rules = Rules {
        timestamp_type: TimestampType::LogAppendTime,
        ..RULES
    };
    for codec in Compression::ALL {
        let sent = with_codec(codec);
        let valid = accepted(&sent, &rules);
        assert_eq!(valid.log_append_time_ms, Some(NOW));
        assert_eq!(
            (valid.header.timestamp_type(), valid.header.max_timestamp),
            (TimestampType::LogAppendTime, NOW)
        );
        assert_eq!(valid.bytes[BATCH_HEADER_BYTES..], sent[BATCH_HEADER_BYTES..]);
        assert!(plain(&valid.bytes).iter().all(|record| record.1 == NOW));
    }
}

#[test]
fn a_producer_that_sets_the_log_append_time_is_refused_unless_it_reads_as_a_create_time() {
    let claims = |at| {
        sample(BatchFacts {
            log_append_time_ms: Some(at),
            ..IDEMPOTENT
        })
    };
    let code = |records: Bytes, rules| refused(&records, rules).code;
    let log_append = Rules {
        timestamp_type: TimestampType::LogAppendTime,
        ..RULES
    };
    assert_eq!(code(claims(NOW), &log_append), ResponseError::InvalidTimestamp);
    assert_eq!(code(claims(-1), &RULES), ResponseError::InvalidTimestamp);
    assert_eq!(code(claims(NOW + 3_600_001), &RULES), ResponseError::InvalidTimestamp);
    let valid = accepted(&claims(NOW), &RULES);
    assert_eq!(
        (valid.header.timestamp_type(), valid.header.max_timestamp),
        (TimestampType::CreateTime, NOW)
    );
}

#[test]
fn a_topic_with_a_codec_of_its_own_gets_the_same_records_in_it() {
    let targets = [
        (TopicCompression::None, Compression::None),
        (TopicCompression::Gzip(-1), Compression::Gzip),
        (TopicCompression::Gzip(9), Compression::Gzip),
        (TopicCompression::Snappy, Compression::Snappy),
        (TopicCompression::Lz4(9), Compression::Lz4),
        (TopicCompression::Zstd(-5), Compression::Zstd),
        (TopicCompression::Zstd(22), Compression::Zstd),
    ];
    for source in Compression::ALL {
        for (compression, codec) in targets {
            let sent = sample(BatchFacts {
                compression: source,
                transactional: true,
                ..IDEMPOTENT
            });
            let valid = accepted(&sent, &Rules { compression, ..RULES });
            assert_eq!(valid.header.compression(), Ok(codec));
            assert_eq!(valid.bytes == sent, source == codec, "{source:?} to {codec:?}");
            assert_eq!(plain(&valid.bytes), plain(&sent));
            assert_eq!(valid.header.max_timestamp, NOW + 20);
            assert!(valid.header.is_transactional());
            let producer = (
                valid.header.producer_id,
                valid.header.producer_epoch,
                valid.header.base_sequence,
            );
            assert_eq!(producer, (4000, 2, 11));
        }
    }
    let rules = Rules {
        compression: TopicCompression::Snappy,
        timestamp_type: TimestampType::LogAppendTime,
        ..RULES
    };
    let valid = accepted(&with_codec(Compression::None), &rules);
    assert_eq!((valid.header.max_timestamp, valid.log_append_time_ms), (NOW, Some(NOW)));
}

#[test]
fn gaps_between_offsets_are_closed_in_compressed_batches_only() {
    for codec in Compression::ALL {
        let mut builder = BatchBuilder::new(BatchFacts {
            compression: codec,
            ..IDEMPOTENT
        });
        for delta in [1, 5, 2] {
            builder.push_at(delta, NOW, Some(b"k"), None, []).unwrap();
        }
        let sent = builder.build().unwrap();
        let valid = accepted(&sent, &RULES);
        let offsets: Vec<_> = plain(&valid.bytes).iter().map(|record| record.0).collect();
        assert_eq!(
            offsets,
            if codec == Compression::None { [1, 5, 2] } else { [0, 1, 2] },
            "{codec:?}"
        );
        assert_eq!(valid.header.last_offset_delta, 2);
    }
}

#[test]
fn a_negative_timestamp_cannot_be_rebuilt() {
    let mut builder = BatchBuilder::new(IDEMPOTENT);
    builder.push(-5, None, None, []).unwrap();
    let sent = builder.build().unwrap();
    assert_eq!(accepted(&sent, &RULES).header.max_timestamp, -1);
    check_code(
        &sent,
        &Rules {
            compression: TopicCompression::Gzip(-1),
            ..RULES
        },
        ResponseError::UnknownServerError,
    );
}

fn topic_compression() -> impl Strategy<Value = TopicCompression> {
    prop::sample::select(vec![
        TopicCompression::Producer,
        TopicCompression::None,
        TopicCompression::Snappy,
        TopicCompression::Zstd(3),
    ])
}

proptest! {
    /// A batch that was changed anywhere, with a checksum that fits, is refused or becomes a batch that is accepted again unchanged.
    #[test]
    fn what_is_accepted_is_a_good_batch(
        codec in prop::sample::select(&Compression::ALL[..]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        compression in topic_compression(),
        log_append in any::<bool>(),
        compacted in any::<bool>(),
        produce_version in 3i16..=13,
    ) {
        let mut sent = with_codec(codec).to_vec();
        for (index, byte) in changes {
            let at = 8 + index.index(sent.len() - 8);
            sent[at] = byte;
        }
        batch::set_crc(&mut sent);
        let timestamp_type = if log_append { TimestampType::LogAppendTime } else { TimestampType::CreateTime };
        let rules = Rules { compression, timestamp_type, compacted, produce_version, ..RULES };
        if let Ok(valid) = validate(Some(&Bytes::from(sent)), &rules, NOW) {
            prop_assert!(batch::crc_ok(&valid.bytes));
            prop_assert_eq!(valid.header.base_offset, 0);
            prop_assert_eq!(plain(&valid.bytes).len() as i32, valid.header.last_offset_delta + 1);
            let again = Rules { timestamp_type: TimestampType::CreateTime, produce_version: 13, ..rules };
            if !log_append {
                prop_assert_eq!(validate(Some(&valid.bytes), &again, NOW).unwrap().bytes, valid.bytes);
            }
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        prop_assert!(validate(Some(&Bytes::from(bytes)), &RULES, NOW).is_err());
    }
}
