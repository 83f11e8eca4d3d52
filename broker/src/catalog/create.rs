//! Whether a topic may be made, and what it is then (Kafka `ReplicationControlManager.createTopics`). Pure: CreateTopics, the
//! auto-creation of Metadata and `kafka.create_topic` of SQL ask the same question here.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;
use uuid::Uuid;

use super::assignment::check_replicas;
use super::config_values::ConfigError;
use super::configs::check_overrides;
use super::names::{check_name, collision_key, NameError};
use super::Topics;
use crate::limits;
use crate::storage::engine::NewTopic;

/// Kafka's own topic of cluster metadata, which nobody may make.
const CLUSTER_METADATA_TOPIC: &str = "__cluster_metadata";

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRequest {
    /// The name.
    pub name: String,
    /// Number of partitions, -1 for the default.
    pub partitions: i32,
    /// Number of replicas, -1 for the default, which is 1.
    pub replication_factor: i16,
    /// (partition, its brokers); where there is any, the two numbers above must be -1.
    pub assignments: Vec<(i32, Vec<i32>)>,
    /// Configs to override; a null value is refused.
    pub configs: Vec<(String, Option<String>)>,
}

impl TopicRequest {
    /// A topic with nothing chosen but its name.
    pub fn with_defaults(name: &str) -> Self {
        TopicRequest {
            name: name.to_owned(),
            partitions: -1,
            replication_factor: -1,
            assignments: Vec::new(),
            configs: Vec::new(),
        }
    }

    /// How many partitions it asks for, as far as the limit of a request is concerned.
    fn counted_partitions(&self, rules: &CreateRules) -> usize {
        if !self.assignments.is_empty() {
            return self.assignments.len();
        }
        let partitions = if self.partitions == -1 {
            rules.default_partitions
        } else {
            self.partitions
        };
        usize::try_from(partitions).unwrap_or_default()
    }
}

/// What of the broker the answer depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreateRules {
    /// The only broker that may be named in an assignment.
    pub node_id: i32,
    /// Partitions of a topic that is made without a number.
    pub default_partitions: i32,
}

/// Why a topic may not be made. The text is what the client sees.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// The name breaks the rules.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The name is that of a topic that Kafka keeps to itself.
    #[error("Creation of internal topic {CLUSTER_METADATA_TOPIC} is prohibited.")]
    Prohibited,
    /// A topic has the same name but for '.' and '_'.
    #[error("Topic '{name}' collides with existing topic: {existing}")]
    Collision {
        /// The new name.
        name: String,
        /// The topic that is there.
        existing: String,
    },
    /// A topic of this name is there.
    #[error("Topic '{0}' already exists.")]
    Exists(String),
    /// Configs without a value.
    #[error("Null value not supported for topic configs: {0}")]
    NullConfigs(String),
    /// Configs that are unknown or whose values are refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Assignments and a number.
    #[error("A manual partition assignment was specified, but {0} was not set to -1.")]
    AssignmentsAndNumber(&'static str),
    /// Assignments that cannot be.
    #[error("{0}")]
    Assignment(String),
    /// A replication factor of zero or less.
    #[error("Replication factor must be larger than 0, or -1 to use the default value.")]
    ReplicationFactor,
    /// More replicas than brokers.
    #[error(
        "Unable to replicate the partition {0} time(s): The target replication factor of {0} cannot be reached because only \
         1 broker(s) are registered or some brokers have all their log directories cordoned."
    )]
    TooManyReplicas(i16),
    /// A number of partitions of zero or less.
    #[error("Number of partitions was set to an invalid non-positive value.")]
    Partitions,
    /// More than [`limits::PARTITIONS_PER_CREATE`].
    #[error("Excessively large number of partitions per request.")]
    TooManyPartitions,
}

