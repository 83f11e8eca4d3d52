//! Every bound of the broker that is not a setting, with its unit and with what happens when it is reached (design I4).

use std::time::Duration;

/// Requests of one connection that may be unanswered; at this number the connection is not read any more.
pub const UNANSWERED_REQUESTS_PER_CONNECTION: usize = 64;

/// Bytes that one read of a socket takes between frames: small frames whole, of a larger one the beginning, which is copied once more. A
/// connection whose request has to wait its turn holds at most this much outside of the receive budget; an idle one holds nothing.
pub const RECEIVE_CHUNK_BYTES: usize = 4 * 1024;

/// Bytes beyond a larger frame that its last read may take: length and head of the next one. A read that comes short also tells that the
/// socket is empty, which otherwise takes another read.
pub const RECEIVE_BEYOND_BYTES: usize = 64;

/// Address space that a frame's buffer takes at once, if the frame is as long; memory it takes as bytes come.
pub const RECEIVE_AT_ONCE_BYTES: usize = 1024 * 1024;

/// What a frame is charged on the receive budget when it begins, within its length, and after that four times what has come. A batch of
/// 16 KiB, at which clients close one by default, is received by one read after that of its beginning.
pub const RECEIVE_CHARGE_FIRST_BYTES: usize = 20 * 1024;

/// Bytes by which a frame that is being received extends its charge at most.
pub const RECEIVE_CHARGE_STEP_BYTES: usize = 1024 * 1024;

/// Bytes of finished replies that are gathered for one write; a single reply may be larger.
pub const REPLY_BATCH_BYTES: usize = 256 * 1024;

/// Slices that one vectored write is given; the rest goes with the next.
pub const SLICES_PER_WRITE: usize = 64;

/// While others wait for a byte budget, a connection that holds a part of it must move [`PROGRESS_BYTES`] in this time, or it is
/// closed (the idle limit if that is shorter).
pub const STALL_UNDER_PRESSURE: Duration = Duration::from_secs(10);

/// Bytes of batches that must wait for a commit's flush to be left to another process while they are written.
pub const OVERLAP_BYTES: usize = 64 * 1024;

/// Bytes that count as progress while others wait for a byte budget: a client that sends single bytes makes none.
pub const PROGRESS_BYTES: u64 = 64 * 1024;

/// Time between two looks for connections that are idle or stalled; shorter where the limits to be kept are.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Time that replies of started Produce requests, and replies half sent, get at shutdown; then their connections are closed.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// Connections that the kernel keeps for a listener until they are accepted; more are refused by the kernel.
pub const LISTEN_BACKLOG: i32 = 1024;

/// Pause of a listener after the process ran out of descriptors, unless one becomes free sooner.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A client that is silent this long is probed (TCP keepalive), so that connections of machines that vanished end.
pub const KEEPALIVE_TIME: Duration = Duration::from_secs(60);

/// Time in which one kind of message about connections is logged once; the others are counted in the next one.
pub const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// Bytes of all partitions in one Fetch response; a larger `max_bytes` is read as this (Kafka's `fetch.max.bytes`, 55 MiB).
pub const FETCH_RESPONSE_BYTES: usize = 55 * 1024 * 1024;

/// Part of the response budget that one Fetch response takes at most (beyond its first batch), so that a few clients that do not read
/// cannot hold all of it.
pub const FETCH_SHARES: usize = 8;

/// Bytes of a Fetch response that needs no part of the response budget when that is exhausted: each connection may always have one of
/// these, so that clients that do not read keep nobody else waiting.
pub const SMALL_REPLY_BYTES: usize = 64 * 1024;

/// Bytes of a decoded Fetch that need no part of the receive budget while it waits: each connection has one at most.
pub const SMALL_FETCH_BYTES: usize = 64 * 1024;

/// Bytes that all fetch sessions together take, about, with the requests that wait in them. A new session for which others do not make room
/// is not made (session id 0, as with Kafka's full cache); one that grows beyond it is closed.
pub const FETCH_SESSIONS_BYTES: usize = 64 * 1024 * 1024;

/// Bytes that one fetch session takes, about, likewise: some 50,000 partitions.
pub const FETCH_SESSION_BYTES: usize = 16 * 1024 * 1024;

/// Time without use after which a fetch session makes room for any other, and age from which it makes room for one of more partitions
/// (Kafka's `min.incremental.fetch.session.eviction.ms`).
pub const FETCH_SESSION_EVICTION: Duration = Duration::from_secs(120);

/// Tables that one group commit may touch (the lock table of Postgres is finite); further jobs wait for the next group.
pub const TABLES_PER_GROUP: usize = 256;

