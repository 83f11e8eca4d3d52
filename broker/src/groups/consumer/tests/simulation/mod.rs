//! Random clients, clocks, losses and restarts. Goal: no partition is ever with two clients, every request is answered once, and a group that is
//! left in peace becomes stable, with every partition assigned evenly.
//!
//! A client owns a partition from the reply that gives it until it sends a request without it, or until its member has durably ended. Some of
//! the clients use the classic protocol.

mod client;
mod world;

use proptest::prelude::*;

use self::world::World;
use super::*;

const CLIENTS: usize = 6;
/// Clients from this number on use the classic protocol.
const FIRST_CLASSIC: usize = 4;
const TOPICS: [&str; 3] = ["a", "b", "c"];

#[derive(Debug, Clone)]
enum Step {
    /// The client sends what it has to say, if it waits for nothing: a join, a heartbeat or a sync.
    Beat(usize),
    /// The client gets the reply that it waits for, if that has left.
    Deliver(usize),
    /// The client waits no longer and tries again later, whatever became of its request.
    GiveUp(usize),
    /// The client stops to use what is no longer assigned to it.
    Revoke(usize),
    /// The client subscribes to something else, with its next heartbeat.
    Subscribe(usize, Subscription),
    /// It leaves.
    Leave(usize),
    /// A static one goes away and will be back under another member id; another one rejoins.
    Away(usize),
    /// It is gone without a word, and somebody else comes in its place later.
    Kill(usize),
    /// The next so many changes become durable.
    Persist(usize),
    /// The broker starts again from what is durable.
    Restart,
    /// Time passes, in milliseconds.
    Pass(u64),
    /// The topic is there with so many partitions more, or none.
    Topic(usize, Option<i32>),
}

#[derive(Debug, Clone)]
enum Subscription {
    Names(Vec<&'static str>),
    Regex(&'static str),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let client = || 0..CLIENTS;
    let subscription = prop_oneof![
        prop::sample::subsequence(TOPICS.to_vec(), 0..=3).prop_map(Subscription::Names),
        prop::sample::select(vec!["[ab]", "c", ".*"]).prop_map(Subscription::Regex),
    ];
    let step = prop_oneof![
        30 => client().prop_map(Step::Beat),
        30 => client().prop_map(Step::Deliver),
        5 => client().prop_map(Step::GiveUp),
        15 => client().prop_map(Step::Revoke),
        3 => (client(), subscription).prop_map(|(client, subscription)| Step::Subscribe(client, subscription)),
        1 => client().prop_map(Step::Leave),
        2 => client().prop_map(Step::Away),
        1 => client().prop_map(Step::Kill),
        30 => (1..5_usize).prop_map(Step::Persist),
        1 => Just(Step::Restart),
        8 => (1..6000_u64).prop_map(Step::Pass),
        2 => (0..TOPICS.len(), prop::option::weighted(0.8, 0..4)).prop_map(|(topic, more)| Step::Topic(topic, more)),
    ];
    prop::collection::vec(step, 1..250)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_partition_has_two_owners_and_peace_makes_stable(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.calm_down();
        world.check_calm();
    }
}