impl CreateError {
    /// The error code for clients.
    pub fn code(&self) -> ResponseError {
        match self {
            CreateError::Name(_) | CreateError::Collision { .. } => ResponseError::InvalidTopicException,
            CreateError::Prohibited | CreateError::AssignmentsAndNumber(_) => ResponseError::InvalidRequest,
            CreateError::Exists(_) => ResponseError::TopicAlreadyExists,
            CreateError::NullConfigs(_) | CreateError::Config(_) => ResponseError::InvalidConfig,
            CreateError::Assignment(_) => ResponseError::InvalidReplicaAssignment,
            CreateError::ReplicationFactor | CreateError::TooManyReplicas(_) => ResponseError::InvalidReplicationFactor,
            CreateError::Partitions => ResponseError::InvalidPartitions,
            CreateError::TooManyPartitions => ResponseError::PolicyViolation,
        }
    }
}

/// Whether the topics of one request together stay within [`limits::PARTITIONS_PER_CREATE`]; if not, none of them is made.
///
/// # Errors
/// [`CreateError::TooManyPartitions`].
pub fn check_total(requests: &[TopicRequest], rules: &CreateRules) -> Result<(), CreateError> {
    let total: usize = requests.iter().map(|request| request.counted_partitions(rules)).sum();
    if total > limits::PARTITIONS_PER_CREATE {
        return Err(CreateError::TooManyPartitions);
    }
    Ok(())
}

/// The topic to make, with a new id, if `request` may be granted beside `topics`. The caller has asked [`check_total`] as well.
///
/// # Errors
/// [`CreateError`], the first that Kafka would report.
pub fn check_topic(request: &TopicRequest, topics: &Topics, rules: &CreateRules) -> Result<NewTopic, CreateError> {
    check_new_name(&request.name, topics)?;
    let configs = check_configs(&request.configs)?;
    let partitions = if request.assignments.is_empty() {
        check_numbers(request, rules)?
    } else {
        check_assignments(request, rules)?
    };
    Ok(NewTopic {
        id: Uuid::new_v4(),
        name: request.name.clone(),
        partitions,
        configs,
    })
}

fn check_new_name(name: &str, topics: &Topics) -> Result<(), CreateError> {
    if name == CLUSTER_METADATA_TOPIC {
        return Err(CreateError::Prohibited);
    }
    if topics.by_name(name).is_some() {
        return Err(CreateError::Exists(name.to_owned()));
    }
    check_name(name)?;
    if !name.contains(['.', '_']) {
        return Ok(());
    }
    let key = collision_key(name);
    match topics.iter().find(|topic| collision_key(&topic.name) == key) {
        Some(existing) => Err(CreateError::Collision {
            name: name.to_owned(),
            existing: existing.name.to_string(),
        }),
        None => Ok(()),
    }
}

fn check_configs(configs: &[(String, Option<String>)]) -> Result<BTreeMap<String, String>, CreateError> {
    let nulls: Vec<&str> = configs
        .iter()
        .filter(|(_, value)| value.is_none())
        .map(|(name, _)| name.as_str())
        .collect();
    if !nulls.is_empty() {
        return Err(CreateError::NullConfigs(nulls.join(",")));
    }
    let overrides = configs
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), value.clone()?)))
        .collect();
    check_overrides(&overrides)?;
    Ok(overrides)
}

fn check_numbers(request: &TopicRequest, rules: &CreateRules) -> Result<i32, CreateError> {
    if request.replication_factor < -1 || request.replication_factor == 0 {
        return Err(CreateError::ReplicationFactor);
    }
    if request.partitions < -1 || request.partitions == 0 {
        return Err(CreateError::Partitions);
    }
    if request.replication_factor > 1 {
        return Err(CreateError::TooManyReplicas(request.replication_factor));
    }
    Ok(if request.partitions == -1 {
        rules.default_partitions
    } else {
        request.partitions
    })
}

