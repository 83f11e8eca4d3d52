//! Idempotent producers: what sequence numbers are accepted, and what is a replay. A partition remembers the last five batches of a
//! producer.

use crate::code;
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{InitProducerIdRequest, ProduceRequest};
use kafka_test::batch::Batch;
use kafka_test::connection::Connection;
use kafka_test::requests::{
    init_producer_id, latest, only_partition_produced, produce_bytes, produce_request, read_all, send_produce, PRODUCE,
};
use kafka_test::server::Server;
use kafka_test::topic::Topic;

/// The versions of Produce that carry record batches.
const VERSIONS: std::ops::RangeInclusive<i16> = 3..=13;
/// Batches of a producer that a partition remembers.
const REMEMBERED: i32 = 5;

/// A producer of the tests: its id and epoch.
#[derive(Clone, Copy)]
struct Producer {
    id: i64,
    epoch: i16,
}

impl Producer {
    fn new(connection: &mut Connection) -> Producer {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(60_000);
        let reply = init_producer_id(connection, 4, &request);
        assert_eq!(reply.error_code, 0);
        Producer {
            id: reply.producer_id.0,
            epoch: reply.producer_epoch,
        }
    }

    fn in_epoch(self, epoch: i16) -> Producer {
        Producer { epoch, ..self }
    }

    /// A batch of so many records from a sequence number on.
    fn batch(self, sequence: i32, count: usize) -> Batch {
        Batch {
            producer_id: self.id,
            producer_epoch: self.epoch,
            base_sequence: sequence,
            ..Batch::of((0..count).map(|i| format!("{sequence} {i}")))
        }
    }

    fn send(self, connection: &mut Connection, topic: &Topic, sequence: i32, count: usize) -> (i16, i64) {
        told(&produce_bytes(
            connection,
            PRODUCE,
            topic,
            0,
            -1,
            &self.batch(sequence, count).encode(),
        ))
    }
}

/// Error and base offset.
fn told(reply: &PartitionProduceResponse) -> (i16, i64) {
    (reply.error_code, reply.base_offset)
}

const GAP: (i16, i64) = (code::OUT_OF_ORDER_SEQUENCE_NUMBER, -1);
const FENCED: (i16, i64) = (code::INVALID_PRODUCER_EPOCH, -1);

/// Goal: consecutive batches are written at every version of Produce, and a replay of the last one is answered with its offset.
#[test]
fn consecutive_batches_at_every_version() {
    let server = Server::shared();
    let topic = server.topic("consecutive", 1);
    let mut connection = server.connect();
    let producer = Producer::new(&mut connection);
    for (number, version) in VERSIONS.enumerate() {
        let sequence = 3 * number as i32;
        let batch = producer.batch(sequence, 3).encode();
        for what in ["first", "replay"] {
            for acks in [-1, 1] {
                let reply = produce_bytes(&mut connection, version, &topic, 0, acks, &batch);
                assert_eq!(told(&reply), (0, i64::from(sequence)), "version {version}, {what}");
            }
        }
    }
    let stored = read_all(&mut connection, &topic, 0, 0);
    assert_eq!(stored.len(), VERSIONS.count(), "nothing was written twice");
    assert!(stored.iter().all(|batch| batch.producer_id == producer.id));
}

/// Goal: a replay of each of the last five batches is answered with its own offset and writes nothing; an older one is out of order,
/// and so is a batch that is only partly a replay.
#[test]
fn the_last_five_batches_are_remembered() {
    let server = Server::shared();
    let topic = server.topic("five", 1);
    let mut connection = server.connect();
    let producer = Producer::new(&mut connection);
    for sequence in [0, 2, 4, 6, 8, 10, 12] {
        assert_eq!(producer.send(&mut connection, &topic, sequence, 2), (0, i64::from(sequence)));
    }
    let oldest = 14 - 2 * REMEMBERED;
    for sequence in (oldest..14).step_by(2) {
        assert_eq!(
            producer.send(&mut connection, &topic, sequence, 2),
            (0, i64::from(sequence)),
            "{sequence}"
        );
    }
    for sequence in [0, oldest - 2] {
        assert_eq!(producer.send(&mut connection, &topic, sequence, 2), GAP, "{sequence}");
    }
    for (sequence, count) in [(12, 1), (12, 3), (11, 2), (13, 1), (10, 4)] {
        assert_eq!(
            producer.send(&mut connection, &topic, sequence, count),
            GAP,
            "{count} from {sequence}"
        );
    }
    assert_eq!(latest(&mut connection, &topic, 0), 14);
    assert_eq!(
        producer.send(&mut connection, &topic, 14, 1),
        (0, 14),
        "none of that did harm"
    );
}

