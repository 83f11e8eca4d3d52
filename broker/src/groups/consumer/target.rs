//! The group epoch and the target assignment (Kafka `updateSubscriptionMetadata`, `maybeUpdateTargetAssignment`, `TargetAssignmentBuilder`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use uuid::Uuid;

use super::assignor::{Assignor, GroupSpec, MemberSpec, TopicSpec};
use super::heartbeat::Context;
use super::settings::ConsumerSettings;
use super::stored::StoredMember;
use super::topics::{metadata_hash, TopicsImage};
use super::ConsumerGroup;

/// Names and regular expression of a member: members with equal ones are assigned as if they had one subscription.
type Subscription<'a> = (&'a BTreeSet<String>, &'a str);

impl<W> ConsumerGroup<W> {
    /// Brings the regular expressions in line with the members and, from time to time, with the topics.
    pub(super) fn update_regexes(&mut self, topics: &dyn TopicsImage, now: Instant) {
        let used = self.members.iter().filter_map(|member| member.stored.regex()).collect();
        self.regexes.update(&used, topics, now);
    }

    /// Raises the group epoch if `must`, or if the topics that members are subscribed to are not what they were.
    pub(super) fn raise_epoch_if(&mut self, must: bool, topics: &dyn TopicsImage) {
        let seen = (topics.version(), self.regexes.version());
        if !must && self.compared == Some(seen) {
            return;
        }
        self.compared = Some(seen);
        let hash = self.hash(topics);
        if must || hash != self.group.metadata_hash {
            self.group.metadata_hash = hash;
            self.group.group_epoch += 1;
        }
    }

    /// See [`metadata_hash`].
    pub(super) fn hash(&self, topics: &dyn TopicsImage) -> i64 {
        let distinct: BTreeSet<&BTreeSet<String>> = self
            .members
            .iter()
            .map(|member| &*member.stored.subscribed_topic_names)
            .collect();
        let matched = self.regexes.iter().flat_map(|(_, topics)| topics);
        let names = distinct.into_iter().flatten().chain(matched).map(String::as_str).collect();
        metadata_hash(&names, self.regexes.iter(), topics)
    }

    /// Computes a new target assignment if the group epoch is ahead and the last one was not made just now.
    pub(super) fn assign_if_due(&mut self, context: Context<'_>) {
        let delayed = self
            .assigned_at
            .is_some_and(|at| context.now.saturating_duration_since(at) < context.settings.assignment_interval);
        if self.group.assignment_epoch >= self.group.group_epoch || delayed {
            return;
        }
        let targets = self.assignor(context.settings).assign(&self.spec(context.topics));
        self.members.set_targets(targets);
        self.group.assignment_epoch = self.group.group_epoch;
        self.assigned_at = Some(context.now);
    }

    /// What most of the members that have a preference prefer.
    pub(super) fn assignor(&self, settings: &ConsumerSettings) -> Assignor {
        let mut votes: BTreeMap<Assignor, usize> = BTreeMap::new();
        for assignor in self.members.iter().filter_map(|member| member.stored.server_assignor) {
            *votes.entry(assignor).or_default() += 1;
        }
        let most = votes
            .into_iter()
            .max_by_key(|(_, votes)| *votes)
            .map(|(assignor, _)| assignor);
        most.unwrap_or_else(|| settings.default_assignor())
    }

    fn spec(&self, topics: &dyn TopicsImage) -> GroupSpec<'_> {
        let mut facts: BTreeMap<&str, Option<TopicSpec>> = BTreeMap::new();
        let mut indexes: BTreeMap<Subscription<'_>, usize> = BTreeMap::new();
        let mut subscriptions: Vec<BTreeSet<Uuid>> = Vec::new();
        let mut members = Vec::with_capacity(self.members.len());
        for member in self.members.iter().map(|member| &member.stored) {
            let key = (&*member.subscribed_topic_names, member.subscribed_topic_regex.as_str());
            let subscription = *indexes.entry(key).or_insert_with(|| {
                subscriptions.push(
                    self.names(member)
                        .filter_map(|name| {
                            let topic = facts.entry(name).or_insert_with(|| {
                                topics.by_name(name).map(|facts| TopicSpec {
                                    id: facts.id,
                                    partitions: facts.partitions,
                                })
                            });
                            topic.map(|topic| topic.id)
                        })
                        .collect(),
                );
                subscriptions.len() - 1
            });
            members.push(MemberSpec {
                member_id: &member.member_id,
                instance_id: member.instance_id.as_deref(),
                subscription,
                current: &member.target,
            });
        }
        let mut topics: Vec<TopicSpec> = facts.into_values().flatten().collect();
        topics.sort_by_key(|topic| topic.id);
        let index_of = |id: &Uuid| topics.binary_search_by(|topic| topic.id.cmp(id)).ok();
        let subscriptions = subscriptions
            .iter()
            .map(|ids| ids.iter().filter_map(index_of).collect())
            .collect();
        GroupSpec {
            topics,
            subscriptions,
            members,
        }
    }

    /// Names of topics that the member is subscribed to, some of them maybe twice.
    fn names<'a>(&'a self, member: &'a StoredMember) -> impl Iterator<Item = &'a str> {
        let by_regex = member.regex().and_then(|regex| self.regexes.topics(regex));
        member
            .subscribed_topic_names
            .iter()
            .chain(by_regex.into_iter().flatten())
            .map(String::as_str)
    }
}
