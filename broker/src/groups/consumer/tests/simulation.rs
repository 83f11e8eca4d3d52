//! Random clients, clocks, losses and restarts. Goal: no partition is ever with two clients, every request is answered once, and a group that is
//! left in peace becomes stable, with every partition assigned evenly.
//!
//! A client owns a partition from the reply that gives it until it sends a heartbeat without it, or until its member has durably ended.

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;

const CLIENTS: usize = 5;
const TOPICS: [&str; 3] = ["a", "b", "c"];

#[derive(Debug, Clone)]
enum Step {
    /// The client sends what it has to say, if it waits for nothing: a join, or a heartbeat.
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

#[derive(Debug, Clone)]
struct Client {
    member_id: String,
    instance_id: Option<String>,
    subscription: Subscription,
    epoch: i32,
    /// What it was told last.
    told: Partitions,
    owned: Partitions,
    /// What it said it owned, in a heartbeat that was answered.
    said: Option<Partitions>,
    says: Option<Partitions>,
    waits_for: Option<u32>,
    /// Whether it must say everything again.
    says_all: bool,
}

impl Client {
    fn new(number: usize, name: u32) -> Self {
        Client {
            member_id: format!("m{name}"),
            instance_id: number.is_multiple_of(2).then(|| format!("i{number}")),
            subscription: Subscription::Names(vec!["a", "b"]),
            epoch: 0,
            told: Partitions::new(),
            owned: Partitions::new(),
            said: None,
            says: None,
            waits_for: None,
            says_all: false,
        }
    }

    fn rejoin(&mut self) {
        self.epoch = 0;
        self.owned.clear();
        self.told.clear();
        self.said = None;
    }

    fn request(&mut self) -> HeartbeatRequest {
        let all = std::mem::take(&mut self.says_all) || self.epoch == 0;
        let mut request = if all {
            join(&self.member_id, &[])
        } else {
            beat(&self.member_id, self.epoch)
        };
        request.member_epoch = self.epoch;
        if all {
            let (names, regex) = match &self.subscription {
                Subscription::Names(names) => (names.clone(), ""),
                Subscription::Regex(regex) => (Vec::new(), *regex),
            };
            request.subscribed_topic_names = Some(names.iter().map(|name| (*name).to_owned()).collect());
            request.subscribed_topic_regex = Some(regex.to_owned());
            request.instance_id.clone_from(&self.instance_id);
        }
        request.owned = (all || self.said.as_ref() != Some(&self.owned)).then(|| self.owned.clone());
        self.says = Some(self.owned.clone());
        request
    }

    fn subscribes_to(&self, topic: &str) -> bool {
        match &self.subscription {
            Subscription::Names(names) => names.contains(&topic),
            Subscription::Regex(regex) => crate::groups::consumer::regex::compile(regex)
                .unwrap()
                .is_match(topic.as_bytes()),
        }
    }
}

struct World {
    script: Script,
    clients: Vec<Option<Client>>,
    /// Clients that were killed and whose members have not ended.
    ghosts: Vec<Client>,
    store: BTreeMap<String, StoredMember>,
    stored_group: Option<StoredGroup>,
    undurable: VecDeque<Persist>,
    unanswered: BTreeSet<u32>,
    replies: BTreeMap<u32, HeartbeatReply>,
    names: u32,
}

impl World {
    fn new() -> Self {
        let mut script = Script::new(&[("a", 3), ("b", 2)]);
        script.settings.assignment_interval = Duration::from_secs(1);
        World {
            script,
            clients: vec![None; CLIENTS],
            ghosts: Vec::new(),
            store: BTreeMap::new(),
            stored_group: None,
            undurable: VecDeque::new(),
            unanswered: BTreeSet::new(),
            replies: BTreeMap::new(),
            names: 0,
        }
    }

