//! What AlterConfigs and IncrementalAlterConfigs share: which of the resources that a request names may be changed, and the changes
//! (Kafka `ConfigAdminManager` and `ControllerConfigurationValidator`).
//!
//! * Topics are changed, each in a transaction of its own that waits at most [`limits::ALTER_CONFIGS_PATIENCE`] for another session;
//!   then it is surely not changed: REQUEST_TIMED_OUT (7). What is answered is durable and effective.
//! * Brokers: settings are changed in Postgres, so a value for one is INVALID_REQUEST (42). There is never anything to take away.
//! * Loggers do not exist here: INVALID_CONFIG (40) for each.
//! * Client metrics and groups are INVALID_REQUEST.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;

use kafka_protocol::protocol::StrBytes;
use kafka_protocol::ResponseError;
use uuid::Uuid;

use super::config_resource::{self as resource, invalid, Refusal};
use super::create_topics::admin_code;
use super::Context;
use crate::catalog::alter::{ConfigChange, Operation};
use crate::catalog::names::check_name;
use crate::catalog::Topics;
use crate::limits;
use crate::storage::StorageError;

/// The numbers of operations (Kafka `AlterConfigOp.OpType`).
pub(super) mod operation {
    pub const SET: i8 = 0;
    pub const DELETE: i8 = 1;
    pub const APPEND: i8 = 2;
    pub const SUBTRACT: i8 = 3;
}

/// What a request wants of one resource.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// The kind of resource.
    pub kind: i8,
    /// Its name.
    pub name: StrBytes,
    /// Its configs.
    pub configs: Vec<WantedConfig>,
}

/// What a request wants of one config.
#[derive(Debug, Clone)]
pub(super) struct WantedConfig {
    /// Its name.
    pub name: StrBytes,
    /// One of [`operation`], if the client knows what it does.
    pub operation: i8,
    /// The value.
    pub value: Option<StrBytes>,
}

/// What becomes of configs that the request does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    /// They go back to their defaults (AlterConfigs).
    Deleted,
    /// They stay (IncrementalAlterConfigs).
    Kept,
}

/// What is to be done about one resource.
#[derive(Debug)]
enum Step {
    Nothing,
    Topic(Uuid, ConfigChange),
}

/// Changes what may be changed; an outcome per resource, in their order. With `validate_only` nothing is changed.
pub(super) async fn alter(
    context: &Context,
    others: Others,
    validate_only: bool,
    resources: &[Wanted],
) -> Vec<Result<(), Refusal>> {
    let node_id = context.settings().node_id;
    let steps = plan(node_id, &context.catalog.topics(), others, resources);
    let deadline = Instant::now() + limits::ALTER_CONFIGS_PATIENCE;
    let mut outcomes = Vec::with_capacity(steps.len());
    let mut changes = Vec::new();
    for (index, step) in steps.into_iter().enumerate() {
        outcomes.push(step.map(|step| match step {
            Step::Topic(id, change) if !validate_only => {
                let storage = context.storage.clone();
                let alteration = tokio::spawn(async move { storage.alter_configs(id, change, deadline).await });
                changes.push((index, alteration));
            }
            Step::Topic(..) | Step::Nothing => {}
        }));
    }
    for (index, alteration) in changes {
        if let Err(error) = alteration.await.unwrap_or(Err(StorageError::Unavailable)) {
            outcomes[index] = Err(failed(&resources[index].name, &error));
        }
    }
    outcomes
}

fn failed(topic: &str, error: &StorageError) -> Refusal {
    match error {
        StorageError::UnknownPartition => missing(topic),
        StorageError::Configs(refusal) => (ResponseError::InvalidConfig, refusal.to_string()),
        error => {
            tracing::warn!("configs of topic {topic} were not changed: {error}");
            (admin_code(error), error.to_string())
        }
    }
}

fn missing(topic: &str) -> Refusal {
    let message = format!("The topic '{topic}' does not exist.");
    (ResponseError::UnknownTopicOrPartition, message)
}

fn plan(node_id: i32, topics: &Topics, others: Others, resources: &[Wanted]) -> Vec<Result<Step, Refusal>> {
    let mut named: HashMap<(i8, &str), usize> = HashMap::new();
    for wanted in resources {
        *named.entry((wanted.kind, wanted.name.as_str())).or_default() += 1;
    }
    let step = |wanted: &Wanted| {
        if named.get(&(wanted.kind, wanted.name.as_str())) != Some(&1) {
            return Err(invalid("Each resource must appear at most once."));
        }
        check_configs(&wanted.configs)?;
        match wanted.kind {
            resource::TOPIC => topic_step(topics, others, wanted),
            resource::BROKER => check_broker(node_id, wanted),
            resource::BROKER_LOGGER if others == Others::Kept => check_loggers(node_id, wanted),
            resource::CLIENT_METRICS | resource::GROUP => Err(resource::unsupported(wanted.kind)),
            unknown => Err(invalid(format!("Unknown resource type {unknown}"))),
        }
    };
    resources.iter().map(step).collect()
}

