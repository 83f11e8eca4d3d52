//! Any sequence of requests, outcomes of writes and times.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// A step. Numbers choose among what there is, modulo its count.
#[derive(Debug, Clone)]
enum Step {
    Join(RandomJoin),
    Sync { member: usize, generation_behind: i32 },
    Heartbeat { member: usize, generation_behind: i32 },
    Commit { member: usize, generation_behind: i32 },
    Leave { member: usize, by_instance: Option<u8> },
    Stored { write: usize, is_ok: bool },
    Pass { ms: u64 },
    Settings { max_size: usize },
}

#[derive(Debug, Clone)]
struct RandomJoin {
    /// A member id that was given out, or none.
    member: Option<usize>,
    instance: Option<u8>,
    is_old_client: bool,
    protocols: Vec<u8>,
    rebalance_timeout_ms: i32,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let member = 0..16_usize;
    let generation_behind = prop_oneof![8 => Just(0), 1 => Just(1), 1 => Just(-1)];
    let join = (
        proptest::option::weighted(0.7, member.clone()),
        proptest::option::weighted(0.3, 0..3_u8),
        any::<bool>(),
        proptest::collection::vec(0..3_u8, 0..4),
        prop_oneof![Just(0), Just(-1), Just(60_000), 0..100_000_i32],
    );
    let join = join.prop_map(|(member, instance, is_old_client, protocols, rebalance_timeout_ms)| {
        Step::Join(RandomJoin {
            member,
            instance,
            is_old_client,
            protocols,
            rebalance_timeout_ms,
        })
    });
    let as_member = (member.clone(), generation_behind);
    let step = prop_oneof![
        6 => join,
        6 => as_member.clone().prop_map(|(member, generation_behind)| Step::Sync { member, generation_behind }),
        2 => as_member.clone().prop_map(|(member, generation_behind)| Step::Heartbeat { member, generation_behind }),
        1 => as_member.prop_map(|(member, generation_behind)| Step::Commit { member, generation_behind }),
        1 => (member, proptest::option::weighted(0.3, 0..3_u8)).prop_map(|(member, by_instance)| Step::Leave { member, by_instance }),
        4 => (0..3_usize, prop::bool::weighted(0.8)).prop_map(|(write, is_ok)| Step::Stored { write, is_ok }),
        4 => (0..20_000_u64).prop_map(|ms| Step::Pass { ms }),
        1 => (1..5_usize).prop_map(|max_size| Step::Settings { max_size }),
    ];
    proptest::collection::vec(step, 1..150)
}

/// A script and what it has seen.
struct Run {
    script: Script,
    /// Ids that the group may know.
    ids: Vec<String>,
    /// Who was told to lead each generation: a static member by its instance, since its id may change.
    leaders: HashMap<i32, String>,
    generation_id: i32,
    checked_replies: usize,
}

