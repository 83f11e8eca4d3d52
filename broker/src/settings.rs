//! The settings of a broker as plain values: a snapshot of the GUCs `pg_kafka.*`, taken by the extension at start and at each
//! reload, and handed to the other threads whole (a GUC's memory may only be read by the database thread).

pub mod page;
pub mod table;

use std::time::Duration;

use crate::catalog::configs::TopicDefaults;

/// A snapshot of the settings. Field names are the GUC names without their prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Addresses to listen on, as in `listen_addresses` of Postgres: host names or addresses, `*` for all.
    pub listen_addresses: Vec<String>,
    /// TCP port of the listener.
    pub port: u16,
    /// Host that Metadata tells clients to connect to; `None`: the address the client reached.
    pub advertised_host: Option<String>,
    /// Port that Metadata tells clients; `None`: the port the client reached.
    pub advertised_port: Option<u16>,
    /// Kafka node id of this broker.
    pub node_id: i32,
    /// Threads of the tokio runtime.
    pub network_threads: usize,
    /// Connections in all; at this number the longest idle one makes room, or the new one is closed.
    pub max_connections: usize,
    /// Connections of one client address.
    pub max_connections_per_address: usize,
    /// A connection without a request, or a frame without progress, for this long is closed.
    pub connections_max_idle: Duration,
    /// Largest request frame in bytes; a larger one closes its connection.
    pub max_request_bytes: usize,
    /// Bytes of received requests that are not finished, over all connections; past it, sockets are not read.
    pub queued_max_request_bytes: usize,
    /// Bytes of replies that are not sent, over all connections; past it, no Fetch is computed.
    pub queued_max_response_bytes: usize,
    /// Bytes of recent batches kept in memory for consumers that keep up.
    pub tail_cache_bytes: usize,
    /// Fetch sessions kept; 0 keeps none.
    pub fetch_sessions: usize,
    /// Bytes that must be free on each file system of the log; below it nothing is appended. 0: no such rule.
    pub min_free_disk: u64,
    /// What counts for topics that do not set it: the GUCs `log_retention_time`, `log_retention_bytes`, `log_segment_bytes`, `log_roll_time`.
    pub topic_defaults: TopicDefaults,
    /// How often it is looked at what retention deletes.
    pub log_retention_check_interval: Duration,
    /// Whether Metadata and Produce of an unknown topic make it.
    pub auto_create_topics: bool,
    /// Partitions of a topic that is made without a number.
    pub default_partitions: i32,
    /// Whether an acks=1 produce may be answered at an asynchronous commit.
    pub acks1_async: bool,
    /// How long a producer id is remembered that writes nothing.
    pub producer_id_expiration: Duration,
    /// How long the first rebalance of an empty group waits for more members.
    pub group_initial_rebalance_delay: Duration,
    /// Shortest session timeout that a member of a group may ask for.
    pub group_min_session_timeout: Duration,
    /// Longest session timeout that a member of a group may ask for.
    pub group_max_session_timeout: Duration,
    /// Members that a group has at most.
    pub group_max_size: usize,
    /// Time after which a silent member of a consumer group of the new protocol is fenced.
    pub consumer_group_session_timeout: Duration,
    /// How often members of such a group are told to send a heartbeat.
    pub consumer_group_heartbeat_interval: Duration,
    /// How long committed offsets are kept after their group became empty.
    pub offsets_retention: Duration,
    /// Whether each connection is logged at its start and end.
    pub log_connections: bool,
}

impl Default for Settings {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Settings {
            listen_addresses: vec!["localhost".to_owned()],
            port: 9092,
            advertised_host: None,
            advertised_port: None,
            node_id: 1,
            network_threads: 2,
            max_connections: 1000,
            max_connections_per_address: 1000,
            connections_max_idle: Duration::from_secs(600),
            max_request_bytes: 100 * MIB,
            queued_max_request_bytes: 256 * MIB,
            queued_max_response_bytes: 256 * MIB,
            tail_cache_bytes: 128 * MIB,
            fetch_sessions: 1000,
            min_free_disk: 1024 * MIB as u64,
            topic_defaults: TopicDefaults::default(),
            log_retention_check_interval: Duration::from_secs(300),
            auto_create_topics: true,
            default_partitions: 1,
            acks1_async: false,
            producer_id_expiration: Duration::from_secs(24 * 3600),
            group_initial_rebalance_delay: Duration::from_secs(3),
            group_min_session_timeout: Duration::from_secs(6),
            group_max_session_timeout: Duration::from_secs(30 * 60),
            group_max_size: i32::MAX as usize,
            consumer_group_session_timeout: Duration::from_secs(45),
            consumer_group_heartbeat_interval: Duration::from_secs(5),
            offsets_retention: Duration::from_secs(7 * 24 * 60 * 60),
            log_connections: false,
        }
    }
}