fn check_configs(configs: &[WantedConfig]) -> Result<(), Refusal> {
    let mut seen = HashSet::new();
    if !configs.iter().all(|config| seen.insert(config.name.as_str())) {
        return Err(invalid("Error due to duplicate config keys"));
    }
    let nulls = configs
        .iter()
        .filter(|config| config.value.is_none() && config.operation != operation::DELETE);
    let nulls: Vec<_> = nulls.map(|config| config.name.as_str()).collect();
    if !nulls.is_empty() {
        return Err(invalid(format!("Null value not supported for : {}", nulls.join(", "))));
    }
    match configs.iter().find(|config| config.operation().is_none()) {
        Some(unknown) => Err(invalid(format!("Unknown operations type {}", unknown.operation))),
        None => Ok(()),
    }
}

impl WantedConfig {
    /// `None` for an operation that Kafka does not have.
    fn operation(&self) -> Option<Operation> {
        let value = || self.value.as_ref().map(StrBytes::to_string).unwrap_or_default();
        Some(match self.operation {
            operation::SET => Operation::Set(value()),
            operation::DELETE => Operation::Delete,
            operation::APPEND => Operation::Append(value()),
            operation::SUBTRACT => Operation::Subtract(value()),
            _ => return None,
        })
    }

    fn value(&self) -> String {
        self.value.as_ref().map(StrBytes::to_string).unwrap_or_default()
    }
}

/// The change is checked against the configs that the topic has now. When it is carried out that is done again, on what the tables
/// say then.
fn topic_step(topics: &Topics, others: Others, wanted: &Wanted) -> Result<Step, Refusal> {
    let name = wanted.name.as_str();
    if name.is_empty() {
        return Err(invalid("Default topic resources are not allowed."));
    }
    check_name(name).map_err(|error| (ResponseError::InvalidTopicException, error.to_string()))?;
    let change = change(others, &wanted.configs);
    let topic = topics.by_name(name);
    let none = BTreeMap::new();
    change
        .apply(topic.map_or(&none, |topic| &topic.configs.overrides))
        .map_err(|error| (ResponseError::InvalidConfig, error.to_string()))?;
    let topic = topic.ok_or_else(|| missing(name))?;
    Ok(Step::Topic(topic.id, change))
}

fn change(others: Others, configs: &[WantedConfig]) -> ConfigChange {
    let name = |config: &WantedConfig| config.name.to_string();
    match others {
        Others::Deleted => ConfigChange::Replace(configs.iter().map(|config| (name(config), config.value())).collect()),
        Others::Kept => {
            let operations = configs.iter().filter_map(|config| Some((name(config), config.operation()?)));
            ConfigChange::Each(operations.collect())
        }
    }
}

fn check_broker(node_id: i32, wanted: &Wanted) -> Result<Step, Refusal> {
    let name = wanted.name.as_str();
    if !name.is_empty() {
        check_node(node_id, name, || {
            format!("Unexpected broker id, expected {node_id}, but received {name}")
        })?;
    }
    let given = wanted.configs.iter().filter(|config| config.operation != operation::DELETE);
    let given: Vec<_> = given.map(|config| config.name.as_str()).collect();
    if given.is_empty() {
        return Ok(Step::Nothing);
    }
    Err(invalid(format!(
        "Cannot update these configs dynamically: [{}]. Settings of this broker are changed in PostgreSQL: \
         ALTER SYSTEM SET pg_kafka.<name> = <value>, then SELECT pg_reload_conf().",
        given.join(", ")
    )))
}

fn check_loggers(node_id: i32, wanted: &Wanted) -> Result<Step, Refusal> {
    let name = wanted.name.as_str();
    check_node(node_id, name, || {
        format!("Unexpected node id. Expected {node_id}, but received {name}")
    })?;
    match wanted.configs.first() {
        None => Ok(Step::Nothing),
        Some(logger) => {
            let message = format!(
                "Logger {} does not exist! What is logged is a setting of PostgreSQL.",
                logger.name
            );
            Err((ResponseError::InvalidConfig, message))
        }
    }
}

fn check_node(node_id: i32, name: &str, unexpected: impl FnOnce() -> String) -> Result<(), Refusal> {
    match name.parse::<i32>() {
        Ok(id) if id == node_id => Ok(()),
        Ok(_) => Err(invalid(unexpected())),
        Err(_) => Err(invalid(format!("Node id must be an integer, but it is: {name}"))),
    }
}
