//! Groups that change their protocol, with members and without, and what is stored of them then.

use super::*;

#[tokio::test]
async fn an_empty_group_changes_its_protocol() {
    let bench = Bench::start(&ModelDatabase::default()).await;
    bench.broker.create_topic("t", 1, &[]).await;
    let (member_id, _) = bench.stable().await;
    assert_eq!(bench.leave(&member_id).await, 0);
    let (code, epoch, _) = bench.beat("member", 0).await;
    assert_eq!(code, 0);
    assert_eq!(bench.listed().await, [("consumer".to_owned(), "Stable".to_owned())]);
    assert_eq!(bench.heartbeat(&member_id, 1).await, 25);
    assert_eq!(bench.beat("member", -1).await.1, -1);
    assert!(epoch > 0);
    bench.stable().await;
    assert_eq!(bench.listed().await, [("classic".to_owned(), "Stable".to_owned())]);
}

/// A member of the new protocol joins a classic group, which takes its members along, and goes again; each state is stored.
#[tokio::test]
async fn a_group_changes_its_protocol_with_its_members() {
    let database = ModelDatabase::default();
    let mut bench = Bench::start(&database).await;
    bench.broker.create_topic("t", 3, &[]).await;
    let (classic, generation_id) = bench.stable().await;
    let (code, epoch, assigned) = bench.beat("new", 0).await;
    assert_eq!((code, assigned), (0, Some(0)), "the classic member has all partitions still");
    assert_eq!(bench.listed().await, [("consumer".to_owned(), "Reconciling".to_owned())]);
    assert_eq!(bench.described().await.members.len(), 2);
    for _ in 0..2 {
        assert_eq!(bench.heartbeat(&classic, generation_id).await, 27);
        drop(bench);
        bench = Bench::start(&database).await;
    }
    let joined = bench.join(&classic).await;
    assert_eq!((joined.error_code, &joined.leader[..]), (0, ""));
    let synced = bench.sync(&classic, joined.generation_id).await;
    assert_eq!(synced.error_code, 0);
    assert!(synced.assignment.len() < ASSIGNMENT.len(), "it has to give something up");
    let joined = bench.join(&classic).await;
    assert_eq!((joined.error_code, joined.generation_id), (0, epoch));
    assert_eq!(bench.sync(&classic, epoch).await.error_code, 0);
    let (code, _, assigned) = bench.beat("new", epoch).await;
    assert_eq!(code, 0);
    assert!(assigned > Some(0));

    assert_eq!(bench.beat("new", -1).await.0, 0);
    for _ in 0..2 {
        assert_eq!(bench.listed().await.first().map(|(kind, _)| &kind[..]), Some("classic"));
        drop(bench);
        bench = Bench::start(&database).await;
    }
    let joined = bench.join(&classic).await;
    assert_eq!((joined.error_code, &joined.leader), (0, &joined.member_id));
    let synced = bench.sync(&classic, joined.generation_id).await;
    assert_eq!((synced.error_code, &synced.assignment[..]), (0, ASSIGNMENT));
    assert_eq!(bench.state().await, "Stable");
}

/// A member that has left a classic group, which does not store that, is not stored of the consumer group that this becomes.
#[tokio::test]
async fn who_left_before_an_upgrade_is_gone() {
    let database = ModelDatabase::default();
    let bench = Bench::start(&database).await;
    bench.broker.create_topic("t", 3, &[]).await;
    let (stays, _) = bench.stable().await;
    let leaves = bench.join("").await.member_id;
    let (joined, again) = tokio::join!(bench.join(&leaves), bench.join(&stays));
    assert_eq!((joined.error_code, again.error_code, &again.leader[..]), (0, 0, &stays[..]));
    let generation_id = again.generation_id;
    let (synced, follows) = tokio::join!(bench.sync(&stays, generation_id), bench.sync(&leaves, generation_id));
    assert_eq!((synced.error_code, follows.error_code), (0, 0));
    assert_eq!(bench.leave(&leaves).await, 0);
    assert_eq!(bench.state().await, "PreparingRebalance");
    let (code, epoch, _) = bench.beat("new", 0).await;
    assert_eq!(code, 0);
    drop(bench);
    let bench = Bench::start(&database).await;
    let described = bench.described().await.members.into_iter();
    let mut members: Vec<_> = described.map(|member| member.member_id.to_string()).collect();
    members.sort_unstable();
    let mut expected = [stays, "new".to_owned()];
    expected.sort_unstable();
    assert_eq!(members, expected);
    assert_eq!(bench.beat("new", epoch).await.0, 0);
}

/// The last member of a classic group has left, and before that is stored the group becomes a consumer group.
#[tokio::test]
async fn who_left_just_before_the_group_changed_its_protocol_is_gone() {
    let database = ModelDatabase::default();
    let bench = Bench::start(&database).await;
    bench.broker.create_topic("t", 3, &[]).await;
    let (left, _) = bench.stable().await;
    assert_eq!(bench.leave(&left).await, 0);
    let (code, epoch, _) = bench.beat("new", 0).await;
    assert_eq!(code, 0);
    drop(bench);
    let bench = Bench::start(&database).await;
    assert_eq!(bench.described().await.members.len(), 1);
    assert_eq!(bench.beat("new", epoch).await, (0, epoch, None));
}
