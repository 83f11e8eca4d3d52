//! Consumer groups and committed offsets as they are stored, and what the database thread must be able to do with them. The state of
//! a group is the coordinator's; storage keeps it as a text of JSON and knows only what SQL shows of it.

use super::engine::{EngineResult, TopicNumber};

/// Which protocol a group speaks (KIP-848's group types).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupType {
    /// JoinGroup and SyncGroup: the assignment is a member's.
    Classic,
    /// ConsumerGroupHeartbeat: the assignment is the broker's.
    Consumer,
}

impl GroupType {
    /// As the tables spell it.
    pub fn name(self) -> &'static str {
        match self {
            GroupType::Classic => "classic",
            GroupType::Consumer => "consumer",
        }
    }

    /// What the tables spell so.
    pub fn from_name(name: &str) -> Option<Self> {
        [GroupType::Classic, GroupType::Consumer]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// A group without its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRecord {
    /// Its protocol.
    pub group_type: GroupType,
    /// Generation of a classic group, group epoch of a consumer group.
    pub epoch: i32,
    /// Protocol type of a classic group ("consumer", "connect"); "consumer" of a consumer group; empty if there is none.
    pub protocol_type: String,
    /// Protocol that the members of a classic group chose, or the assignor of a consumer group; empty if there is none.
    pub protocol: String,
    /// Everything else, JSON.
    pub state: String,
}

/// A member of a group. Text for SQL holds no NUL, which Postgres has no room for; what a client sent is in `state`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRecord {
    /// Its member id.
    pub member_id: String,
    /// The id of a static member (KIP-345).
    pub instance_id: Option<String>,
    /// The client's name for itself.
    pub client_id: String,
    /// Address it connects from, as Kafka shows it ("/127.0.0.1").
    pub client_host: String,
    /// The partitions it has, by topic, as JSON: runs of them, `{"orders": [[0, 4], [7, 7]]}`. Empty object if its protocol is not a
    /// consumer's.
    pub assignment: String,
    /// Everything else, JSON.
    pub state: String,
}

/// What a group becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupChange {
    /// This, with exactly these members.
    Replace(GroupRecord, Vec<MemberRecord>),
    /// Changed in part.
    Update {
        /// The group if it changed.
        group: Option<GroupRecord>,
        /// Members that are new or changed.
        members: Vec<MemberRecord>,
        /// Ids of members that are gone.
        gone: Vec<String>,
    },
    /// Gone, and its committed offsets with it.
    Delete,
    /// Gone if it has no committed offsets, else what it was.
    DeleteUnused,
}

/// A group as it is found at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredGroup {
    /// Its id.
    pub group_id: String,
    /// The group; `None` if it has committed offsets only (a simple group).
    pub group: Option<GroupRecord>,
    /// Its members.
    pub members: Vec<MemberRecord>,
    /// When it was changed last, milliseconds since 1970; 0 if there are only offsets.
    pub changed_at_ms: i64,
}

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset to be consumed.
    pub offset: i64,
    /// Leader epoch of the record before it, -1 if the client did not say.
    pub leader_epoch: i32,
    /// What the client wants to remember.
    pub metadata: String,
    /// When it was committed, milliseconds since 1970.
    pub committed_at_ms: i64,
    /// When it expires, if the client said (OffsetCommit 2 to 4), milliseconds since 1970.
    pub expires_at_ms: Option<i64>,
}

/// A partition whose offset a group commits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OffsetKey {
    /// The group.
    pub group_id: String,
    /// The topic.
    pub topic: TopicNumber,
    /// The partition.
    pub partition: i32,
}

/// Which committed offsets of a group expire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    /// The group.
    pub group_id: String,
    /// Offsets without an expiry of their own that were committed before this expire, milliseconds since 1970.
    pub committed_before_ms: i64,
    /// Topics whose offsets stay: the group's members subscribe to them.
    pub kept_topics: Vec<TopicNumber>,
    /// Now, milliseconds since 1970, for offsets with an expiry of their own.
    pub now_ms: i64,
}

/// What the database thread can do with groups, inside a transaction of an [`super::engine::Engine`]. Nothing waits for another
/// session: what such a session has locked is left as it is, and said.
pub trait GroupStorage {
    /// Takes the locks under which the tables of groups are read and written, until the transaction's end. `Busy` if held; then the
    /// transaction goes on as if it had not been asked.
    fn lock_groups(&mut self) -> EngineResult<()>;
    /// All groups, or the one of this id.
    fn load_groups(&mut self, group_id: Option<&str>) -> EngineResult<Vec<StoredGroup>>;
    /// Changes groups, each named once. Returns the places in `changes` of those of which another session has locked rows, which stay as
    /// they are.
    fn write_groups(&mut self, changes: &[(String, GroupChange)]) -> EngineResult<Vec<usize>>;
    /// Stores offsets, each key once. Returns the places in `commits` of those that another session has locked, which stay as they are.
    fn commit_offsets(&mut self, commits: &[(OffsetKey, CommittedOffset)]) -> EngineResult<Vec<usize>>;
    /// The offsets that a group has committed, ascending by topic and partition; a topic may be gone meanwhile.
    fn committed_offsets(&mut self, group_id: &str) -> EngineResult<Vec<(TopicNumber, i32, CommittedOffset)>>;
    /// Deletes committed offsets. `false`: another session has locked one of them, and nothing was deleted.
    fn delete_offsets(&mut self, group_id: &str, partitions: &[(TopicNumber, i32)]) -> EngineResult<bool>;
    /// Deletes offsets that expire, except those that another session has locked; returns whether the group has any left.
    fn expire_offsets(&mut self, expiry: &Expiry) -> EngineResult<bool>;
}
