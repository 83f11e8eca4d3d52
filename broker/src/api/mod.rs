//! The APIs: the table of them ([`table`]), the dispatcher, and one file per API.
//!
//! A handler gets a decoded request, checks, calls a service and builds the response by walking the request. It holds no state.

pub mod alter_configs;
pub mod alter_partition_reassignments;
pub mod api_versions;
pub mod broker_configs;
mod config_changes;
pub mod config_resource;
pub mod consumer_group_describe;
pub mod consumer_group_heartbeat;
pub mod create_partitions;
pub mod create_topics;
#[cfg(test)]
mod data_tests;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_quorum;
pub mod describe_topic_partitions;
pub mod dispatch;
pub mod elect_leaders;
#[cfg(test)]
pub(crate) mod encoding;
pub mod endpoint;
pub mod features;
pub mod fetch;
#[cfg(test)]
mod fetch_session_tests;
pub mod find_coordinator;
#[cfg(test)]
pub(crate) mod fixture;
mod group_requests;
#[cfg(test)]
mod group_tests;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
pub mod list_config_resources;
pub mod list_groups;
pub mod list_offsets;
pub mod list_partition_reassignments;
pub mod long_work;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod operations;
pub mod page;
pub mod produce;
pub mod sync_group;
pub mod table;
pub mod update_features;

use std::sync::Arc;

use tokio::sync::watch;

use crate::catalog::Catalog;
use crate::fetch::FetchSessions;
use crate::groups::Coordinator;
use crate::net::{Budget, Peer};
use crate::producers::ids::ProducerIds;
use crate::settings::Settings;
use crate::storage::Storage;
use long_work::LongWork;

/// What handlers work with; one per running broker.
pub struct Context {
    /// The settings, changed at reload.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// Topics and cluster facts.
    pub catalog: Arc<Catalog>,
    /// The database thread.
    pub storage: Storage,
    /// Where producer ids come from.
    pub producer_ids: ProducerIds,
    /// The directory on whose file system the database is.
    pub directory: String,
    /// Bytes of Fetch responses that are not sent.
    pub response_budget: Budget,
    /// Bytes of small Fetch responses, for when that budget is exhausted: [`crate::limits::SMALL_REPLY_BYTES`] for each connection.
    pub small_responses: Budget,
    /// Fetch sessions.
    pub fetch_sessions: FetchSessions,
    /// Where what takes long waits its turn.
    pub long_work: LongWork,
    /// Consumer groups.
    pub groups: Coordinator,
}

impl Context {
    /// The settings now.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.borrow().clone()
    }
}

/// What a handler may know of its request besides the body.
#[derive(Debug, Clone)]
pub struct RequestInfo {
    /// The API version of the request and of its response.
    pub version: i16,
    /// The client's name for itself.
    pub client_id: Option<String>,
    /// The connection it came by.
    pub peer: Peer,
}
