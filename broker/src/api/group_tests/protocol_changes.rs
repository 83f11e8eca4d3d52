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