/// Goal: a gap is refused and leaves the producer where it was.
#[test]
fn gaps_are_refused() {
    let server = Server::shared();
    let topic = server.topic("gaps", 1);
    let mut connection = server.connect();
    let producer = Producer::new(&mut connection);
    assert_eq!(producer.send(&mut connection, &topic, 0, 1), (0, 0));
    for sequence in [2, 5, i32::MAX] {
        assert_eq!(producer.send(&mut connection, &topic, sequence, 1), GAP, "{sequence}");
    }
    assert_eq!(producer.send(&mut connection, &topic, 1, 1), (0, 1));
}

/// Goal: a producer of which a partition knows nothing begins at any sequence number (KIP-360), and each partition counts for itself.
#[test]
fn unknown_producers_begin_anywhere() {
    let server = Server::shared();
    let topic = server.topic("anywhere", 2);
    let mut connection = server.connect();
    let producer = Producer::new(&mut connection);
    assert_eq!(producer.send(&mut connection, &topic, 1234, 1), (0, 0));
    assert_eq!(producer.send(&mut connection, &topic, 1235, 1), (0, 1));
    let other = producer.batch(7, 1).encode();
    assert_eq!(told(&produce_bytes(&mut connection, PRODUCE, &topic, 1, -1, &other)), (0, 0));
    let never_given = Producer {
        id: i64::MAX - 5,
        epoch: 3,
    };
    assert_eq!(never_given.send(&mut connection, &topic, 99, 1), (0, 2), "an id from nowhere");
}

/// Goal: behind 2^31 - 1 comes 0, between batches and inside one, and a replay across that is known.
#[test]
fn sequences_wrap() {
    let server = Server::shared();
    let topic = server.topic("wrap", 1);
    let mut connection = server.connect();
    let producer = Producer::new(&mut connection);
    assert_eq!(producer.send(&mut connection, &topic, i32::MAX - 1, 2), (0, 0));
    assert_eq!(producer.send(&mut connection, &topic, 1, 1), GAP);
    assert_eq!(producer.send(&mut connection, &topic, 0, 1), (0, 2));
    assert_eq!(producer.send(&mut connection, &topic, i32::MAX - 1, 2), (0, 0), "a replay");

    let topic = server.topic("wrap-inside", 1);
    let producer = Producer::new(&mut connection);
    assert_eq!(producer.send(&mut connection, &topic, i32::MAX - 1, 4), (0, 0));
    assert_eq!(producer.send(&mut connection, &topic, i32::MAX - 1, 4), (0, 0), "a replay");
    assert_eq!(producer.send(&mut connection, &topic, 1, 1), GAP);
    assert_eq!(producer.send(&mut connection, &topic, 2, 1), (0, 4));
}

/// Goal: a newer epoch begins at 0 and fences the older ones; a replay of an old epoch is fenced too.
#[test]
fn epochs_begin_at_zero() {
    let server = Server::shared();
    let topic = server.topic("epochs", 1);
    let mut connection = server.connect();
    let producer = Producer::new(&mut connection);
    assert_eq!(producer.send(&mut connection, &topic, 0, 2), (0, 0));
    let next = producer.in_epoch(2);
    assert_eq!(next.send(&mut connection, &topic, 2, 1), GAP, "it must begin at 0");
    assert_eq!(producer.send(&mut connection, &topic, 2, 1), (0, 2), "which fenced nobody");
    assert_eq!(next.send(&mut connection, &topic, 0, 1), (0, 3));
    assert_eq!(next.send(&mut connection, &topic, 1, 1), (0, 4));
    for (old, sequence) in [(producer, 3), (producer, 2), (producer.in_epoch(1), 0)] {
        assert_eq!(old.send(&mut connection, &topic, sequence, 1), FENCED);
    }
    assert_eq!(next.send(&mut connection, &topic, 0, 1), (0, 3), "a replay of the new epoch");
    assert_eq!(latest(&mut connection, &topic, 0), 5);
}

/// Goal: a replay over another connection, as after a timeout, is the same replay.
#[test]
fn replays_over_another_connection() {
    let server = Server::shared();
    let topic = server.topic("reconnected", 1);
    let mut connection = server.connect();
    let producer = Producer::new(&mut connection);
    for sequence in 0..3 {
        assert_eq!(producer.send(&mut connection, &topic, sequence, 1), (0, i64::from(sequence)));
    }
    drop(connection);
    let mut connection = server.connect();
    for sequence in 0..3 {
        assert_eq!(producer.send(&mut connection, &topic, sequence, 1), (0, i64::from(sequence)));
    }
    assert_eq!(producer.send(&mut connection, &topic, 3, 1), (0, 3));
}

