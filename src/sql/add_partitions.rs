//! `kafka.add_partitions`: the same rules, locks and code as CreatePartitions, inside the caller's transaction. The broker sees the
//! partitions at commit.

use broker::catalog::partitions::{check_count, check_total};
use pgrx::prelude::*;

use super::error::{raise_add, raise_engine, raise_null};
use super::find::lock_topic;
use crate::ffi::commit_hook::notify_catalog_changed_at_commit;
use crate::store::locks::Patience;
use crate::store::topics;

/// Adds `count` partitions to a topic; returns how many it has then.
#[pg_extern]
fn add_partitions(topic: Option<&str>, count: Option<i32>) -> i32 {
    let name = topic.unwrap_or_else(|| raise_null("the name of a topic"));
    let added = count.unwrap_or_else(|| raise_null("the number of partitions to add"));
    let topic = lock_topic(name);
    let wanted = topic.partitions.saturating_add(added);
    check_total([added])
        .and_then(|()| check_count(name, topic.partitions, wanted))
        .unwrap_or_else(|error| raise_add(&error));
    topics::add_partitions(topic.number, wanted, Patience::Waits).unwrap_or_else(|error| raise_engine(error));
    notify_catalog_changed_at_commit();
    wanted
}
