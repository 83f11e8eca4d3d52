//! Goal: what the assignors promise holds for any group: every partition of a subscribed topic goes to one subscriber, loads are even, and members
//! keep what they can.

use proptest::prelude::*;

use super::*;

/// Topics by index have the id of their index.
fn id(topic: usize) -> Uuid {
    Uuid::from_u128(topic as u128)
}

#[derive(Debug, Clone)]
struct Group {
    topics: Vec<TopicSpec>,
    /// Member id, instance id, subscription, target.
    members: Vec<(String, Option<String>, BTreeSet<usize>, Partitions)>,
}

impl Group {
    fn new(partitions: &[i32], members: &[(&str, &[usize])]) -> Self {
        Group {
            topics: partitions
                .iter()
                .enumerate()
                .map(|(index, partitions)| TopicSpec {
                    id: id(index),
                    partitions: *partitions,
                })
                .collect(),
            members: members
                .iter()
                .map(|(member_id, topics)| {
                    (
                        (*member_id).to_owned(),
                        None,
                        topics.iter().copied().collect(),
                        Partitions::new(),
                    )
                })
                .collect(),
        }
    }

    fn targets(&self, assignor: Assignor) -> Vec<Partitions> {
        let used: BTreeSet<usize> = self.members.iter().flat_map(|(_, _, topics, _)| topics).copied().collect();
        let topics: Vec<TopicSpec> = used.iter().map(|topic| self.topics[*topic]).collect();
        let mut subscriptions: Vec<BTreeSet<usize>> = Vec::new();
        let mut members = Vec::new();
        for (member_id, instance_id, subscribed, current) in &self.members {
            let subscribed = used
                .iter()
                .enumerate()
                .filter(|(_, topic)| subscribed.contains(topic))
                .map(|(index, _)| index)
                .collect();
            let known = subscriptions.iter().position(|other| *other == subscribed);
            members.push(MemberSpec {
                member_id,
                instance_id: instance_id.as_deref(),
                subscription: known.unwrap_or_else(|| {
                    subscriptions.push(subscribed);
                    subscriptions.len() - 1
                }),
                current,
            });
        }
        assignor.assign(&GroupSpec {
            topics,
            subscriptions,
            members,
        })
    }

    /// Computes targets and makes them the members' own.
    fn assign(&mut self, assignor: Assignor) -> Vec<Partitions> {
        let targets = self.targets(assignor);
        for (member, target) in self.members.iter_mut().zip(&targets) {
            member.3.clone_from(target);
        }
        targets
    }

    /// Every partition of a topic with a subscriber has one owner, who is a subscriber.
    fn check_complete(&self, targets: &[Partitions]) {
        let mut owners = vec![Vec::new(); self.topics.len()];
        for ((_, _, subscribed, _), target) in self.members.iter().zip(targets) {
            for (topic, partitions) in target {
                let topic = usize::try_from(topic.as_u128()).unwrap();
                assert!(subscribed.contains(&topic) && !partitions.is_empty());
                owners[topic].extend(partitions.iter().copied());
            }
        }
        for (topic, mut owned) in owners.into_iter().enumerate() {
            owned.sort_unstable();
            let expected = if self.members.iter().any(|member| member.2.contains(&topic)) {
                self.topics[topic].partitions
            } else {
                0
            };
            assert_eq!(owned, (0..expected).collect::<Vec<_>>(), "topic {topic}");
        }
    }

    /// No partition could move to another of its topic's subscribers and make the two more even.
    fn check_balanced(&self, targets: &[Partitions]) {
        let load = |member: usize| targets[member].values().map(BTreeSet::len).sum::<usize>();
        for giver in 0..targets.len() {
            for topic in targets[giver].keys() {
                for taker in 0..targets.len() {
                    let subscribed = self.members[taker].2.contains(&usize::try_from(topic.as_u128()).unwrap());
                    assert!(
                        !subscribed || load(giver) <= load(taker) + 1,
                        "{} and {}",
                        load(giver),
                        load(taker)
                    );
                }
            }
        }
    }
}

fn moved(before: &[Partitions], after: &[Partitions]) -> usize {
    let pairs = |targets: &[Partitions]| -> BTreeSet<(usize, Uuid, i32)> {
        let one = |(member, target): (usize, &Partitions)| {
            target
                .iter()
                .flat_map(|(topic, set)| set.iter().map(|partition| (member, *topic, *partition)))
                .collect::<Vec<_>>()
        };
        targets.iter().enumerate().flat_map(one).collect()
    };
    pairs(before).difference(&pairs(after)).count()
}

fn sets(list: &[(usize, &[i32])]) -> Partitions {
    list.iter()
        .map(|(topic, partitions)| (id(*topic), partitions.iter().copied().collect()))
        .collect()
}

/// Range: the same members get the same partitions of each topic; static members come first.
#[test]
fn range_co_partitions() {
    let mut group = Group::new(&[3, 3, 5], &[("m1", &[0, 1]), ("m2", &[0, 1, 2])]);
    assert_eq!(
        group.targets(Assignor::Range),
        [
            sets(&[(0, &[0, 1]), (1, &[0, 1])]),
            sets(&[(0, &[2]), (1, &[2]), (2, &[0, 1, 2, 3, 4])])
        ]
    );
    group.members[1].1 = Some("z".to_owned());
    assert_eq!(
        group.targets(Assignor::Range),
        [
            sets(&[(0, &[2]), (1, &[2])]),
            sets(&[(0, &[0, 1]), (1, &[0, 1]), (2, &[0, 1, 2, 3, 4])])
        ]
    );
    group.members[0].1 = Some("a".to_owned());
    assert_eq!(group.targets(Assignor::Range)[0], sets(&[(0, &[0, 1]), (1, &[0, 1])]));
}

