//! What Apache Kafka 4.3.1 answers in each state to each request, read off `GroupMetadataManager`, `ClassicGroup` and, for a SyncGroup
//! without protocol, `KafkaApis`.

use kafka_protocol::ResponseError;
use ResponseError::{
    CoordinatorNotAvailable, FencedInstanceId, GroupIdNotFound, IllegalGeneration, InconsistentGroupProtocol,
    InvalidSessionTimeout, MemberIdRequired, NonEmptyGroup, RebalanceInProgress, UnknownMemberId, UnknownServerError,
};

use super::super::ClassicState::{self, CompletingRebalance, Dead, Empty, PreparingRebalance, Stable};

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// None yet.
    Parked,
    /// A JoinGroup returns the current generation; with all members or without.
    Joined { with_members: bool },
    /// A SyncGroup returns the member's assignment.
    Assigned,
    /// Success.
    Done,
    /// The request is refused.
    Refused(ResponseError),
    /// A LeaveGroup, member by member.
    Each(Vec<Option<ResponseError>>),
    /// How many members DescribeGroups shows, with what of protocol and metadata, and of assignments.
    Described {
        members: usize,
        protocol: bool,
        assignment: bool,
    },
}
use Answer::{Assigned, Described, Done, Each, Joined, Parked, Refused};

macro_rules! asks {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A request to a group that has, unless Empty, the leader "L", the follower "F" and the static member "S" of instance "i",
        /// in any state the id "P" that was given out; while PreparingRebalance, only "L" has joined again.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Ask { $($(#[$doc])* $name,)* }

        impl Ask {
            pub(super) const ALL: &'static [Ask] = &[$(Ask::$name,)*];
        }
    };
}

asks! {
    /// Without an id; version 4 and later.
    JoinNew,
    /// Without an id; before version 4.
    JoinNewOld,
    JoinPending,
    /// With the pending id, and an instance id.
    JoinPendingAsStatic,
    JoinFollower,
    JoinFollowerChanged,
    JoinLeader,
    JoinLeaderChanged,
    /// With its id and instance id.
    JoinStaticKnown,
    JoinUnknown,
    /// With an instance id that the group does not know.
    JoinStaticNew,
    /// With instance "i" and no id.
    JoinStaticAgain,
    /// The same with an old client, which knows no `skip_assignment`.
    JoinStaticAgainOld,
    /// With instance "i" and another id.
    JoinStaticFenced,
    /// With an id of the group and an instance it does not know.
    JoinStaticUnknown,
    JoinOtherType,
    JoinOtherProtocol,
    JoinWithoutType,
    JoinWithoutProtocols,
    JoinShortSession,
    JoinLongSession,
    SyncLeader,
    SyncFollower,
    SyncStatic,
    SyncFenced,
    SyncUnknown,
    SyncPending,
    SyncWrongGeneration,
    SyncOtherType,
    SyncOtherProtocol,
    /// Version 5 without protocol.
    SyncWithoutProtocol,
    /// Version 4 without protocol.
    SyncOld,
    Heartbeat,
    HeartbeatStatic,
    HeartbeatFenced,
    HeartbeatUnknown,
    HeartbeatPending,
    HeartbeatWrongGeneration,
    LeaveFollower,
    LeaveLeader,
    /// By its instance id only.
    LeaveStatic,
    LeaveFenced,
    LeaveUnknown,
    LeaveUnknownInstance,
    LeavePending,
    /// Members, a stranger and an instance in one request.
    LeaveBatch,
    LeaveAll,
    Commit,
    CommitStatic,
    CommitFenced,
    CommitUnknown,
    CommitWrongGeneration,
    /// Generation -1 and no member.
    CommitOutside,
    /// Generation -1 of a member.
    CommitMemberOutside,
    TxnCommit,
    TxnCommitFenced,
    TxnCommitUnknown,
    TxnCommitWrongGeneration,
    TxnCommitOutside,
    Delete,
    OffsetDelete,
    Describe,
}

pub(super) const STATES: [ClassicState; 5] = [Empty, PreparingRebalance, CompletingRebalance, Stable, Dead];

/// Answer and state after it, for each of [`STATES`].
pub(super) type Row = (Ask, [(Answer, ClassicState); 5]);

/// The state stays in each.
fn stays(ask: Ask, answers: [Answer; 5]) -> Row {
    let mut states = STATES.into_iter();
    (ask, answers.map(|answer| (answer, states.next().expect("five states"))))
}

/// A group that is not Dead is PreparingRebalance afterwards, if it is not stated otherwise for Empty.
fn rebalances(ask: Ask, answers: [Answer; 5], of_empty: ClassicState) -> Row {
    let states = [of_empty, PreparingRebalance, PreparingRebalance, PreparingRebalance, Dead];
    let mut states = states.into_iter();
    (ask, answers.map(|answer| (answer, states.next().expect("five states"))))
}

