//! Records that flow while a group changes: numbered values, never far ahead of what the group has read.

use kafka_test::clients::{flush, producer, send};
use kafka_test::patience::{within, PATIENCE};
use kafka_test::server::Server;
use rdkafka::producer::BaseRecord;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Records that may wait for the group.
const AHEAD: u64 = 300;
/// Time for which a group may read nothing: longer than two sessions of a KIP-848 member.
const SILENCE: Duration = Duration::from_secs(120);
/// Records between two looks at whether the flow is to end.
const CHUNK: u64 = 20;

/// A producer in a thread of its own.
pub struct Flow {
    ending: Arc<AtomicBool>,
    read: Arc<AtomicU64>,
    thread: JoinHandle<u64>,
}

impl Flow {
    /// Begins to write to the partitions of a topic in turn.
    pub fn begin(server: &'static Server, topic: &str, partitions: i32) -> Flow {
        let (ending, read) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (topic, told, seen) = (topic.to_owned(), ending.clone(), read.clone());
        let thread = std::thread::spawn(move || {
            let (producer, deliveries) = producer(server, &[("linger.ms", "2"), ("acks", "all")]);
            let mut written = 0;
            while !told.load(Ordering::Relaxed) {
                for value in written..written + CHUNK {
                    let text = value.to_string();
                    let record = BaseRecord::with_opaque_to(&topic, Box::new(value))
                        .partition((value % partitions as u64) as i32)
                        .payload(text.as_bytes());
                    send(&producer, record);
                }
                written += CHUNK;
                flush(&producer, PATIENCE);
                for delivery in deliveries.take() {
                    assert!(delivery.outcome.is_ok(), "{delivery:?}");
                }
                within(SILENCE, "the group reads, or the flow is to end", || {
                    let near = written < seen.load(Ordering::Relaxed) + AHEAD;
                    (near || told.load(Ordering::Relaxed)).then_some(())
                });
            }
            written
        });
        Flow { ending, read, thread }
    }

    /// Says how many values the group has read.
    pub fn note_read(&self, count: u64) {
        self.read.store(count, Ordering::Relaxed);
    }

    /// Ends it; values 0 to one below the answer were written.
    pub fn end(self) -> u64 {
        self.ending.store(true, Ordering::Relaxed);
        self.thread.join().expect("the producer goes through")
    }
}
