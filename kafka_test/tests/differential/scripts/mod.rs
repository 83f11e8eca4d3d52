//! The scripts, a file per API.

mod admin;
mod alter_configs;
mod api_versions;
mod consumer_groups;
mod create_topics;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod fetch;
mod fetch_sessions;
mod find_coordinator;
mod groups;
mod idempotence;
mod init_producer_id;
mod list_config_resources;
mod list_offsets;
mod metadata;
mod migration;
mod offset_for_leader_epoch;
mod offsets;
mod produce;
mod producers;
mod rebalances;
mod reconciliation;
mod versions;

use crate::script::Script;

/// Metadata comes first: what lists all topics must come before Kafka makes topics of its own, as it does for FindCoordinator.
const FILES: &[&[Script]] = &[
    metadata::SCRIPTS,
    api_versions::SCRIPTS,
    versions::SCRIPTS,
    create_topics::SCRIPTS,
    delete_topics::SCRIPTS,
    produce::SCRIPTS,
    init_producer_id::SCRIPTS,
    idempotence::SCRIPTS,
    fetch::SCRIPTS,
    fetch_sessions::SCRIPTS,
    list_offsets::SCRIPTS,
    offset_for_leader_epoch::SCRIPTS,
    delete_records::SCRIPTS,
    describe_configs::SCRIPTS,
    alter_configs::SCRIPTS,
    admin::SCRIPTS,
    list_config_resources::SCRIPTS,
    describe_cluster::SCRIPTS,
    find_coordinator::SCRIPTS,
    groups::SCRIPTS,
    offsets::SCRIPTS,
    producers::SCRIPTS,
    consumer_groups::SCRIPTS,
    rebalances::SCRIPTS,
    reconciliation::SCRIPTS,
    migration::SCRIPTS,
];

/// All scripts.
pub fn all() -> impl Iterator<Item = &'static Script> {
    FILES.iter().copied().flatten()
}