/// Refused in the same way in all states but Empty and Dead.
fn refused(ask: Ask, of_empty: ResponseError, error: ResponseError) -> Row {
    stays(ask, [of_empty, error, error, error, CoordinatorNotAvailable].map(Refused))
}

fn each(errors: &[Option<ResponseError>]) -> Answer {
    Each(errors.to_vec())
}

pub(super) fn table() -> Vec<Row> {
    [
        joins(),
        joins_of_static_members(),
        joins_refused(),
        syncs(),
        heartbeats(),
        leaves(),
        commits(),
        others(),
    ]
    .concat()
}

fn joins() -> Vec<Row> {
    let not_there = || Refused(CoordinatorNotAvailable);
    let parked = || [Parked, Parked, Parked, Parked, not_there()];
    let unknown_if_empty = || [Refused(UnknownMemberId), Parked, Parked, Parked, not_there()];
    let current = |with_members| Joined { with_members };
    vec![
        refused(Ask::JoinNew, MemberIdRequired, MemberIdRequired),
        rebalances(Ask::JoinNewOld, parked(), PreparingRebalance),
        rebalances(Ask::JoinPending, parked(), PreparingRebalance),
        stays(
            Ask::JoinFollower,
            [Refused(UnknownMemberId), Parked, current(false), current(false), not_there()],
        ),
        rebalances(Ask::JoinFollowerChanged, unknown_if_empty(), Empty),
        (
            Ask::JoinLeader,
            [
                (Refused(UnknownMemberId), Empty),
                (Parked, PreparingRebalance),
                (current(true), CompletingRebalance),
                (Parked, PreparingRebalance),
                (not_there(), Dead),
            ],
        ),
        rebalances(Ask::JoinLeaderChanged, unknown_if_empty(), Empty),
    ]
}

fn joins_of_static_members() -> Vec<Row> {
    let not_there = || Refused(CoordinatorNotAvailable);
    let parked = || [Parked, Parked, Parked, Parked, not_there()];
    let again = |ask| {
        (
            ask,
            [
                (Parked, PreparingRebalance),
                (Parked, PreparingRebalance),
                (Parked, PreparingRebalance),
                (Joined { with_members: false }, Stable),
                (not_there(), Dead),
            ],
        )
    };
    vec![
        stays(
            Ask::JoinStaticKnown,
            [
                Refused(UnknownMemberId),
                Parked,
                Joined { with_members: false },
                Joined { with_members: false },
                not_there(),
            ],
        ),
        rebalances(Ask::JoinStaticNew, parked(), PreparingRebalance),
        again(Ask::JoinStaticAgain),
        again(Ask::JoinStaticAgainOld),
        refused(Ask::JoinStaticFenced, UnknownMemberId, FencedInstanceId),
        refused(Ask::JoinStaticUnknown, UnknownMemberId, UnknownMemberId),
        refused(Ask::JoinPendingAsStatic, UnknownServerError, UnknownServerError),
    ]
}

fn joins_refused() -> Vec<Row> {
    let other = |ask| {
        let refused = || Refused(InconsistentGroupProtocol);
        let mut row = stays(
            ask,
            [Parked, refused(), refused(), refused(), Refused(CoordinatorNotAvailable)],
        );
        row.1[0].1 = PreparingRebalance;
        row
    };
    vec![
        refused(Ask::JoinUnknown, UnknownMemberId, UnknownMemberId),
        other(Ask::JoinOtherType),
        other(Ask::JoinOtherProtocol),
        refused(Ask::JoinWithoutType, InconsistentGroupProtocol, InconsistentGroupProtocol),
        refused(
            Ask::JoinWithoutProtocols,
            InconsistentGroupProtocol,
            InconsistentGroupProtocol,
        ),
        stays(Ask::JoinShortSession, [InvalidSessionTimeout; 5].map(Refused)),
        stays(Ask::JoinLongSession, [InvalidSessionTimeout; 5].map(Refused)),
    ]
}

fn syncs() -> Vec<Row> {
    let not_there = || Refused(CoordinatorNotAvailable);
    let parks = |ask| {
        let too_early = Refused(RebalanceInProgress);
        stays(ask, [Refused(UnknownMemberId), too_early, Parked, Assigned, not_there()])
    };
    vec![
        (
            Ask::SyncLeader,
            [
                (Refused(UnknownMemberId), Empty),
                (Refused(RebalanceInProgress), PreparingRebalance),
                (Assigned, Stable),
                (Assigned, Stable),
                (not_there(), Dead),
            ],
        ),
        parks(Ask::SyncFollower),
        parks(Ask::SyncStatic),
        parks(Ask::SyncOld),
        refused(Ask::SyncFenced, UnknownMemberId, FencedInstanceId),
        refused(Ask::SyncUnknown, UnknownMemberId, UnknownMemberId),
        refused(Ask::SyncPending, UnknownMemberId, UnknownMemberId),
        refused(Ask::SyncWrongGeneration, UnknownMemberId, IllegalGeneration),
        refused(Ask::SyncOtherType, UnknownMemberId, InconsistentGroupProtocol),
        refused(Ask::SyncOtherProtocol, UnknownMemberId, InconsistentGroupProtocol),
        stays(Ask::SyncWithoutProtocol, [InconsistentGroupProtocol; 5].map(Refused)),
    ]
}