/// Goal: a replay that overtakes its own first sending, over another connection, is written once.
#[test]
fn a_replay_beside_the_first_sending() {
    let server = Server::shared();
    let topic = server.topic("beside", 1);
    let (mut first, mut second) = (server.connect(), server.connect());
    let producer = Producer::new(&mut first);
    for sequence in 0..20 {
        let batch = producer.batch(sequence, 1);
        let sent = [
            send_produce(&mut first, PRODUCE, &topic, -1, &batch),
            send_produce(&mut second, PRODUCE, &topic, -1, &batch),
        ];
        let replies = [
            only_partition_produced(first.receive::<ProduceRequest>(sent[0])),
            only_partition_produced(second.receive::<ProduceRequest>(sent[1])),
        ];
        for reply in &replies {
            assert_eq!(told(reply), (0, i64::from(sequence)));
        }
    }
    assert_eq!(latest(&mut first, &topic, 0), 20);
}

/// Goal: several batches in flight are written in their order; behind one that is refused, those that follow are refused too.
#[test]
fn several_batches_in_flight() {
    let server = Server::shared();
    let topic = server.topic("in-flight", 1);
    let mut connection = server.connect();
    let producer = Producer::new(&mut connection);
    let mut flight = |sequences: &[i32]| -> Vec<(i16, i64)> {
        let sent: Vec<_> = sequences
            .iter()
            .map(|sequence| send_produce(&mut connection, PRODUCE, &topic, -1, &producer.batch(*sequence, 1)))
            .collect();
        let reply = |sent| told(&only_partition_produced(connection.receive::<ProduceRequest>(sent)));
        sent.into_iter().map(reply).collect()
    };
    let all: Vec<i32> = (0..50).collect();
    let expected: Vec<(i16, i64)> = (0..50).map(|offset| (0, offset)).collect();
    assert_eq!(flight(&all), expected);
    assert_eq!(
        flight(&[50, 52, 53, 51, 52, 50]),
        [(0, 50), GAP, GAP, (0, 51), (0, 52), (0, 50)]
    );
}

/// Goal: a refused batch, one whose checksum is wrong, leaves no trace in the sequence.
#[test]
fn a_damaged_batch_counts_for_nothing() {
    let server = Server::shared();
    let topic = server.topic("damaged", 1);
    let mut connection = server.connect();
    let producer = Producer::new(&mut connection);
    let damaged = Batch {
        crc: Some(1),
        ..producer.batch(0, 1)
    };
    let reply = produce_bytes(&mut connection, PRODUCE, &topic, 0, -1, &damaged.encode());
    assert_eq!(reply.error_code, code::CORRUPT_MESSAGE);
    assert_eq!(producer.send(&mut connection, &topic, 0, 1), (0, 0));
    assert_eq!(producer.send(&mut connection, &topic, 1, 1), (0, 1));
}

/// Goal: acks=0 is checked and deduplicated like any other; a gap closes the connection, as every error of acks=0.
#[test]
fn unacknowledged_batches_are_checked_too() {
    let server = Server::shared();
    let topic = server.topic("unacknowledged", 1);
    let mut connection = server.connect();
    let producer = Producer::new(&mut connection);
    for sequence in [0, 0, 1, 0] {
        let batch = producer.batch(sequence, 1).encode();
        connection.send(PRODUCE, &produce_request(PRODUCE, &topic, 0, 0, &batch));
    }
    assert_eq!(producer.send(&mut connection, &topic, 2, 1), (0, 2));
    let gap = producer.batch(9, 1).encode();
    connection.send(PRODUCE, &produce_request(PRODUCE, &topic, 0, 0, &gap));
    connection.assert_closed_within(kafka_test::patience::PATIENCE, "a gap without an acknowledgement");
}

/// Goal: producers do not see each other: their batches may alternate.
#[test]
fn producers_count_for_themselves() {
    let server = Server::shared();
    let topic = server.topic("alternating", 1);
    let mut connection = server.connect();
    let producers: Vec<Producer> = (0..10).map(|_| Producer::new(&mut connection)).collect();
    let mut offset = 0;
    for sequence in 0..3 {
        for producer in &producers {
            assert_eq!(producer.send(&mut connection, &topic, sequence, 1), (0, offset));
            offset += 1;
        }
    }
    assert_eq!(producers[3].send(&mut connection, &topic, 1, 1), (0, 13), "a replay");
}
