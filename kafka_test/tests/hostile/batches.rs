//! Record batches that are wrong.

use crate::{Bystander, MIB};
use kafka_test::batch::{Batch, Record, CONTROL, HEADER_BYTES, TRANSACTIONAL};
use kafka_test::compression::Codec;
use kafka_test::requests::{latest, only_partition_produced, produce_request, read_all, PRODUCE};
use kafka_test::server::Server;

/// Valid batches to damage: several records, headers, keys, each codec.
fn sound() -> Vec<Vec<u8>> {
    let record = |index: i32| Record {
        offset_delta: index,
        timestamp_delta: i64::from(index),
        key: Some(b"key".to_vec()),
        value: Some(vec![b'v'; 40]),
        headers: vec![("header".into(), Some(vec![1, 2, 3])), ("null".into(), None)],
    };
    Codec::ALL
        .map(|codec| Batch::with_records((0..4).map(record).collect()).compressed(codec).encode())
        .to_vec()
}

/// The batch with its length and checksum made right again, so that the damage reaches what is behind them.
fn signed(mut batch: Vec<u8>) -> Vec<u8> {
    if batch.len() >= HEADER_BYTES {
        let length = batch.len() as u32 - 12;
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        let crc = crc32c::crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
    }
    batch
}

/// Each byte of each batch replaced by some others, with and without a right checksum; and each prefix of it.
fn damaged(batch: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for at in 0..batch.len() {
        for byte in [0x00, 0x01, 0x7f, 0x80, 0xff, batch[at] ^ 0x10] {
            let mut bad = batch.to_vec();
            bad[at] = byte;
            found.push(signed(bad.clone()));
            found.push(bad);
        }
        found.push(batch[..at].to_vec());
        found.push(signed(batch[..at].to_vec()));
        let mut longer = batch.to_vec();
        longer.splice(at..at, [0xff, 0xff, 0xff, 0xff, 0x0f]);
        found.push(signed(longer));
    }
    found
}

/// Batches that lie in one field each, otherwise right.
fn lies() -> Vec<Vec<u8>> {
    let sound = || Batch::of(["a", "b", "c"]);
    let mut found = Vec::new();
    for number in [i32::MIN, -1, 0, 1, 2, 4, i32::MAX] {
        found.push(
            Batch {
                record_count: Some(number),
                ..sound()
            }
            .encode(),
        );
        found.push(
            Batch {
                last_offset_delta: Some(number),
                ..sound()
            }
            .encode(),
        );
        found.push(
            Batch {
                record_count: Some(number),
                last_offset_delta: Some(number.wrapping_sub(1)),
                ..sound()
            }
            .encode(),
        );
        let mut length = sound().encode();
        length[8..12].copy_from_slice(&number.to_be_bytes());
        found.push(length);
    }
    for number in [i64::MIN, -2, -1, 0, i64::MAX] {
        found.push(
            Batch {
                base_offset: number,
                ..sound()
            }
            .encode(),
        );
        found.push(
            Batch {
                max_timestamp: Some(number),
                ..sound().at(number)
            }
            .encode(),
        );
        found.push(
            Batch {
                max_timestamp: Some(number),
                ..sound()
            }
            .encode(),
        );
        found.push(
            Batch {
                producer_id: number,
                ..sound()
            }
            .encode(),
        );
    }
    for flags in [
        CONTROL,
        TRANSACTIONAL,
        CONTROL | TRANSACTIONAL,
        5,
        6,
        7,
        0x40,
        0x80,
        i16::MIN,
        -1,
    ] {
        found.push(Batch { flags, ..sound() }.encode());
    }
    for magic in [-1, 0, 1, 3, i8::MAX] {
        found.push(Batch { magic, ..sound() }.encode());
    }
    found.push(Batch { crc: Some(0), ..sound() }.encode());
    found.push([sound().encode(), sound().encode()].concat());
    found.push(Vec::new());
    found
}

/// Goal: whatever is wrong with a batch, it is answered (or its connection closed), nothing of what was refused is stored, and what is
/// stored can be read: also where the broker looks into the records and writes them anew.
#[test]
fn damage_at_every_byte() {
    let server = Server::shared();
    let topics = [
        server.topic("damaged", 1),
        server.topic_with("damaged", 1, &[("compression.type", "zstd"), ("cleanup.policy", "compact")]),
    ];
    let mut bystander = Bystander::of(server);
    let mut batches = lies();
    batches.extend(sound().iter().flat_map(|batch| damaged(batch)));
    for topic in &topics {
        let (mut taken, mut refused, mut closed) = (0, 0, 0);
        let mut connection = server.connect();
        for group in batches.chunks(32) {
            let sent: Vec<_> = group
                .iter()
                .map(|bytes| connection.send(PRODUCE, &produce_request(PRODUCE, topic, 0, -1, bytes)))
                .collect();
            for sent in sent {
                match connection.try_receive::<kafka_protocol::messages::ProduceRequest>(sent) {
                    Some(reply) if only_partition_produced(reply.clone()).error_code == 0 => taken += 1,
                    Some(_) => refused += 1,
                    None => closed += 1,
                }
            }
        }
        eprintln!("{} batches: {taken} taken, {refused} refused, {closed} closed", batches.len());
        assert_eq!(closed, 0, "a batch is the partition's matter, not the connection's");
        assert!(refused > batches.len() / 2, "only {refused} were refused");
        let stored = read_all(&mut server.connect(), topic, 0, 0);
        assert_eq!(stored.len(), taken, "batches stored");
        assert_eq!(
            latest(&mut server.connect(), topic, 0),
            stored.last().map_or(0, |batch| batch.next_offset())
        );
        for batch in &stored {
            // A consumer could decompress it; what records say, as the keys of headers, is between clients.
            assert!(!batch.codec().decompress(&batch.bytes[HEADER_BYTES..]).is_empty());
        }
    }
    bystander.finds_all_well(server, 150 * MIB);
}
