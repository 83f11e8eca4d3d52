//! Epochs, target assignments and reconciliation of dynamic members.

use super::*;
use crate::groups::consumer::MemberState::{Stable, UnreleasedPartitions, UnrevokedPartitions};

/// The first member gets everything at once, at epoch 2: a group begins at 1, and the subscription raises it.
#[test]
fn the_first_member_gets_everything() {
    let mut script = Script::new(&[("a", 3), ("b", 2)]);
    let reply = script.ask(join("m1", &["a", "b", "missing"])).unwrap();
    assert_eq!(
        reply,
        Heartbeat {
            member_id: "m1".to_owned(),
            member_epoch: 2,
            heartbeat_interval_ms: 5000,
            assignment: script.of(&[("a", &[0, 1, 2]), ("b", &[0, 1])]),
        }
    );
    assert_eq!(script.group.state(), ConsumerGroupState::Stable);
    assert_eq!(script.accepted(beat("m1", 2)), (2, None), "nothing changed");
}

/// A member without subscriptions is a member all the same, at the group's epoch.
#[test]
fn a_member_may_subscribe_to_nothing() {
    let mut script = Script::new(&[("a", 1)]);
    assert_eq!(script.accepted(join("m1", &[])), (1, Some(Partitions::new())));
    assert_eq!(script.accepted(join("m2", &["a"])), (2, script.of(&[("a", &[0])])));
    assert_eq!(script.accepted(beat("m1", 1)), (2, None));
    assert_eq!(script.group.state(), ConsumerGroupState::Stable);
}

/// A partition moves only when its owner said that it gave it up, and then at the next heartbeat of the new owner.
#[test]
fn a_partition_is_handed_over_after_its_owner_let_go() {
    let mut script = Script::new(&[("a", 2)]);
    let both = script.of(&[("a", &[0, 1])]).unwrap();
    script.accepted(join("m1", &["a"]));

    assert_eq!(script.accepted(join("m2", &["a"])), (3, Some(Partitions::new())));
    assert_eq!(script.member("m2").state, UnreleasedPartitions);
    assert_eq!(script.group.state(), ConsumerGroupState::Reconciling);
    assert_eq!(script.accepted(beat("m2", 3)), (3, None), "m1 has it still");

    let (epoch, kept) = script.accepted(beat("m1", 2).owning(&both));
    let kept = kept.unwrap();
    assert_eq!(
        (epoch, kept.values().next().unwrap().len()),
        (2, 1),
        "m1 keeps its epoch until it has revoked"
    );
    assert_eq!(script.member("m1").state, UnrevokedPartitions);
    assert_eq!(script.accepted(beat("m1", 2)), (2, None), "it says nothing about what it has");
    assert_eq!(script.accepted(beat("m1", 2).owning(&both)), (2, None), "it has it still");
    assert_eq!(script.accepted(beat("m2", 3)), (3, None), "m1 may have it still");

    assert_eq!(
        script.accepted(beat("m1", 2).owning(&kept)),
        (3, None),
        "what m1 was told last is what it has"
    );
    assert_eq!(script.member("m1").state, Stable);
    let (epoch, given) = script.accepted(beat("m2", 3));
    assert_eq!((epoch, given.clone().unwrap().values().next().unwrap().len()), (3, 1));
    assert!(given
        .unwrap()
        .values()
        .next()
        .unwrap()
        .is_disjoint(kept.values().next().unwrap()));
    assert_eq!(script.group.state(), ConsumerGroupState::Stable);
}

/// A member that no longer owns what it has to give up moves on in one step.
#[test]
fn what_was_revoked_already_is_not_waited_for() {
    let mut script = Script::new(&[("a", 2)]);
    script.accepted(join("m1", &["a"]));
    script.accepted(join("m2", &["a"]));
    let kept = script.member("m1").target.clone();
    assert_eq!(script.accepted(beat("m1", 2).owning(&kept)), (3, Some(kept)));
    assert_eq!(script.member("m1").state, Stable);
}

