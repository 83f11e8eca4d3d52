//! What a client knows, and what it says.

use super::*;
use crate::groups::consumer::classic::tests::{classic_join, subscription};

#[derive(Debug, Clone)]
pub(super) struct Client {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub subscription: Subscription,
    pub epoch: i32,
    /// What it was told last.
    pub told: Partitions,
    pub owned: Partitions,
    /// What it said it owned, in a heartbeat that was answered.
    pub said: Option<Partitions>,
    pub says: Option<Partitions>,
    pub waits_for: Option<u32>,
    /// Whether it must say everything again.
    pub says_all: bool,
    /// Of a client of the classic protocol: what it sends next.
    pub phase: Option<Phase>,
}

impl Client {
    pub fn new(number: usize, name: u32) -> Self {
        let is_classic = number >= FIRST_CLASSIC;
        Client {
            member_id: format!("m{name}"),
            instance_id: (number.is_multiple_of(2) && !is_classic).then(|| format!("i{number}")),
            subscription: Subscription::Names(vec!["a", "b"]),
            epoch: 0,
            told: Partitions::new(),
            owned: Partitions::new(),
            said: None,
            says: None,
            waits_for: None,
            says_all: false,
            phase: is_classic.then_some(Phase::Join),
        }
    }

    pub fn rejoin(&mut self) {
        self.epoch = 0;
        self.owned.clear();
        self.told.clear();
        self.said = None;
        self.phase = self.phase.map(|_| Phase::Join);
    }

    pub fn request(&mut self) -> HeartbeatRequest {
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

    pub fn subscribes_to(&self, topic: &str) -> bool {
        match &self.subscription {
            Subscription::Names(names) => names.contains(&topic),
            Subscription::Regex(regex) => crate::groups::consumer::regex::compile(regex)
                .unwrap()
                .is_match(topic.as_bytes()),
        }
    }

    pub fn acquire(&mut self, assignment: Partitions) {
        for (topic, partitions) in &assignment {
            self.owned.entry(*topic).or_default().extend(partitions);
        }
        self.told = assignment;
    }

    /// Stops to use what is not assigned to it any more.
    pub fn revoke(&mut self) {
        let told = &self.told;
        self.owned.retain(|topic, partitions| {
            partitions.retain(|partition| told.get(topic).is_some_and(|told| told.contains(partition)));
            !partitions.is_empty()
        });
    }

    pub fn classic_join(&self, topics: &Topics) -> ClassicJoin {
        let owned: Vec<_> = self
            .owned
            .iter()
            .filter_map(|(id, set)| Some((topics.by_id(id)?.name, set.iter().copied().collect::<Vec<i32>>())))
            .collect();
        let owned: Vec<(&str, &[i32])> = owned.iter().map(|(name, list)| (name.as_str(), list.as_slice())).collect();
        let Subscription::Names(names) = &self.subscription else {
            panic!("classic members know no expressions")
        };
        let mut join = classic_join(&self.member_id, &[]);
        join.protocols[0].metadata = subscription(names, &owned);
        join
    }

    pub fn member_ref(&self) -> ClassicMemberRef {
        ClassicMemberRef {
            member_id: self.member_id.clone(),
            instance_id: None,
            generation_id: self.epoch,
        }
    }
}

/// What a client of the classic protocol sends next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Join,
    Sync,
    Beat,
}
