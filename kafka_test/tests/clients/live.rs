//! Consumers that are at the end of the log while producers write.

use kafka_test::clients::{consume, consumer, flush, producer, send};
use kafka_test::patience::PATIENCE;
use kafka_test::server::Server;
use rdkafka::message::Message;
use rdkafka::producer::BaseRecord;

/// Goal: four producers write to one partition while two consumers follow: both see every record once, in the same order.
#[test]
fn consumers_follow_producers() {
    const EACH: u64 = 5_000;
    let server = Server::shared();
    let topic = server.topic("followed", 1);
    let follow = || {
        let name = topic.name.clone();
        std::thread::spawn(move || {
            let mut seen = Vec::new();
            consume(&consumer(server, &name, 0), 4 * EACH as usize, |message| {
                assert_eq!(message.offset(), seen.len() as i64, "offsets are dense");
                seen.push(u64::from_be_bytes(message.payload().unwrap().try_into().unwrap()));
            });
            seen
        })
    };
    let followers = [follow(), follow()];
    let writers: Vec<_> = (0..4)
        .map(|writer: u64| {
            let name = topic.name.clone();
            std::thread::spawn(move || {
                let (producer, deliveries) = producer(server, &[("linger.ms", "1"), ("batch.num.messages", "50")]);
                for i in 0..EACH {
                    let value = (writer << 32 | i).to_be_bytes();
                    send(
                        &producer,
                        BaseRecord::with_opaque_to(&name, Box::new(i))
                            .partition(0)
                            .payload(&value[..])
                            .key(&[][..]),
                    );
                }
                flush(&producer, PATIENCE);
                let delivered = deliveries.take();
                assert_eq!(delivered.iter().filter(|d| d.outcome.is_ok()).count() as u64, EACH);
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    let [first, second] = followers.map(|f| f.join().unwrap());
    assert_eq!(first, second, "both consumers saw the same order");
    for writer in 0..4 {
        let own: Vec<u64> = first
            .iter()
            .filter(|v| **v >> 32 == writer)
            .map(|v| *v as u32 as u64)
            .collect();
        assert_eq!(
            own,
            (0..EACH).collect::<Vec<_>>(),
            "records of producer {writer}, in its order"
        );
    }
}
