//! What a group says about committed offsets and its deletion.

use super::*;

fn commit(member_id: &str, member_epoch: i32) -> OffsetCommit<'_> {
    OffsetCommit {
        member_id,
        instance_id: None,
        member_epoch,
        transactional: false,
        version: 9,
    }
}

/// An older epoch may commit what the member has had since; a newer one and a foreign partition may not.
#[test]
fn an_older_epoch_commits_what_it_had() {
    let mut script = Script::new(&[("a", 1), ("b", 1)]);
    script.accepted(join("m1", &["a"]));
    let mut names = beat("m1", 2);
    names.subscribed_topic_names = Some(vec!["a".to_owned(), "b".to_owned()]);
    script.accepted(names);
    let (a, b) = (script.topics.id("a"), script.topics.id("b"));
    let check = |epoch| script.group.check_offset_commit(&commit("m1", epoch)).unwrap();
    let stale = Err(ResponseError::StaleMemberEpoch);
    assert_eq!(
        (check(3).check_partition(&a, 0), check(3).check_partition(&b, 7)),
        (Ok(()), Ok(())),
        "the current one anything"
    );
    assert_eq!(
        (check(2).check_partition(&a, 0), check(2).check_partition(&b, 0)),
        (Ok(()), stale)
    );
    assert_eq!(
        (check(1).check_partition(&a, 0), check(2).check_partition(&a, 1)),
        (stale, stale)
    );
    assert_eq!(
        script.group.check_offset_commit(&commit("m1", 4)).unwrap_err(),
        ResponseError::StaleMemberEpoch
    );
}

/// What has yet to be revoked may be committed too, and what a static member had when it went away.
#[test]
fn what_is_being_revoked_may_be_committed() {
    let mut script = Script::new(&[("a", 2)]);
    let both = script.of(&[("a", &[0, 1])]).unwrap();
    script.accepted(join("m1", &["a"]).instance("i1"));
    script.accepted(join("m2", &["a"]));
    script.accepted(beat("m1", 2).owning(&both));
    let mut older = script.member("m1").clone();
    older.member_epoch = 5;
    let a = script.topics.id("a");
    let check = CommitCheckOf(&older);
    assert_eq!([0, 1].map(|partition| check.at(2, &a, partition)), [Ok(()), Ok(())]);
    script.accepted(beat("m1", LEAVE_STATIC_EPOCH).instance("i1"));
    script.accepted(join("m3", &["a"]).instance("i1"));
    let kept = *script.member("m3").assigned[&a].keys().next().unwrap();
    let check = script.group.check_offset_commit(&commit("m3", 0)).unwrap();
    assert_eq!(check.check_partition(&a, kept), Ok(()));
}

/// A member that is further than the group shows it.
struct CommitCheckOf<'a>(&'a StoredMember);

impl CommitCheckOf<'_> {
    fn at(&self, epoch: i32, topic: &Uuid, partition: i32) -> Result<(), ResponseError> {
        let stored = StoredConsumerGroup {
            group: StoredGroup {
                group_epoch: 5,
                metadata_hash: 0,
                assignment_epoch: 5,
            },
            members: vec![self.0.clone()],
        };
        let settings = ConsumerSettings::default();
        let group = ConsumerGroup::<()>::restore("group", stored, &settings, &Topics::default(), Instant::now());
        let check = group
            .check_offset_commit(&commit("m1", epoch))?
            .check_partition(topic, partition);
        check
    }
}

/// Who is no member commits only to an empty group, or in a transaction without saying who it is.
#[test]
fn who_is_no_member_commits_to_an_empty_group() {
    let mut script = Script::new(&[("a", 1)]);
    let unknown = Some(ResponseError::UnknownMemberId);
    let check = |script: &Script, commit: OffsetCommit<'_>| script.group.check_offset_commit(&commit).err();
    let transactional = |member_id, member_epoch| OffsetCommit {
        transactional: true,
        version: 5,
        ..commit(member_id, member_epoch)
    };
    assert_eq!(check(&script, commit("", -1)), None);
    assert_eq!(check(&script, commit("m1", 2)), unknown);
    script.accepted(join("m1", &["a"]));
    assert_eq!(check(&script, commit("", -1)), unknown);
    assert_eq!(check(&script, commit("m2", 2)), unknown);
    assert_eq!(check(&script, transactional("", -1)), None);
    assert_eq!(check(&script, transactional("m1", 2)), None);
    assert_eq!(check(&script, transactional("m2", 2)), unknown);
    let named = OffsetCommit {
        instance_id: Some("i1"),
        ..transactional("", -1)
    };
    assert_eq!(check(&script, named), unknown);
    let old = OffsetCommit {
        version: 8,
        ..commit("m1", 2)
    };
    assert_eq!(check(&script, old), Some(ResponseError::UnsupportedVersion));
}

/// Fetching needs the member's exact epoch, or no member at all; deleting needs a group without members.
#[test]
fn fetching_and_deleting() {
    let mut script = Script::new(&[("a", 1)]);
    assert_eq!(script.group.check_delete(), Ok(()));
    script.accepted(join("m1", &["a"]));
    for (member_id, epoch, expected) in [
        (None, -1, Ok(())),
        (None, 2, Err(ResponseError::UnknownMemberId)),
        (Some("m1"), 2, Ok(())),
        (Some("m1"), 1, Err(ResponseError::StaleMemberEpoch)),
        (Some("m1"), 3, Err(ResponseError::StaleMemberEpoch)),
        (Some("m2"), 2, Err(ResponseError::UnknownMemberId)),
    ] {
        assert_eq!(
            script.group.check_offset_fetch(member_id, epoch),
            expected,
            "{member_id:?} {epoch}"
        );
    }
    assert_eq!(script.group.check_delete(), Err(ResponseError::NonEmptyGroup));
    assert!(script.group.is_subscribed_to("a") && !script.group.is_subscribed_to("b"));
    script.accepted(beat("m1", LEAVE_EPOCH));
    assert_eq!(script.group.check_delete(), Ok(()));
}