    fn name(&mut self) -> u32 {
        self.names += 1;
        self.names
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Beat(client) => self.beat(client),
            Step::Deliver(client) => self.deliver(client),
            Step::GiveUp(client) => self.with(client, |client| {
                client.says_all |= client.waits_for.take().is_some();
            }),
            Step::Revoke(client) => self.with(client, |client| {
                client.owned.retain(|topic, partitions| {
                    partitions.retain(|partition| client.told.get(topic).is_some_and(|told| told.contains(partition)));
                    !partitions.is_empty()
                });
            }),
            Step::Subscribe(client, subscription) => self.with(client, |client| {
                client.subscription = subscription;
                client.says_all = true;
            }),
            Step::Leave(client) => self.leave(client),
            Step::Away(client) => self.away(client),
            Step::Kill(client) => self.ghosts.extend(self.clients[client].take()),
            Step::Persist(number) => self.persist(number),
            Step::Restart => self.restart(),
            Step::Pass(time_ms) => {
                self.script.sleep(Duration::from_millis(time_ms));
                self.collect();
            }
            Step::Topic(topic, Some(more)) => {
                let partitions = self.script.topics.by_name(TOPICS[topic]).map_or(0, |facts| facts.partitions);
                self.script.topics.set(TOPICS[topic], partitions + more);
            }
            Step::Topic(topic, None) => self.script.topics.delete(TOPICS[topic]),
        }
        self.check_owners();
    }

    fn with(&mut self, client: usize, change: impl FnOnce(&mut Client)) {
        if let Some(client) = &mut self.clients[client] {
            change(client);
        }
    }

    fn send(&mut self, request: HeartbeatRequest) -> u32 {
        let waiter = self.script.send(request);
        self.unanswered.insert(waiter);
        self.collect();
        waiter
    }

    fn collect(&mut self) {
        self.undurable.extend(std::iter::from_fn(|| self.script.group.poll_persist()));
        while let Some((waiter, reply)) = self.script.group.poll_reply() {
            assert!(self.unanswered.remove(&waiter), "answered twice");
            self.replies.insert(waiter, heartbeat_reply(reply));
        }
    }

    fn beat(&mut self, number: usize) {
        let name = self.name();
        let client = self.clients[number].get_or_insert_with(|| Client::new(number, name));
        if client.waits_for.is_none() {
            let request = client.request();
            let waiter = self.send(request);
            self.with(number, |client| client.waits_for = Some(waiter));
        }
    }

    fn deliver(&mut self, number: usize) {
        let Some(client) = &mut self.clients[number] else { return };
        let Some(reply) = client.waits_for.and_then(|waiter| self.replies.remove(&waiter)) else {
            return;
        };
        client.waits_for = None;
        match reply {
            Ok(heartbeat) => {
                assert!(heartbeat.member_epoch > 0 && heartbeat.member_id == client.member_id);
                client.epoch = heartbeat.member_epoch;
                client.said = client.says.take();
                if let Some(assignment) = heartbeat.assignment {
                    for (topic, partitions) in &assignment {
                        client.owned.entry(*topic).or_default().extend(partitions);
                    }
                    client.told = assignment;
                }
            }
            Err(error) => match error.code() {
                ResponseError::UnknownMemberId | ResponseError::FencedMemberEpoch => client.rejoin(),
                ResponseError::UnreleasedInstanceId => {}
                ResponseError::FencedInstanceId => self.clients[number] = None,
                ResponseError::CoordinatorNotAvailable => client.says_all = true,
                _ => panic!("{error}"),
            },
        }
    }

    fn leave(&mut self, number: usize) {
        if let Some(client) = self.clients[number].take() {
            let mut request = beat(&client.member_id, LEAVE_EPOCH);
            request.instance_id = client.instance_id;
            self.send(request);
        }
    }

    fn away(&mut self, number: usize) {
        let name = self.name();
        let Some(client) = &mut self.clients[number] else { return };
        client.rejoin();
        client.waits_for = None;
        if client.instance_id.is_some() {
            let mut request = beat(&client.member_id, LEAVE_STATIC_EPOCH);
            request.instance_id.clone_from(&client.instance_id);
            client.member_id = format!("m{name}");
            self.send(request);
        }
    }