/// Tables that one transaction of a rerun group may touch, a subtransaction each.
pub const TABLES_PER_RERUN: usize = 64;

/// Payload bytes that one group commit may append; further jobs wait for the next group. One job larger than this is a group.
pub const BYTES_PER_GROUP: usize = 4 * 1024 * 1024;

/// Consumer groups that there may be; a further one gets COORDINATOR_NOT_AVAILABLE (15).
pub const GROUPS: usize = 100_000;

/// Bytes that all consumer groups together take in memory, about; while it is more, a member that joins gets COORDINATOR_NOT_AVAILABLE (15).
pub const GROUPS_BYTES: usize = 256 * 1024 * 1024;

/// Bytes of all that a group keeps of one member: names, and the protocols of a JoinGroup or the subscription of a heartbeat; more get
/// INVALID_REQUEST (42). Kafka has the bound of a record, 1 MB, for the whole group.
pub const GROUP_MEMBER_BYTES: usize = 1024 * 1024;

/// Bytes of all assignments of one SyncGroup, which the group keeps; more get INVALID_REQUEST (42).
pub const GROUP_ASSIGNMENT_BYTES: usize = 16 * 1024 * 1024;

/// Bytes of one answer about several groups (DescribeGroups, OffsetFetch); groups that are named after that many get INVALID_REQUEST (42).
pub const GROUP_RESPONSE_BYTES: usize = 64 * 1024 * 1024;

/// Characters of the metadata of one committed offset; more get OFFSET_METADATA_TOO_LARGE (12), as with Kafka's
/// `offset.metadata.max.bytes`.
pub const OFFSET_METADATA_CHARACTERS: usize = 4096;

/// Time that a change of a group or a commit of offsets waits while another session has locked rows of it; then the client gets an error
/// on which it tries again (Kafka's `offsets.commit.timeout.ms`).
pub const GROUP_STORAGE_PATIENCE: Duration = Duration::from_secs(5);

/// Time after which a client is told to try again while its commit is not confirmed, because a synchronous standby is missing.
pub const GROUP_CONFIRMATION_PATIENCE: Duration = Duration::from_secs(10);