/// While a member revokes, the target may come to give it back what it had to give up.
#[test]
fn a_partition_in_revocation_may_come_back() {
    let mut script = Script::new(&[("a", 2)]);
    let both = script.of(&[("a", &[0, 1])]).unwrap();
    script.accepted(join("m1", &["a"]));
    script.accepted(join("m2", &["a"]));
    let (_, kept) = script.accepted(beat("m1", 2).owning(&both));
    assert_eq!(script.accepted(beat("m2", LEAVE_EPOCH)), (LEAVE_EPOCH, None));
    assert_eq!(script.accepted(beat("m1", 2).owning(&kept.unwrap())), (4, Some(both)));
    assert_eq!(script.group.state(), ConsumerGroupState::Stable);
}

/// The reply that gave a new epoch was lost: the member asks with the epoch before and gets on, if it has nothing that it was not given.
#[test]
fn the_epoch_before_is_accepted_of_a_retry() {
    let mut script = Script::new(&[("a", 2)]);
    script.accepted(join("m1", &["a"]));
    script.topics.set("a", 4);
    let two = script.topics.partitions(&[("a", &[0, 1])]);
    let four = script.topics.partitions(&[("a", &[0, 1, 2, 3])]);
    assert_eq!(script.accepted(beat("m1", 2)), (3, Some(four.clone())));
    assert_eq!(script.accepted(beat("m1", 2).owning(&two)), (3, None));
    let mut full = join("m1", &["a"]).owning(&two);
    full.member_epoch = 2;
    assert_eq!(script.accepted(full), (3, Some(four)), "a full request is told everything");
    let foreign = Partitions::from([(Uuid::from_u128(99), [0].into())]);
    assert_eq!(
        script.refused(beat("m1", 2).owning(&foreign)),
        ResponseError::FencedMemberEpoch
    );
    assert_eq!(script.refused(beat("m1", 2)), ResponseError::FencedMemberEpoch);
    assert_eq!(script.refused(beat("m1", 1).owning(&two)), ResponseError::FencedMemberEpoch);
}

/// A member that rejoins in any state has nothing, so it is not waited for.
#[test]
fn a_rejoin_gives_up_everything() {
    let mut script = Script::new(&[("a", 2)]);
    let both = script.of(&[("a", &[0, 1])]).unwrap();
    script.accepted(join("m1", &["a"]));
    assert_eq!(script.accepted(join("m1", &["a"])), (2, Some(both.clone())), "stable");
    script.accepted(join("m2", &["a"]));
    let (epoch, nothing) = script.accepted(join("m2", &["a"]));
    assert_eq!((epoch, nothing), (3, Some(Partitions::new())), "unreleased");
    script.accepted(beat("m1", 2).owning(&both));
    assert_eq!(script.member("m1").state, UnrevokedPartitions);
    let (epoch, rest) = script.accepted(join("m1", &["a"]));
    assert_eq!((epoch, script.member("m1").state), (3, Stable));
    assert_eq!(rest.unwrap(), script.member("m1").target);
}

/// Only a changed subscription or changed topics raise the epoch; other fields are stored without.
#[test]
fn what_raises_the_group_epoch() {
    let mut script = Script::new(&[("a", 2), ("b", 2)]);
    script.accepted(join("m1", &["a"]));
    let epoch = |script: &Script| script.group.group.group_epoch;
    let mut other = beat("m1", 2);
    other.rack_id = Some("rack".to_owned());
    other.client_id = "other".to_owned();
    other.server_assignor = Some("range".to_owned());
    script.accepted(other);
    assert_eq!((epoch(&script), script.member("m1").rack_id.as_deref()), (2, Some("rack")));
    script.topics.set("unrelated", 1);
    script.accepted(beat("m1", 2));
    assert_eq!(epoch(&script), 2);
    script.topics.set("a", 3);
    assert_eq!(
        script.accepted(beat("m1", 2)),
        (3, script.of(&[("a", &[0, 1, 2])])),
        "more partitions"
    );
    let mut names = beat("m1", 3);
    names.subscribed_topic_names = Some(vec!["a".to_owned(), "b".to_owned(), "a".to_owned()]);
    assert_eq!(script.accepted(names).0, 4, "more names");
    script.topics.delete("b");
    assert_eq!(
        script.accepted(beat("m1", 4)),
        (4, script.of(&[("a", &[0, 1, 2])])),
        "deleted: told, but not yet given up"
    );
    let owned = script.topics.partitions(&[("a", &[0, 1, 2])]);
    assert_eq!(script.accepted(beat("m1", 4).owning(&owned)).0, 5);
    let id = script.topics.set("b", 1);
    let (epoch, assignment) = script.accepted(beat("m1", 5));
    assert_eq!((epoch, assignment.unwrap()[&id].len()), (6, 1), "made anew");
}