    fn persist(&mut self, number: usize) {
        for _ in 0..number {
            let Some(Persist { token, change }) = self.undurable.pop_front() else {
                break;
            };
            for member_id in change.removed {
                self.store.remove(&member_id);
                self.end(&member_id);
            }
            self.store
                .extend(change.members.into_iter().map(|member| (member.member_id.clone(), member)));
            self.stored_group = change.group.or(self.stored_group);
            self.script.group.persisted(token);
        }
        self.collect();
    }

    /// What a client whose member has ended still believes does not count, nor a reply to it that is on its way.
    fn end(&mut self, member_id: &str) {
        self.ghosts.retain(|ghost| ghost.member_id != member_id);
        for client in self
            .clients
            .iter_mut()
            .flatten()
            .filter(|client| client.member_id == member_id)
        {
            client.owned.clear();
            client.told.clear();
            client.says_all |= client.waits_for.take().is_some();
        }
    }

    fn restart(&mut self) {
        self.script.group.close(ResponseError::CoordinatorNotAvailable);
        self.collect();
        assert!(self.unanswered.is_empty(), "not answered");
        self.undurable.clear();
        let script = &mut self.script;
        script.group = match self.stored_group {
            None => ConsumerGroup::new("group"),
            Some(group) => {
                let members = self.store.values().cloned().collect();
                ConsumerGroup::restore(
                    "group",
                    StoredConsumerGroup { group, members },
                    &script.settings,
                    &script.topics,
                    script.now,
                )
            }
        };
    }

    fn check_owners(&self) {
        let mut owners = BTreeMap::new();
        for client in self.clients.iter().flatten().chain(&self.ghosts) {
            for (topic, partition) in client
                .owned
                .iter()
                .flat_map(|(topic, set)| set.iter().map(move |partition| (*topic, *partition)))
            {
                let other = owners.insert((topic, partition), &client.member_id);
                assert_eq!(other, None, "{} owns {topic} {partition} too", client.member_id);
            }
        }
    }

    /// Everybody who is there keeps to the protocol, nothing is lost, nothing changes.
    fn calm_down(&mut self) {
        for _ in 0..40 {
            for client in 0..CLIENTS {
                if self.clients[client].is_some() {
                    self.step(Step::Beat(client));
                }
                self.step(Step::Persist(usize::MAX));
                self.step(Step::Deliver(client));
                self.step(Step::Revoke(client));
            }
            self.step(Step::Pass(5000));
        }
        self.step(Step::Persist(usize::MAX));
    }

    fn check_calm(&self) {
        let clients: Vec<&Client> = self.clients.iter().flatten().collect();
        let expected = if clients.is_empty() {
            ConsumerGroupState::Empty
        } else {
            ConsumerGroupState::Stable
        };
        assert_eq!(self.script.group.state(), expected);
        assert_eq!(self.script.group.members.len(), clients.len());
        let mut owned = Vec::new();
        for client in &clients {
            let member = self.script.member(&client.member_id);
            assert_eq!((&client.owned, client.epoch), (&member.target, member.member_epoch));
            owned.extend(
                client
                    .owned
                    .iter()
                    .flat_map(|(topic, set)| set.iter().map(|partition| (*topic, *partition))),
            );
        }
        owned.sort_unstable();
        let subscribed = self
            .script
            .topics
            .by_name
            .values()
            .filter(|facts| clients.iter().any(|client| client.subscribes_to(&facts.name)));
        let mut all: Vec<_> = subscribed
            .flat_map(|facts| (0..facts.partitions).map(|partition| (facts.id, partition)))
            .collect();
        all.sort_unstable();
        assert_eq!(owned, all);
        self.check_even(&clients);
    }

    fn check_even(&self, clients: &[&Client]) {
        let load = |client: &Client| client.owned.values().map(BTreeSet::len).sum::<usize>();
        for giver in clients {
            for topic in giver.owned.keys() {
                let name = self.script.topics.by_id(topic).unwrap().name;
                for taker in clients.iter().filter(|taker| taker.subscribes_to(&name)) {
                    assert!(load(giver) <= load(taker) + 1, "{} and {}", load(giver), load(taker));
                }
            }
        }
    }
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