/// Time after which reading the groups at start is tried again.
pub const GROUP_RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Time between two looks for committed offsets that expired (Kafka's `offsets.retention.check.interval.ms`).
pub const OFFSETS_EXPIRY_INTERVAL: Duration = Duration::from_secs(600);

/// Jobs about consumer groups and committed offsets that one transaction does; further ones wait for the next.
pub const GROUP_JOBS_PER_TURN: usize = 256;

/// Bytes of members and metadata after which changes of groups and commits are not gathered any further, but written.
pub const GROUP_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Bytes that the reads of older data between two groups may return.
pub const READ_BYTES_PER_TURN: usize = 4 * 1024 * 1024;

/// The same while something waits that they delay: a part of a millisecond, and one read at least.
pub const READ_BYTES_BESIDE_OTHERS: usize = 256 * 1024;

/// Partitions of a partition's log that one entry of the time index covers, in bytes of log.
pub const TIME_INDEX_INTERVAL_BYTES: u64 = 4 * 1024 * 1024;

/// Bytes that are rewritten to put together what is left of segments, or to freeze them, per second on average, over all topics; more
/// waits.
pub const REWRITTEN_BYTES_PER_SECOND: u64 = 32 * 1024 * 1024;

/// Headers of batches in sealed segments, missing in the time index, that are read of a topic in one transaction; the rest follows.
pub const SURVEY_HEADERS_PER_TOPIC: usize = 64 * 1024;

/// Headers of batches, missing in the time index, that are read of a partition in the segment that is being filled at one look for what
/// retention deletes: as many as an interval of the time index can have. Where there are more, that part stays until the next segment is begun.
pub const SURVEY_HEADERS_PER_PARTITION: usize = 128 * 1024;

/// Partitions that one CreateTopics or CreatePartitions may ask for in all its topics; more get POLICY_VIOLATION (44), as in Kafka's
/// CreateTopics.
pub const PARTITIONS_PER_CREATE: usize = 10_000;

/// Bytes that one regular expression of a consumer group may take compiled; a larger one gets INVALID_REGULAR_EXPRESSION (128). With
/// the number of topics it bounds the work of one refresh.
pub const REGEX_COMPILED_BYTES: usize = 128 * 1024;

/// Different regular expressions that the members of one consumer group may subscribe to together; one more gets
/// INVALID_REGULAR_EXPRESSION (128).
pub const REGEXES_PER_GROUP: usize = 32;

/// Shortest time between two refreshes of a consumer group's regular expressions after topics changed (Kafka's
/// `REGEX_BATCH_REFRESH_MIN_INTERVAL_MS`). A new expression is resolved at once.
pub const REGEX_REFRESH_INTERVAL: Duration = Duration::from_secs(10);

/// Longest time that AlterConfigs and IncrementalAlterConfigs, which have no timeout of their own, wait while another session has a lock
/// in their way; then REQUEST_TIMED_OUT (7). Less than the 30 seconds that clients wait for an answer.
pub const ALTER_CONFIGS_PATIENCE: Duration = Duration::from_secs(10);

/// Partitions that one DescribeTopicPartitions describes at most; the client goes on where it ends (Kafka's
/// `max.request.partition.size.limit`).
pub const PARTITIONS_PER_DESCRIPTION: usize = 2000;

/// Array elements of one request that names partitions (Produce, Fetch, ListOffsets, DeleteRecords and others), all its arrays together;
/// more make the request malformed, which closes the connection. An element can take some hundred bytes decoded.
pub const PARTITION_ELEMENTS_PER_REQUEST: usize = 200_000;

/// Array elements of one request that names topics, groups or configs, all its arrays together; more make the request malformed,
/// which closes the connection.
pub const NAME_ELEMENTS_PER_REQUEST: usize = 100_000;

/// Tagged fields of one request that its message does not define, all sections together; more make the request malformed, which closes
/// the connection. Each becomes an entry of a map, which takes some hundred bytes.
pub const UNKNOWN_TAGS_PER_REQUEST: usize = 256;

/// Levels of structs and arrays in any request's shape, which bounds the validator's recursion; a test holds the shapes against it.
pub const SHAPE_NESTING: usize = 8;

/// Bytes that one batch may decompress to; more gets MESSAGE_TOO_LARGE, on which the Java client splits the batch. Kafka has no such
/// bound: a frame of the largest size could keep a thread busy for minutes, and a rebuild or a query holds the whole batch.
pub const DECOMPRESSED_BATCH_BYTES: usize = 256 * 1024 * 1024;

/// Bytes that one batch may decompress to on the thread that received it, which other connections share. What becomes larger is
/// checked as long work (see [`LONG_WORK_WAITING`]).
pub const LIGHT_BATCH_BYTES: usize = 8 * 1024 * 1024;

/// Time that the batches of one request may take on the thread that received it; the rest of them is long work.
pub const LIGHT_REQUEST_TIME: Duration = Duration::from_millis(20);

/// Time that the batches of one request may take in all; the rest of them get REQUEST_TIMED_OUT and surely are not written.
pub const LONG_REQUEST_TIME: Duration = Duration::from_secs(5);

/// Batches that may wait for their turn as long work: as many as there are network threads are checked at a time, in order. Further
/// ones get REQUEST_TIMED_OUT and surely are not written.
pub const LONG_WORK_WAITING: usize = 64;

/// Records of rejected batches that a Produce response names one by one; further ones are rejected with their batch, unnamed.
/// A request of a few megabytes can hold hundreds of millions of them.
pub const RECORD_ERRORS_PER_REQUEST: usize = 1000;

/// Shortest time that a Produce waits for its commit, whatever its `timeout_ms`: with Kafka that timeout does not bound the write to the
/// leader's log, only the wait for replicas, so a small one must not turn successful writes into REQUEST_TIMED_OUT.
pub const PRODUCE_MIN_PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);

/// Look-ups by time that one ListOffsets has in the database thread's queue at a time; its further partitions wait.
pub const LOOKUPS_PER_REQUEST: usize = 16;

/// States of producers in all partitions together (one producer in ten partitions counts ten times), some 250 bytes each. Above nine
/// tenths of it the least recently active are forgotten: what they send next is taken as that of producers that are not known.
pub const PRODUCERS_PER_BROKER: usize = 200_000;

/// Time between two looks for producers that are idle for too long (Kafka's `producer.id.expiration.check.interval.ms`).
pub const PRODUCER_SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// Bytes of log, all partitions together, after which snapshots of their producers are stored. A start reads the headers of as much.
pub const PRODUCER_SNAPSHOT_INTERVAL_BYTES: u64 = 64 * 1024 * 1024;

/// Pause before snapshots of producers that could not be stored are tried again.
pub const PRODUCER_SNAPSHOT_PAUSE: Duration = Duration::from_secs(1);

/// Producer ids that are made durable at a time (Kafka's `ProducerIdsBlock`). Those that are not given out before the broker stops are
/// lost.
pub const PRODUCER_IDS_PER_BLOCK: i64 = 1000;

/// Longest time that an InitProducerId waits for producer ids while another session has a lock in their way; then
/// COORDINATOR_LOAD_IN_PROGRESS (14), on which clients ask again.
pub const INIT_PRODUCER_ID_PATIENCE: Duration = Duration::from_secs(10);
