//! What static members (KIP-345) are for: one that is started again has what it had, and nobody else notices.

use crate::group::{Client, Group};

/// Settings that make two members static ones.
pub const NAMED: [&[&str]; 2] = [&["group.instance.id=a"], &["group.instance.id=b"]];

/// How a member ends that is to be started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Killed. In the consumer protocol nobody may take its place until its session has ended.
    Killed,
    /// In order. In the consumer protocol it says that it leaves for a while, in the classic one nothing.
    Closed,
}

/// One of two static members ends and is started again within its session; it gets what it had, and the other notices nothing.
pub fn started_again(client: Client, prefix: &str, settings: &[&str], end: End) {
    let mut group = Group::new(client, prefix, settings);
    let first = group.start(NAMED[0]);
    let second = group.start(NAMED[1]);
    group.settle();
    let (owned, rebalances) = (group.owned_by(second), group.rebalances_of(first));
    match end {
        End::Killed => group.kill(second),
        End::Closed => group.leave(second),
    }
    let again = group.start(NAMED[1]);
    group.settle();
    assert_eq!(group.owned_by(again), owned, "the same partitions");
    assert_eq!(group.rebalances_of(first), rebalances, "the other is not disturbed");
    group.check();
}
