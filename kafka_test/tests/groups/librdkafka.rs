//! Groups of librdkafka consumers with each assignor of both protocols.

use crate::group::Group;

const RANGE: &[&str] = &[
    "partition.assignment.strategy=range",
    "session.timeout.ms=6000",
    "heartbeat.interval.ms=500",
];
const ROUND_ROBIN: &[&str] = &[
    "partition.assignment.strategy=roundrobin",
    "session.timeout.ms=6000",
    "heartbeat.interval.ms=500",
];
const COOPERATIVE: &[&str] = &[
    "partition.assignment.strategy=cooperative-sticky",
    "session.timeout.ms=6000",
    "heartbeat.interval.ms=500",
];
/// KIP-848: assignor, session and heartbeat interval are the server's.
const CONSUMER: &[&str] = &["group.protocol=consumer"];

/// A group of one grows to eight while records flow, and shrinks to one again.
fn grows_and_shrinks(prefix: &str, settings: &[&str]) {
    let mut group = Group::new(prefix, settings);
    for more in [1, 1, 2, 4] {
        for _ in 0..more {
            group.start(&[]);
        }
        group.settle();
    }
    for number in [0, 3] {
        group.leave(number);
        group.settle();
    }
    for number in [1, 2, 5, 6, 7] {
        group.leave(number);
    }
    group.settle();
    group.check();
}

/// One of three is killed; the others take over what it had, and a new one joins.
fn survives_a_kill(prefix: &str, settings: &[&str]) {
    let mut group = Group::new(prefix, settings);
    for _ in 0..3 {
        group.start(&[]);
    }
    group.settle();
    group.kill(1);
    group.settle();
    group.start(&[]);
    group.settle();
    group.check();
}

/// One of two stops for longer than its session, the other takes over, and the one that stopped comes back.
fn survives_a_stall(prefix: &str, settings: &[&str]) {
    let mut group = Group::new(prefix, settings);
    for _ in 0..2 {
        group.start(&[]);
    }
    group.settle();
    group.stall(0);
    group.settle();
    group.resume(0);
    group.settle();
    group.check();
}

/// A static member that is killed and started again within its session gets what it had, and the other notices nothing.
fn keeps_static_members(prefix: &str, settings: &[&str]) {
    let mut all = settings.to_vec();
    all.push("session.timeout.ms=30000");
    let mut group = Group::new(prefix, &all);
    let first = group.start(&["group.instance.id=a"]);
    let second = group.start(&["group.instance.id=b"]);
    group.settle();
    let (owned, rebalances) = (group.owned_by(second), group.rebalances_of(first));
    group.kill(second);
    let again = group.start(&["group.instance.id=b"]);
    group.settle();
    assert_eq!(group.owned_by(again), owned, "the same partitions");
    assert_eq!(group.rebalances_of(first), rebalances, "the other is not disturbed");
    group.check();
}

/// Goal: the range assignor, members come and go.
#[test]
fn range_grows_and_shrinks() {
    grows_and_shrinks("range-grows", RANGE);
}

/// Goal: the roundrobin assignor, members come and go.
#[test]
fn roundrobin_grows_and_shrinks() {
    grows_and_shrinks("roundrobin-grows", ROUND_ROBIN);
}

/// Goal: the cooperative-sticky assignor, members come and go.
#[test]
fn cooperative_grows_and_shrinks() {
    grows_and_shrinks("cooperative-grows", COOPERATIVE);
}

/// Goal: KIP-848, members come and go.
#[test]
fn consumer_grows_and_shrinks() {
    grows_and_shrinks("consumer-grows", CONSUMER);
}

/// Goal: the range assignor, a member is killed.
#[test]
fn range_survives_a_kill() {
    survives_a_kill("range-kill", RANGE);
}

/// Goal: the cooperative-sticky assignor, a member is killed.
#[test]
fn cooperative_survives_a_kill() {
    survives_a_kill("cooperative-kill", COOPERATIVE);
}

/// Goal: KIP-848, a member is killed.
#[test]
fn consumer_survives_a_kill() {
    survives_a_kill("consumer-kill", CONSUMER);
}

/// Goal: the roundrobin assignor, a member stalls and comes back.
#[test]
fn roundrobin_survives_a_stall() {
    survives_a_stall("roundrobin-stall", ROUND_ROBIN);
}

/// Goal: the cooperative-sticky assignor, a member stalls and comes back.
#[test]
fn cooperative_survives_a_stall() {
    survives_a_stall("cooperative-stall", COOPERATIVE);
}

/// Goal: the range assignor, a static member is started again.
#[test]
fn range_keeps_static_members() {
    keeps_static_members("range-static", &RANGE[..1]);
}

/// Goal: the cooperative-sticky assignor, a static member is started again.
#[test]
fn cooperative_keeps_static_members() {
    keeps_static_members("cooperative-static", &COOPERATIVE[..1]);
}