/// Range: who has no share of a topic that is too small gets nothing of it.
#[test]
fn range_with_more_members_than_partitions() {
    let group = Group::new(&[2], &[("m1", &[0]), ("m2", &[0]), ("m3", &[0])]);
    assert_eq!(
        group.targets(Assignor::Range),
        [sets(&[(0, &[0])]), sets(&[(0, &[1])]), sets(&[])]
    );
}

/// Uniform: a member that joins takes from those with the most, no more than its share; one that leaves gives only what it had.
#[test]
fn uniform_moves_no_more_than_it_must() {
    let mut group = Group::new(&[5, 4], &[("m1", &[0, 1]), ("m3", &[0, 1])]);
    let two = group.assign(Assignor::Uniform);
    group
        .members
        .insert(1, ("m2".to_owned(), None, [0, 1].into(), Partitions::new()));
    let three = group.assign(Assignor::Uniform);
    assert_eq!(three[1].values().map(BTreeSet::len).sum::<usize>(), 3);
    assert_eq!(moved(&[two[0].clone(), Partitions::new(), two[1].clone()], &three), 3);
    group.members.remove(0);
    let left = group.assign(Assignor::Uniform);
    assert_eq!(moved(&three[1..], &left), 0);
}

/// Partitions that a topic no longer has, and topics nobody is subscribed to any more, are forgotten.
#[test]
fn targets_before_may_be_out_of_date() {
    for subscription in [&[0][..], &[0, 1]] {
        let mut group = Group::new(&[2, 2], &[("m1", &[0]), ("m2", subscription)]);
        group.members[0].3 = sets(&[(0, &[0, 7]), (1, &[0]), (9, &[0])]);
        group.members[1].3 = sets(&[(0, &[0])]);
        let targets = group.targets(Assignor::Uniform);
        group.check_complete(&targets);
    }
}

fn groups(same: bool) -> impl Strategy<Value = Group> {
    let topics = prop::collection::vec(0..12, 1..6);
    let subscription = || prop::collection::btree_set(0..5_usize, 0..5);
    (
        topics,
        subscription(),
        prop::collection::vec((subscription(), any::<bool>()), 1..9),
    )
        .prop_map(move |(topics, common, members)| {
            let members = members.into_iter().enumerate().map(|(index, (own, is_static))| {
                let subscribed = if same { &common } else { &own };
                let subscribed = subscribed.iter().copied().filter(|topic| *topic < topics.len()).collect();
                (
                    format!("m{index}"),
                    is_static.then(|| format!("i{}", 9 - index)),
                    subscribed,
                    Partitions::new(),
                )
            });
            Group {
                members: members.collect(),
                ..Group::new(&topics, &[])
            }
        })
}

proptest! {
    /// Whatever the members were assigned before, also for other topics and subscriptions.
    #[test]
    fn every_partition_has_one_owner(mut group in groups(false), other in groups(false)) {
        for assignor in [Assignor::Range, Assignor::Uniform] {
            let targets = group.assign(assignor);
            group.check_complete(&targets);
            let mut changed = other.clone();
            for (member, target) in changed.members.iter_mut().zip(&targets) {
                member.3.clone_from(target);
            }
            let targets = changed.targets(assignor);
            changed.check_complete(&targets);
            prop_assert_eq!(targets, changed.targets(assignor), "deterministic");
        }
    }

    /// With one subscription all loads are within one, before and after a change of members and partitions; a member keeps all that its
    /// new share allows, and nothing moves when nothing changed.
    #[test]
    fn uniform_is_even_and_sticky(mut group in groups(true), leaves in any::<prop::sample::Index>(), joins in 0..3_usize, grow in 0..4) {
        let before = group.assign(Assignor::Uniform);
        group.check_balanced(&before);
        prop_assert_eq!(&group.assign(Assignor::Uniform), &before);
        let topics = group.members[0].2.clone();
        let gone = leaves.index(group.members.len());
        group.members.remove(gone);
        for join in 0..joins {
            group.members.push((format!("n{join}"), None, topics.clone(), Partitions::new()));
        }
        for topic in &mut group.topics {
            topic.partitions += grow;
        }
        let old: Vec<Partitions> = group.members.iter().map(|member| member.3.clone()).collect();
        let after = group.assign(Assignor::Uniform);
        group.check_complete(&after);
        group.check_balanced(&after);
        let total: usize = topics.iter().map(|topic| slot(group.topics[*topic].partitions)).sum();
        for (old, new) in old.iter().zip(&after) {
            let had = old.values().map(BTreeSet::len).sum::<usize>();
            let lost = moved(std::slice::from_ref(old), std::slice::from_ref(new));
            prop_assert!(lost <= had.saturating_sub(total / group.members.len()), "it lost {} of {}", lost, had);
        }
    }

    /// With different subscriptions no single move makes it more even, and nothing moves when nothing changed.
    #[test]
    fn uniform_is_as_even_as_subscriptions_allow(mut group in groups(false), leaves in any::<prop::sample::Index>()) {
        let before = group.assign(Assignor::Uniform);
        group.check_balanced(&before);
        prop_assert_eq!(&group.assign(Assignor::Uniform), &before);
        group.members.remove(leaves.index(group.members.len()));
        let after = group.assign(Assignor::Uniform);
        group.check_complete(&after);
        group.check_balanced(&after);
    }
}
