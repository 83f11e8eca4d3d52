//! The broker's storage, the clients, and what happens between them.

use std::collections::{BTreeSet, VecDeque};

use super::client::{Client, Phase};
use super::*;
use crate::groups::consumer::classic::protocol::{by_id, read_assignment};

pub(super) struct World {
    script: Script,
    clients: Vec<Option<Client>>,
    /// Clients that were killed and whose members have not ended.
    ghosts: Vec<Client>,
    store: BTreeMap<String, StoredMember>,
    stored_group: Option<StoredGroup>,
    undurable: VecDeque<Persist>,
    unanswered: BTreeSet<u32>,
    replies: BTreeMap<u32, Reply>,
    /// The topics as they were when a SyncGroup was served, whose answer has only names.
    topics_of_sync: BTreeMap<u32, Topics>,
    names: u32,
}

impl World {
    pub fn new() -> Self {
        let mut script = Script::new(&[("a", 3), ("b", 2)]);
        script.settings.assignment_interval = Duration::from_secs(1);
        // The simulation has no classic groups.
        script.settings.migration = MigrationPolicy::Upgrade;
        World {
            script,
            clients: vec![None; CLIENTS],
            ghosts: Vec::new(),
            store: BTreeMap::new(),
            stored_group: None,
            undurable: VecDeque::new(),
            unanswered: BTreeSet::new(),
            replies: BTreeMap::new(),
            topics_of_sync: BTreeMap::new(),
            names: 0,
        }
    }

    fn name(&mut self) -> u32 {
        self.names += 1;
        self.names
    }

    pub fn step(&mut self, step: Step) {
        match step {
            Step::Beat(client) => self.beat(client),
            Step::Deliver(client) => self.deliver(client),
            Step::GiveUp(client) => self.with(client, |client| {
                if client.waits_for.take().is_some() {
                    client.says_all = true;
                    client.phase = client.phase.map(|_| Phase::Join);
                }
            }),
            Step::Revoke(client) => self.with(client, Client::revoke),
            Step::Subscribe(client, Subscription::Regex(_)) if client >= FIRST_CLASSIC => {}
            Step::Subscribe(client, subscription) => self.with(client, |client| {
                client.subscription = subscription;
                client.says_all = true;
                client.phase = client.phase.map(|_| Phase::Join);
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
        self.sent(waiter)
    }

    fn sent(&mut self, waiter: u32) -> u32 {
        self.unanswered.insert(waiter);
        self.collect();
        waiter
    }

    fn collect(&mut self) {
        self.undurable.extend(std::iter::from_fn(|| self.script.group.poll_persist()));
        while let Some((waiter, reply)) = self.script.group.poll_reply() {
            assert!(self.unanswered.remove(&waiter), "answered twice");
            self.replies.insert(waiter, reply);
        }
    }

    fn beat(&mut self, number: usize) {
        let name = self.name();
        let client = self.clients[number].get_or_insert_with(|| Client::new(number, name));
        if client.waits_for.is_some() {
            return;
        }
        let waiter = match client.phase {
            None => {
                let request = client.request();
                self.send(request)
            }
            // A JoinGroup to a group without members is a classic group's.
            Some(_) if self.script.group.members.is_empty() => return,
            Some(phase) => {
                let client = client.clone();
                self.send_classic(&client, phase)
            }
        };
        self.with(number, |client| client.waits_for = Some(waiter));
    }

    fn send_classic(&mut self, client: &Client, phase: Phase) -> u32 {
        self.script.sent += 1;
        let waiter = self.script.sent;
        let Script {
            group,
            settings,
            topics,
            now,
            ..
        } = &mut self.script;
        let sync = || ClassicSync {
            member: client.member_ref(),
            protocol_type: None,
            protocol_name: None,
        };
        match phase {
            Phase::Join => group.classic_join(settings, topics, *now, client.classic_join(topics), waiter),
            Phase::Sync => {
                self.topics_of_sync.insert(waiter, topics.clone());
                group.classic_sync(topics, *now, sync(), waiter);
            }
            Phase::Beat => group.classic_heartbeat(*now, &client.member_ref(), waiter),
        }
        self.sent(waiter)
    }

    fn deliver(&mut self, number: usize) {
        let Some(client) = &mut self.clients[number] else { return };
        let Some(waiter) = client.waits_for.filter(|waiter| self.replies.contains_key(waiter)) else {
            return;
        };
        client.waits_for = None;
        let error = match self.replies.remove(&waiter) {
            Some(Reply::Heartbeat(Ok(heartbeat))) => {
                assert!(heartbeat.member_epoch > 0 && heartbeat.member_id == client.member_id);
                client.epoch = heartbeat.member_epoch;
                client.said = client.says.take();
                if let Some(assignment) = heartbeat.assignment {
                    client.acquire(assignment);
                }
                return;
            }
            Some(Reply::ClassicJoin(ClassicJoinReply { result: Ok(joined), .. })) => {
                client.epoch = joined.generation_id;
                client.phase = Some(Phase::Sync);
                return;
            }
            Some(Reply::ClassicSync(Ok(synced))) => {
                let named = read_assignment(&synced.assignment).unwrap().0;
                client.acquire(by_id(&named, &self.topics_of_sync[&waiter]));
                client.phase = Some(Phase::Beat);
                return;
            }
            Some(Reply::ClassicHeartbeat(Ok(()))) => return,
            Some(Reply::Heartbeat(Err(error))) => error.code(),
            Some(Reply::ClassicJoin(ClassicJoinReply { result: Err(error), .. })) => error,
            Some(Reply::ClassicSync(Err(error)) | Reply::ClassicHeartbeat(Err(error))) => error,
            other => panic!("{other:?}"),
        };
        client.says_all = true;
        client.phase = client.phase.map(|_| Phase::Join);
        match error {
            ResponseError::UnknownMemberId | ResponseError::FencedMemberEpoch | ResponseError::IllegalGeneration => {
                client.rejoin()
            }
            ResponseError::UnreleasedInstanceId | ResponseError::CoordinatorNotAvailable | ResponseError::RebalanceInProgress => {
            }
            ResponseError::FencedInstanceId => self.clients[number] = None,
            _ => panic!("{error}"),
        }
    }

    fn leave(&mut self, number: usize) {
        if let Some(client) = self.clients[number].take() {
            if client.phase.is_some() {
                self.leave_classic(client.member_id);
                return;
            }
            let mut request = beat(&client.member_id, LEAVE_EPOCH);
            request.instance_id = client.instance_id;
            self.send(request);
        }
    }

    fn leave_classic(&mut self, member_id: String) {
        self.script.sent += 1;
        let waiter = self.script.sent;
        let Script {
            group,
            settings,
            topics,
            now,
            ..
        } = &mut self.script;
        let leaving = ClassicLeaving {
            member_id,
            instance_id: None,
        };
        group.classic_leave(settings, topics, *now, vec![leaving], waiter);
        self.sent(waiter);
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
            client.phase = client.phase.map(|_| Phase::Join);
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
    pub fn calm_down(&mut self) {
        if self.clients.iter().any(Option::is_some) {
            // Members of the classic protocol need one of this protocol beside them, or they would be a classic group.
            self.step(Step::Beat(0));
        }
        for _ in 0..100 {
            for client in 0..CLIENTS {
                if self.clients[client].is_some() {
                    self.step(Step::Beat(client));
                }
                self.step(Step::Persist(usize::MAX));
                self.step(Step::Deliver(client));
                self.step(Step::Revoke(client));
            }
            self.step(Step::Pass(2000));
        }
        self.step(Step::Persist(usize::MAX));
    }

    pub fn check_calm(&self) {
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
