//! Groups of Kafka's own consumers in both protocols: static members, and members that do not poll in time although their clients go on.

use crate::group::{Client, Group};
use crate::static_members::{started_again, End, NAMED};

const CLASSIC: &[&str] = &[
    "group.protocol=classic",
    "session.timeout.ms=6000",
    "max.poll.interval.ms=6000",
    "heartbeat.interval.ms=500",
];
/// Sessions in which a member can be started again.
const CLASSIC_LONG: &[&str] = &[
    "group.protocol=classic",
    "session.timeout.ms=30000",
    "max.poll.interval.ms=30000",
];
/// KIP-848: session and heartbeat interval are the server's.
const CONSUMER: &[&str] = &["group.protocol=consumer", "max.poll.interval.ms=6000"];

/// One of two does not poll for too long, the other takes over, and the one that stalled comes back.
fn survives_a_poll_stall(prefix: &str, settings: &[&str], names: [&[&str]; 2]) {
    let mut group = Group::new(Client::Java, prefix, settings);
    for name in names {
        group.start(name);
    }
    group.settle();
    group.stall_polls(0);
    group.settle();
    group.resume_polls(0);
    group.settle();
    group.check();
}

/// Goal: a member that does not poll leaves by itself and comes back.
#[test]
fn java_survives_a_poll_stall() {
    survives_a_poll_stall("java-stall", CLASSIC, [&[], &[]]);
}

/// Goal: a static member that does not poll is silent until its session has ended, and comes back.
#[test]
fn java_survives_a_poll_stall_of_a_static_member() {
    survives_a_poll_stall("java-static-stall", CLASSIC, NAMED);
}

/// Goal: KIP-848, a member that does not poll leaves by itself and comes back.
#[test]
fn java_consumer_survives_a_poll_stall() {
    survives_a_poll_stall("java-consumer-stall", CONSUMER, [&[], &[]]);
}

/// Goal: KIP-848, a static member that does not poll leaves for a while, its session ends, and it comes back.
#[test]
fn java_consumer_survives_a_poll_stall_of_a_static_member() {
    survives_a_poll_stall("java-consumer-static-stall", CONSUMER, NAMED);
}

/// Goal: a static member that was killed is started again.
#[test]
fn java_keeps_static_members() {
    started_again(Client::Java, "java-static", CLASSIC_LONG, End::Killed);
}

/// Goal: KIP-848, a static member that has left for a while is started again.
#[test]
fn java_consumer_keeps_static_members() {
    started_again(Client::Java, "java-consumer-static", CONSUMER, End::Closed);
}
