//! Groups of librdkafka consumers with each assignor of both protocols.

use crate::group::{Client, Group};
use crate::static_members::{started_again, End, NAMED};

const RANGE: &[&str] = &[
    "partition.assignment.strategy=range",
    "session.timeout.ms=6000",
    "max.poll.interval.ms=6000",
    "heartbeat.interval.ms=500",
];
const ROUND_ROBIN: &[&str] = &[
    "partition.assignment.strategy=roundrobin",
    "session.timeout.ms=6000",
    "max.poll.interval.ms=6000",
    "heartbeat.interval.ms=500",
];
const COOPERATIVE: &[&str] = &[
    "partition.assignment.strategy=cooperative-sticky",
    "session.timeout.ms=6000",
    "max.poll.interval.ms=6000",
    "heartbeat.interval.ms=500",
];
/// KIP-848: assignor, session and heartbeat interval are the server's.
const CONSUMER: &[&str] = &["group.protocol=consumer", "max.poll.interval.ms=10000"];
/// Sessions in which a member can be started again.
const RANGE_LONG: &[&str] = &[RANGE[0], "session.timeout.ms=30000", "max.poll.interval.ms=30000"];
const COOPERATIVE_LONG: &[&str] = &[COOPERATIVE[0], "session.timeout.ms=30000", "max.poll.interval.ms=30000"];
/// Members that nobody can replace.
const NAMELESS: [&[&str]; 2] = [&[], &[]];

/// A group of one grows to eight while records flow, and shrinks to one again.
fn grows_and_shrinks(prefix: &str, settings: &[&str]) {
    let mut group = Group::new(Client::Librdkafka, prefix, settings);
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
    let mut group = Group::new(Client::Librdkafka, prefix, settings);
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

/// One of two stops for longer than its session and than it may go without a poll, the other takes over, and the one that stopped comes
/// back.
fn survives_a_stall(prefix: &str, settings: &[&str], names: [&[&str]; 2]) {
    let mut group = Group::new(Client::Librdkafka, prefix, settings);
    for name in names {
        group.start(name);
    }
    group.settle();
    group.stall(0);
    group.settle();
    group.resume(0);
    group.settle();
    group.check();
}

/// KIP-848: one of two static members is killed. Who comes under its name within its session is refused for good; when that has ended,
/// the other has all, and one of that name is welcome.
fn waits_for_the_session_of_a_killed_static_member(prefix: &str) {
    let mut group = Group::new(Client::Librdkafka, prefix, CONSUMER);
    group.start(NAMED[0]);
    let second = group.start(NAMED[1]);
    group.settle();
    group.kill(second);
    let early = group.start(NAMED[1]);
    group.await_words(early, "UnreleasedInstanceId");
    group.kill(early);
    group.settle();
    group.start(NAMED[1]);
    group.settle();
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
    survives_a_stall("roundrobin-stall", ROUND_ROBIN, NAMELESS);
}

/// Goal: the cooperative-sticky assignor, a member stalls and comes back.
#[test]
fn cooperative_survives_a_stall() {
    survives_a_stall("cooperative-stall", COOPERATIVE, NAMELESS);
}

/// Goal: the range assignor, a static member is started again.
#[test]
fn range_keeps_static_members() {
    started_again(Client::Librdkafka, "range-static", RANGE_LONG, End::Killed);
}

/// Goal: the cooperative-sticky assignor, a static member is started again.
#[test]
fn cooperative_keeps_static_members() {
    started_again(Client::Librdkafka, "cooperative-static", COOPERATIVE_LONG, End::Killed);
}

/// Goal: the range assignor, a static member stalls, is removed and comes back.
#[test]
fn range_survives_a_stall_of_a_static_member() {
    survives_a_stall("range-static-stall", RANGE, NAMED);
}

/// Goal: KIP-848, a member stalls and comes back.
#[test]
fn consumer_survives_a_stall() {
    survives_a_stall("consumer-stall", CONSUMER, NAMELESS);
}

/// Goal: KIP-848, a static member stalls, is fenced and comes back.
#[test]
fn consumer_survives_a_stall_of_a_static_member() {
    survives_a_stall("consumer-static-stall", CONSUMER, NAMED);
}

/// Goal: KIP-848, a static member that has left for a while is started again.
#[test]
fn consumer_keeps_static_members() {
    started_again(Client::Librdkafka, "consumer-static", CONSUMER, End::Closed);
}

/// Goal: KIP-848, a static member is killed and started again within its session and after it.
#[test]
fn consumer_waits_for_a_killed_static_member() {
    waits_for_the_session_of_a_killed_static_member("consumer-static-kill");
}
