//! One consumer of a group in a process of its own, so that it can be killed and stopped: what tests/groups starts.
//!
//! Arguments: `host:port`, topic, group, and settings of librdkafka as `key=value`. It reads until its standard input ends, then it leaves
//! the group. What happens is said on standard output, a line each, behind the time in nanoseconds since 1970:
//!
//! - `assigned PARTITION ...` before it asks for their offsets, `revoked PARTITION ...` after their offsets are committed,
//! - `record PARTITION OFFSET VALUE`,
//! - `committed PARTITION OFFSET` when the server has confirmed it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test program fails by panicking")]

use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Records of a partition between two commits.
const COMMIT_EVERY: i64 = 10;
/// Time that a poll waits.
const POLL: Duration = Duration::from_millis(100);

/// What was read and is not committed.
struct Member {
    topic: String,
    /// Next offset of each partition.
    next: Mutex<BTreeMap<i32, i64>>,
}

impl ClientContext for Member {}

impl ConsumerContext for Member {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => say(&format!("assigned{}", numbers(partitions))),
            Rebalance::Revoke(partitions) => {
                for partition in partitions.elements() {
                    self.commit(consumer, partition.partition());
                }
                say(&format!("revoked{}", numbers(partitions)));
            }
            Rebalance::Error(error) => say(&format!("error {error}")),
        }
    }
}

impl Member {
    /// Commits what was read of a partition; one that belongs to another member by now is not committed.
    fn commit(&self, consumer: &BaseConsumer<Self>, partition: i32) {
        let Some(next) = self.next.lock().unwrap().remove(&partition) else {
            return;
        };
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, partition, Offset::Offset(next))
            .unwrap();
        match consumer.commit(&list, CommitMode::Sync) {
            Ok(()) => say(&format!("committed {partition} {next}")),
            Err(error) => say(&format!("refused {partition} {next} {error}")),
        }
    }
}

fn numbers(partitions: &TopicPartitionList) -> String {
    let numbers = partitions
        .elements()
        .iter()
        .map(|p| format!(" {}", p.partition()))
        .collect::<Vec<_>>();
    numbers.concat()
}

fn say(what: &str) {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let mut out = std::io::stdout().lock();
    // Whoever listened may be gone, as after a test that failed.
    let _ = writeln!(out, "{nanos} {what}").and_then(|()| out.flush());
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, topic, group, settings @ ..] = arguments.as_slice() else {
        panic!("usage: group_member HOST:PORT TOPIC GROUP [KEY=VALUE ...]");
    };
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("group.id", group);
    config.set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
    for setting in settings {
        let (key, value) = setting.split_once('=').expect("a setting is KEY=VALUE");
        config.set(key, value);
    }
    let member = Member {
        topic: topic.clone(),
        next: Mutex::default(),
    };
    let consumer: BaseConsumer<Member> = config.create_with_context(member).expect("a consumer");
    consumer.subscribe(&[topic]).expect("a subscription");
    let ending = Arc::new(AtomicBool::new(false));
    let told = ending.clone();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        told.store(true, Ordering::Relaxed);
    });
    while !ending.load(Ordering::Relaxed) {
        read(&consumer);
    }
    leave(consumer);
    say("left");
}

/// Leaves the group. librdkafka never ends a consumer that is closed while it has a rebalance to tell of (its issue 4884): the call by
/// which the callback gives up partitions waits for a thread that no longer answers. So the subscription ends first, and what there is to
/// tell is heard.
fn leave(consumer: BaseConsumer<Member>) {
    commit_all(&consumer, consumer.context());
    consumer.unsubscribe();
    loop {
        read(&consumer);
        let owned = consumer.assignment().expect("the assignment");
        if owned.count() == 0 {
            break;
        }
    }
}

/// Reads one record, or commits what is left when there is none.
fn read(consumer: &BaseConsumer<Member>) {
    let context = consumer.context();
    match consumer.poll(POLL) {
        Some(Ok(message)) => {
            let (partition, offset) = (message.partition(), message.offset());
            let value = String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned();
            say(&format!("record {partition} {offset} {value}"));
            context.next.lock().unwrap().insert(partition, offset + 1);
            if (offset + 1) % COMMIT_EVERY == 0 {
                context.commit(consumer, partition);
            }
        }
        Some(Err(error)) => say(&format!("error {error}")),
        None => commit_all(consumer, context),
    }
}

fn commit_all(consumer: &BaseConsumer<Member>, context: &Member) {
    let partitions: Vec<i32> = context.next.lock().unwrap().keys().copied().collect();
    for partition in partitions {
        context.commit(consumer, partition);
    }
}