impl Run {
    fn new() -> Self {
        let mut script = Script::new();
        script.stores = false;
        Run {
            script,
            ids: vec!["never".to_owned()],
            leaders: HashMap::new(),
            generation_id: 0,
            checked_replies: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        let script = &mut self.script;
        let id = |member: usize| self.ids[member % self.ids.len()].clone();
        let as_member = |member: usize, behind: i32, script: &Script| MemberRef {
            generation_id: script.group.generation_id() - behind,
            ..super::member(&id(member), 0)
        };
        match step {
            Step::Join(join) => self.join(join),
            Step::Sync {
                member,
                generation_behind,
            } => {
                let all: Vec<&str> = self.ids.iter().map(String::as_str).collect();
                let request = SyncRequest {
                    member: as_member(*member, *generation_behind, script),
                    requires_protocol: false,
                    protocol_type: None,
                    protocol_name: None,
                    ..sync_with("", 0, &all)
                };
                script.sync(request);
            }
            Step::Heartbeat {
                member,
                generation_behind,
            } => {
                let request = as_member(*member, *generation_behind, script);
                let _ = script.group.heartbeat(script.now, &request);
            }
            Step::Commit {
                member,
                generation_behind,
            } => {
                let request = as_member(*member, *generation_behind, script);
                let _ = script.group.check_offset_commit(script.now, &request);
            }
            Step::Leave { member, by_instance } => {
                let leaving = match by_instance {
                    Some(instance) => leaving_instance(&format!("i{instance}")),
                    None => leaving(&id(*member)),
                };
                script.leave(&[leaving]).expect("the group is not Dead");
            }
            Step::Stored { write, is_ok } => {
                // Writes are confirmed in any order, some never.
                let newest_first = script.asked.iter().rev().nth(*write);
                if let Some(token) = newest_first.map(|persist| persist.token) {
                    let outcome = if *is_ok {
                        Ok(())
                    } else {
                        Err(ResponseError::KafkaStorageError)
                    };
                    script.group.persisted(&script.settings, script.now, token, outcome);
                    script.settle();
                }
            }
            Step::Pass { ms } => script.pass(Duration::from_millis(*ms)),
            Step::Settings { max_size } => script.settings.max_size = *max_size,
        }
        self.check();
    }

    fn join(&mut self, join: &RandomJoin) {
        let fresh = format!("m{}", self.ids.len());
        let protocols = join
            .protocols
            .iter()
            .map(|number| protocol(&format!("p{number}"), subscription_to("t")));
        let request = JoinRequest {
            member_id: join
                .member
                .map(|member| self.ids[member % self.ids.len()].clone())
                .unwrap_or_default(),
            instance_id: join.instance.map(|instance| format!("i{instance}")),
            protocols: protocols.collect(),
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            requires_known_member_id: !join.is_old_client,
            supports_skip_assignment: !join.is_old_client,
            ..new_member(&fresh)
        };
        self.ids.push(fresh);
        self.script.join(request);
    }

    /// What holds after every step.
    fn check(&mut self) {
        let group = &self.script.group;
        assert!(group.generation_id() >= self.generation_id, "a generation went back");
        self.generation_id = group.generation_id();
        assert_eq!(group.members.is_empty(), group.members.leader().is_none());
        assert!(group
            .members
            .leader()
            .is_none_or(|leader| group.members.get(leader).is_some()));
        let parked = group.members.iter().filter(|member| member.parked_join.is_some()).count();
        assert_eq!(group.members.parked_joins(), parked);
        match group.state() {
            ClassicState::Empty => assert!(group.members.is_empty()),
            ClassicState::PreparingRebalance => assert!(group.next_timeout().is_some(), "nothing ends the rebalance"),
            ClassicState::CompletingRebalance | ClassicState::Stable => {
                assert!(!group.members.is_empty());
                assert!(group.protocol_name.is_some(), "no protocol is common");
            }
            ClassicState::Dead => {}
        }
        let mut instances = HashMap::new();
        for member in group.members.iter() {
            if let Some(instance_id) = &member.instance_id {
                assert_eq!(instances.insert(instance_id, &member.id), None, "two members of one instance");
            }
        }
        self.check_leaders();
    }

    /// No two members are told to lead one generation.
    fn check_leaders(&mut self) {
        let members = self.script.group.describe().members;
        for request in &self.script.answered[self.checked_replies..] {
            let Some(Reply::Join(reply)) = self.script.replies.get(request) else {
                continue;
            };
            let Some(member) = members.iter().find(|member| member.member_id == reply.member_id) else {
                continue;
            };
            if reply.error.is_none() && reply.leader == reply.member_id {
                let name = member.instance_id.as_ref().unwrap_or(&member.member_id);
                let leader = self.leaders.entry(reply.generation_id).or_insert_with(|| name.clone());
                assert_eq!(leader, name, "two leaders of generation {}", reply.generation_id);
            }
        }
        self.checked_replies = self.script.answered.len();
    }

    /// All clients fall silent and all writes succeed: the group comes to rest without members, and then ends.
    fn wind_down(&mut self) {
        self.script.stores = true;
        if !self.script.asked.is_empty() {
            self.script.stored(Ok(()));
        }
        let mut wakes = 0;
        while let Some(deadline) = self.script.group.next_timeout() {
            let late = deadline.max(self.script.now);
            self.script.pass(late - self.script.now);
            self.check();
            assert!(
                self.script.group.next_timeout().is_none_or(|next| next > late),
                "a deadline stands still"
            );
            wakes += 1;
            assert!(wakes < 10_000, "the group does not come to rest");
        }
        assert_eq!(
            (self.script.group.state(), self.script.member_ids().len()),
            (ClassicState::Empty, 0)
        );
        assert_eq!(
            self.script.replies.len(),
            self.script.requests,
            "each request is answered, by time alone"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Goal: whatever clients send and however writes go, the group keeps its invariants, comes to rest when all are silent, and has
    /// answered each request once.
    #[test]
    fn any_history_keeps_the_invariants_and_comes_to_rest(steps in steps()) {
        let mut run = Run::new();
        for step in &steps {
            run.step(step);
        }
        run.wind_down();
    }

    /// Goal: a group that is ended in the middle of any history has answered each request once.
    #[test]
    fn any_history_can_be_cut_short(steps in steps()) {
        let mut run = Run::new();
        for step in &steps {
            run.step(step);
        }
        run.script.group.close(ResponseError::NotCoordinator);
        run.script.settle();
        prop_assert_eq!(run.script.replies.len(), run.script.requests);
        prop_assert_eq!(run.script.group.next_timeout(), None);
    }

    /// Goal: what is stored last, restored, is the Stable group as it was shown.
    #[test]
    fn a_stable_group_is_stored_as_it_is(steps in steps()) {
        let mut run = Run::new();
        run.script.stores = true;
        for step in &steps {
            run.step(step);
            if run.script.group.state() == ClassicState::Stable {
                let stored = run.script.asked.last().expect("it is stored").group.clone();
                let restored: ClassicGroup<Request> = ClassicGroup::restore("g", stored, run.script.now);
                prop_assert_eq!(restored.describe(), run.script.group.describe());
                prop_assert_eq!(restored.generation_id(), run.script.group.generation_id());
            }
        }
    }
}
