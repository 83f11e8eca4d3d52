//! `kafka.create_topic`, `kafka.alter_topic` and `kafka.drop_topic`: the same rules, locks and code as CreateTopics,
//! IncrementalAlterConfigs and DeleteTopics, inside the caller's transaction. The broker sees the change at commit.

use std::sync::Arc;

use broker::catalog::alter::{ConfigChange, Operation};
use broker::catalog::configs::TopicConfigs;
use broker::catalog::create::{check_topic, check_total, CreateRules, TopicRequest};
use broker::catalog::names::collision_key;
use broker::catalog::{Topic, Topics};
use broker::storage::engine::TopicNumber;
use pgrx::prelude::*;
use pgrx::JsonB;

use super::error::{raise, raise_config, raise_create, raise_engine};
use crate::ffi::commit_hook::notify_catalog_changed_at_commit;
use crate::ffi::guc;
use crate::ffi::spi::{param, query};
use crate::store::locks::{lock_topic_name, lock_topic_row, Held, Patience};
use crate::store::topics;

/// Makes a topic; returns its topic id. `partitions` null or -1: `pg_kafka.default_partitions`.
#[pg_extern]
fn create_topic(name: Option<&str>, partitions: Option<i32>, configs: Option<JsonB>) -> pgrx::Uuid {
    let name = name.unwrap_or_else(|| raise_null());
    let request = TopicRequest {
        partitions: partitions.unwrap_or(-1),
        configs: configs.map_or_else(Vec::new, overrides),
        ..TopicRequest::with_defaults(name)
    };
    let settings = guc::snapshot().broker;
    let rules = CreateRules {
        node_id: settings.node_id,
        default_partitions: settings.default_partitions,
    };
    lock(name);
    let others = topics_like(name);
    let new = check_total(std::slice::from_ref(&request), &rules)
        .and_then(|()| check_topic(&request, &others, &rules))
        .unwrap_or_else(|error| raise_create(&error));
    topics::create_topic(&new, Patience::Waits).unwrap_or_else(|error| raise_engine(error));
    notify_catalog_changed_at_commit();
    pgrx::Uuid::from_bytes(new.id.into_bytes())
}

/// Changes configs of a topic: one whose value is null goes back to its default, one that is not named stays.
#[pg_extern]
fn alter_topic(name: Option<&str>, configs: Option<JsonB>) {
    let name = name.unwrap_or_else(|| raise_null());
    let Some(configs) = configs else {
        raise(
            PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED,
            "configs must not be null",
            "A config alone may be null, which takes it back to its default: '{\"retention.ms\": null}'.",
        )
    };
    let operation = |(key, value): (String, Option<String>)| (key, value.map_or(Operation::Delete, Operation::Set));
    let change = ConfigChange::Each(overrides(configs).into_iter().map(operation).collect());
    lock(name);
    let topic = existing(name);
    lock_topic_row(topic, "FOR KEY SHARE", Patience::Waits).unwrap_or_else(|error| raise_engine(error));
    let current = topics::topic_configs(topic).unwrap_or_default();
    let changed = change.apply(&current).unwrap_or_else(|error| raise_config(&error));
    if changed != current {
        topics::set_topic_configs(topic, &changed);
        notify_catalog_changed_at_commit();
    }
}

/// Drops a topic with its records.
#[pg_extern]
fn drop_topic(name: Option<&str>) {
    let name = name.unwrap_or_else(|| raise_null());
    lock(name);
    topics::delete_topic(existing(name), Patience::Waits).unwrap_or_else(|error| raise_engine(error));
    notify_catalog_changed_at_commit();
}

/// The number of the topic of this name.
pub(super) fn existing(name: &str) -> TopicNumber {
    let number = query("SELECT id FROM kafka.topics WHERE name = $1", &[param(name)], |row| {
        row.get(1)
    });
    match number.into_iter().next() {
        Some(Some(number)) => TopicNumber(number),
        _ => raise(
            PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            format!("topic \"{name}\" does not exist"),
            "kafka.topics lists the topics; upper and lower case are different.",
        ),
    }
}

fn raise_null() -> ! {
    raise(
        PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED,
        "the name of a topic must not be null",
        "Give the name of a topic.",
    )
}

/// The locks that whoever makes, changes or drops a topic takes, in the broker's order.
fn lock(name: &str) {
    Held::default()
        .bookkeeping(Patience::Waits)
        .and_then(|()| lock_topic_name(name, Patience::Waits))
        .unwrap_or_else(|error| raise_engine(error));
}

/// The topics that stand in the way of a name, as far as [`check_topic`] looks at them.
fn topics_like(name: &str) -> Topics {
    let mut topics = Topics::default();
    let names = query(
        "SELECT name FROM kafka.topics WHERE pg_catalog.translate(name, '.', '_') = $1",
        &[param(collision_key(name))],
        |row| row.get::<String>(1),
    );
    for name in names.into_iter().flatten() {
        topics.insert(Arc::new(Topic {
            number: TopicNumber(0),
            id: uuid::Uuid::new_v4(),
            name: name.into(),
            configs: TopicConfigs::default(),
            partitions: Vec::new(),
        }));
    }
    topics
}

/// Configs out of a JSON object; numbers and booleans stand for their text.
fn overrides(JsonB(configs): JsonB) -> Vec<(String, Option<String>)> {
    let Some(object) = configs.as_object() else {
        raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "configs must be a JSON object",
            "For example '{\"retention.ms\": \"3600000\"}'.",
        )
    };
    let mut overrides = Vec::new();
    for (name, value) in object {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        overrides.push((name.clone(), (!value.is_null()).then_some(text)));
    }
    overrides
}