fn check_assignments(request: &TopicRequest, rules: &CreateRules) -> Result<i32, CreateError> {
    if request.replication_factor != -1 {
        return Err(CreateError::AssignmentsAndNumber("replication factor"));
    }
    if request.partitions != -1 {
        return Err(CreateError::AssignmentsAndNumber("numPartitions"));
    }
    let mut seen = BTreeSet::new();
    for (partition, brokers) in &request.assignments {
        if !seen.insert(*partition) {
            return Err(CreateError::Assignment(format!(
                "Found multiple manual partition assignments for partition {partition}"
            )));
        }
        check_replicas(brokers, rules.node_id).map_err(|error| CreateError::Assignment(error.to_string()))?;
    }
    if seen.iter().zip(0..).any(|(partition, expected)| *partition != expected) {
        return Err(CreateError::Assignment(
            "partitions should be a consecutive 0-based integer sequence".to_owned(),
        ));
    }
    i32::try_from(seen.len()).map_err(|_| CreateError::TooManyPartitions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::sample;

    const RULES: CreateRules = CreateRules {
        node_id: 7,
        default_partitions: 3,
    };

    fn check(change: impl FnOnce(&mut TopicRequest)) -> Result<i32, (i16, String)> {
        let mut request = TopicRequest::with_defaults("new");
        change(&mut request);
        check_topic(&request, &sample::topics(&[("there", 1), ("a.b", 1)]), &RULES)
            .map(|topic| topic.partitions)
            .map_err(|error| (error.code().code(), error.to_string()))
    }

    #[test]
    fn defaults_and_numbers_are_granted() {
        assert_eq!(check(|_| ()), Ok(3));
        assert_eq!(check(|request| request.partitions = 5), Ok(5));
        assert_eq!(check(|request| request.replication_factor = 1), Ok(3));
        assert_eq!(check(|request| request.assignments = vec![(1, vec![7]), (0, vec![7])]), Ok(2));
        assert_eq!(check(|request| request.name = "a-b".to_owned()), Ok(3));
    }

    #[test]
    fn each_refusal_has_the_code_of_kafka() {
        let code = |change: fn(&mut TopicRequest)| check(change).map_err(|(code, _)| code);
        assert_eq!(code(|request| request.name = "a b".to_owned()), Err(17));
        assert_eq!(code(|request| request.name = String::new()), Err(17));
        assert_eq!(code(|request| request.name = "a_b".to_owned()), Err(17));
        assert_eq!(code(|request| request.name = "there".to_owned()), Err(36));
        assert_eq!(code(|request| request.name = "__cluster_metadata".to_owned()), Err(42));
        assert_eq!(code(|request| request.partitions = 0), Err(37));
        assert_eq!(code(|request| request.partitions = -2), Err(37));
        assert_eq!(code(|request| request.replication_factor = 0), Err(38));
        assert_eq!(code(|request| request.replication_factor = 2), Err(38));
        assert_eq!(code(|request| request.assignments = vec![(1, vec![7])]), Err(39));
        assert_eq!(
            code(|request| request.assignments = vec![(0, vec![7]), (0, vec![7])]),
            Err(39)
        );
        assert_eq!(code(|request| request.assignments = vec![(0, vec![8])]), Err(39));
        assert_eq!(code(|request| request.assignments = vec![(0, vec![7, 7])]), Err(39));
        assert_eq!(code(|request| request.assignments = vec![(0, vec![])]), Err(39));
        assert_eq!(code(|request| request.assignments = vec![(-1, vec![7])]), Err(39));
        assert_eq!(
            code(|request| {
                request.assignments = vec![(0, vec![7])];
                request.partitions = 1;
            }),
            Err(42)
        );
        assert_eq!(
            code(|request| request.configs = vec![("retention.ms".to_owned(), None)]),
            Err(40)
        );
        assert_eq!(
            code(|request| request.configs = vec![("x".to_owned(), Some("1".to_owned()))]),
            Err(40)
        );
    }

    #[test]
    fn the_last_value_of_a_config_counts() {
        let mut request = TopicRequest::with_defaults("new");
        for value in ["1", "2"] {
            request.configs.push(("retention.ms".to_owned(), Some(value.to_owned())));
        }
        let topic = check_topic(&request, &Topics::default(), &RULES).unwrap();
        assert_eq!(topic.configs.get("retention.ms").map(String::as_str), Some("2"));
    }

    #[test]
    fn a_request_has_a_limit_of_partitions() {
        let request = |partitions| TopicRequest {
            partitions,
            ..TopicRequest::with_defaults("a")
        };
        assert_eq!(check_total(&[request(9_997), request(-1)], &RULES), Ok(()));
        let error = check_total(&[request(9_998), request(-1)], &RULES).unwrap_err();
        assert_eq!(error.code().code(), 44);
    }
}