fn heartbeats() -> Vec<Row> {
    let beats = |ask| {
        let rebalances = Refused(RebalanceInProgress);
        stays(
            ask,
            [
                Refused(UnknownMemberId),
                rebalances,
                Done,
                Done,
                Refused(CoordinatorNotAvailable),
            ],
        )
    };
    vec![
        beats(Ask::Heartbeat),
        beats(Ask::HeartbeatStatic),
        refused(Ask::HeartbeatFenced, UnknownMemberId, FencedInstanceId),
        refused(Ask::HeartbeatUnknown, UnknownMemberId, UnknownMemberId),
        refused(Ask::HeartbeatPending, UnknownMemberId, UnknownMemberId),
        refused(Ask::HeartbeatWrongGeneration, UnknownMemberId, IllegalGeneration),
    ]
}

fn leaves() -> Vec<Row> {
    let not_there = || Refused(CoordinatorNotAvailable);
    let unknown = || each(&[Some(UnknownMemberId)]);
    let left = || each(&[None]);
    let leaves = |ask| rebalances(ask, [unknown(), left(), left(), left(), not_there()], Empty);
    let fails = |ask, error| {
        let fenced = || each(&[Some(error)]);
        stays(ask, [unknown(), fenced(), fenced(), fenced(), not_there()])
    };
    let batch = || each(&[None, Some(UnknownMemberId), None]);
    let all = || each(&[None, None, None, None]);
    vec![
        leaves(Ask::LeaveFollower),
        leaves(Ask::LeaveLeader),
        leaves(Ask::LeaveStatic),
        fails(Ask::LeaveFenced, FencedInstanceId),
        fails(Ask::LeaveUnknown, UnknownMemberId),
        fails(Ask::LeaveUnknownInstance, UnknownMemberId),
        rebalances(Ask::LeavePending, [left(), left(), left(), left(), not_there()], Empty),
        rebalances(
            Ask::LeaveBatch,
            [each(&[Some(UnknownMemberId); 3]), batch(), batch(), batch(), not_there()],
            Empty,
        ),
        (
            Ask::LeaveAll,
            [
                (
                    each(&[Some(UnknownMemberId), Some(UnknownMemberId), Some(UnknownMemberId), None]),
                    Empty,
                ),
                (all(), Empty),
                (all(), Empty),
                (all(), Empty),
                (not_there(), Dead),
            ],
        ),
    ]
}

fn commits() -> Vec<Row> {
    let not_there = || Refused(CoordinatorNotAvailable);
    let unknown = || Refused(UnknownMemberId);
    let commits = |ask| stays(ask, [unknown(), Done, Refused(RebalanceInProgress), Done, not_there()]);
    let wrong = || Refused(IllegalGeneration);
    vec![
        commits(Ask::Commit),
        commits(Ask::CommitStatic),
        refused(Ask::CommitFenced, UnknownMemberId, FencedInstanceId),
        refused(Ask::CommitUnknown, UnknownMemberId, UnknownMemberId),
        refused(Ask::CommitWrongGeneration, UnknownMemberId, IllegalGeneration),
        stays(Ask::CommitOutside, [Done, unknown(), unknown(), unknown(), not_there()]),
        stays(Ask::CommitMemberOutside, [Done, wrong(), wrong(), wrong(), not_there()]),
        stays(Ask::TxnCommit, [unknown(), Done, Done, Done, not_there()]),
        refused(Ask::TxnCommitFenced, UnknownMemberId, FencedInstanceId),
        refused(Ask::TxnCommitUnknown, UnknownMemberId, UnknownMemberId),
        refused(Ask::TxnCommitWrongGeneration, UnknownMemberId, IllegalGeneration),
        stays(Ask::TxnCommitOutside, [Done, Done, Done, Done, not_there()]),
    ]
}

fn others() -> Vec<Row> {
    let not_empty = || Refused(NonEmptyGroup);
    let described = |members, protocol, assignment| Described {
        members,
        protocol,
        assignment,
    };
    vec![
        stays(
            Ask::Delete,
            [Done, not_empty(), not_empty(), not_empty(), Refused(GroupIdNotFound)],
        ),
        stays(Ask::OffsetDelete, [Done, Done, Done, Done, Refused(GroupIdNotFound)]),
        stays(
            Ask::Describe,
            [
                described(0, false, false),
                described(3, false, true),
                described(3, false, false),
                described(3, true, true),
                described(3, false, true),
            ],
        ),
    ]
}