/// A member that gives up a subscription gives up its partitions at once, even while the target assignment is delayed.
#[test]
fn an_unsubscribed_topic_is_revoked_at_once() {
    let mut script = Script::new(&[("a", 1), ("b", 1)]);
    script.settings.assignment_interval = Duration::from_secs(1);
    script.accepted(join("m1", &["a", "b"]));
    let all = script.of(&[("a", &[0]), ("b", &[0])]).unwrap();
    let a = script.of(&[("a", &[0])]).unwrap();
    let mut names = beat("m1", 2).owning(&all);
    names.subscribed_topic_names = Some(vec!["a".to_owned()]);
    assert_eq!(script.accepted(names.clone()), (2, Some(a.clone())));
    assert_eq!(script.group.state(), ConsumerGroupState::Assigning);
    assert_eq!(script.member("m1").state, UnrevokedPartitions);
    names.subscribed_topic_names = Some(Vec::new());
    assert_eq!(
        script.accepted(names.clone()),
        (2, Some(Partitions::new())),
        "and what it gives up while it revokes"
    );
    names.owned = Some(a.clone());
    assert_eq!(script.accepted(names), (2, None), "it has a still");
    assert_eq!(script.accepted(beat("m1", 2).owning(&Partitions::new())), (2, None));
    assert_eq!((script.member("m1").state, script.member("m1").held().count()), (Stable, 0));
    script.sleep(Duration::from_secs(1));
    assert_eq!(script.accepted(beat("m1", 2)).0, 4);
}

/// A member that unsubscribes and does not have the partitions any more stays stable.
#[test]
fn an_unsubscribed_topic_that_was_revoked_is_not_waited_for() {
    let mut script = Script::new(&[("a", 1), ("b", 1)]);
    script.settings.assignment_interval = Duration::from_secs(1);
    script.accepted(join("m1", &["a", "b"]));
    let a = script.of(&[("a", &[0])]).unwrap();
    let mut names = beat("m1", 2).owning(&a);
    names.subscribed_topic_names = Some(vec!["a".to_owned()]);
    assert_eq!(script.accepted(names), (2, Some(a)));
    assert_eq!(
        (script.member("m1").state, script.member("m1").pending_revocation.len()),
        (Stable, 0)
    );
}

/// Within `assignment_interval` of one target assignment there is no other: members keep to the old one.
#[test]
fn target_assignments_keep_their_distance() {
    let mut script = Script::new(&[("a", 2)]);
    script.settings.assignment_interval = Duration::from_secs(1);
    let both = script.of(&[("a", &[0, 1])]).unwrap();
    assert_eq!(script.accepted(join("m1", &["a"])), (2, Some(both.clone())));
    assert_eq!(script.accepted(join("m2", &["a"])), (2, Some(Partitions::new())));
    assert_eq!(script.group.state(), ConsumerGroupState::Assigning);
    script.sleep(Duration::from_millis(999));
    assert_eq!(script.accepted(beat("m1", 2).owning(&both)), (2, None));
    script.sleep(Duration::from_millis(1));
    let (epoch, kept) = script.accepted(beat("m1", 2).owning(&both));
    assert_eq!((epoch, kept.unwrap().values().next().unwrap().len()), (2, 1));
    assert_eq!(script.group.state(), ConsumerGroupState::Reconciling);
}

/// The preference of most members decides; without one the first assignor of the settings.
#[test]
fn members_choose_the_assignor() {
    let mut script = Script::new(&[("a", 2), ("b", 2)]);
    let prefer = |id: &str, name: &str| HeartbeatRequest {
        server_assignor: Some(name.to_owned()),
        ..join(id, &["a", "b"])
    };
    script.accepted(prefer("m1", "range"));
    script.accepted(join("m2", &["a", "b"]));
    assert_eq!(
        script.group.describe(&script.settings, &script.topics).assignor,
        Assignor::Range
    );
    assert_eq!(
        script.member("m1").target,
        script.topics.partitions(&[("a", &[0]), ("b", &[0])])
    );
    script.accepted(prefer("m3", "uniform"));
    script.accepted(prefer("m2", "uniform"));
    assert_eq!(
        script.group.describe(&script.settings, &script.topics).assignor,
        Assignor::Uniform
    );
    for id in ["m2", "m3"] {
        script.accepted(beat(id, LEAVE_EPOCH));
    }
    script.accepted(beat("m1", LEAVE_EPOCH));
    script.settings.assignors = vec![Assignor::Range];
    assert_eq!(
        script.group.describe(&script.settings, &script.topics).assignor,
        Assignor::Range
    );
    assert_eq!(script.refused(prefer("m4", "uniform")), ResponseError::UnsupportedAssignor);
}

/// Who is silent for the session timeout is fenced, and its partitions are free.
#[test]
fn a_silent_member_is_fenced() {
    let mut script = Script::new(&[("a", 2)]);
    script.accepted(join("m1", &["a"]));
    script.sleep(Duration::from_secs(1));
    script.accepted(join("m2", &["a"]));
    script.sleep(Duration::from_secs(44));
    assert_eq!(script.group.members.len(), 1);
    assert_eq!(script.refused(beat("m1", 2)), ResponseError::UnknownMemberId);
    assert_eq!(script.accepted(beat("m2", 3)), (4, script.of(&[("a", &[0, 1])])));
    script.sleep(Duration::from_secs(45));
    assert_eq!(
        (script.group.state(), script.group.next_timeout()),
        (ConsumerGroupState::Empty, None)
    );
}

/// Who does not revoke within its rebalance timeout is fenced though it is heard of; who did is not.
#[test]
fn a_member_that_does_not_revoke_is_fenced() {
    for revokes in [false, true] {
        let mut script = Script::new(&[("a", 2)]);
        let both = script.of(&[("a", &[0, 1])]).unwrap();
        script.accepted(join("m1", &["a"]));
        script.accepted(join("m2", &["a"]));
        let (_, kept) = script.accepted(beat("m1", 2).owning(&both));
        assert_eq!(script.group.next_timeout(), Some(script.now + Duration::from_secs(10)));
        script.sleep(Duration::from_secs(9));
        let owned = if revokes { kept.unwrap() } else { both };
        script.accepted(beat("m1", 2).owning(&owned));
        script.sleep(Duration::from_secs(1));
        assert_eq!(script.group.members.len(), if revokes { 2 } else { 1 });
    }
}

/// Everything that ConsumerGroupDescribe shows.
#[test]
fn a_group_is_described() {
    let mut script = Script::new(&[("a", 2), ("gone", 1)]);
    let mut request = join("m1", &["a", "gone"]).instance("i1").regex("a|b");
    request.rack_id = Some("rack".to_owned());
    script.accepted(request);
    script.accepted(join("m2", &["a"]));
    let owned = script.of(&[("a", &[0, 1]), ("gone", &[0])]).unwrap();
    script.accepted(beat("m1", 2).owning(&owned));
    let a = script.topics.id("a");
    script.topics.delete("gone");
    let description = script.group.describe(&script.settings, &script.topics);
    assert_eq!((description.group_epoch, description.assignment_epoch), (3, 3));
    assert_eq!(description.state.name(), "Reconciling");
    let partitions = |list: &[i32]| {
        vec![TopicPartitions {
            topic_id: a,
            topic_name: "a".to_owned(),
            partitions: list.to_vec(),
        }]
    };
    let first = &description.members[0];
    assert_eq!(first.assignment, partitions(&[0, 1]), "with what it has to give up");
    assert_eq!(
        (first.instance_id.as_deref(), first.rack_id.as_deref(), first.member_epoch),
        (Some("i1"), Some("rack"), 2)
    );
    assert_eq!(
        (first.subscribed_topic_names.join(","), first.subscribed_topic_regex.as_str()),
        ("a,gone".to_owned(), "a|b")
    );
    assert_eq!(
        (first.client_id.as_str(), first.client_host.as_str()),
        ("client", "/127.0.0.1")
    );
    let second = &description.members[1];
    assert_eq!(second.assignment, Vec::new());
    assert_eq!(
        first
            .target_assignment
            .iter()
            .chain(&second.target_assignment)
            .flat_map(|topic| &topic.partitions)
            .count(),
        2
    );
}
