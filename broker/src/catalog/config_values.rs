//! Values of configs: how text becomes a value and what makes it valid (Kafka `ConfigDef`).

use std::collections::HashSet;
use std::fmt;

use super::config_keys::ConfigKey;

/// The type of a config (Kafka `ConfigDef.Type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Boolean,
    String,
    Int,
    Long,
    Double,
    List,
}

impl Kind {
    /// The number of the type in DescribeConfigs responses (Kafka `DescribeConfigsResponse.ConfigType`).
    pub fn id(self) -> i8 {
        match self {
            Kind::Boolean => 1,
            Kind::String => 2,
            Kind::Int => 3,
            Kind::Long => 5,
            Kind::Double => 6,
            Kind::List => 7,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Boolean => "BOOLEAN",
            Kind::String => "STRING",
            Kind::Int => "INT",
            Kind::Long => "LONG",
            Kind::Double => "DOUBLE",
            Kind::List => "LIST",
        }
    }
}

/// What a value must satisfy besides its type.
#[derive(Debug, Clone, Copy)]
pub enum Rule {
    /// Nothing.
    Any,
    /// A number of at least this.
    AtLeast(i64),
    /// A number in this range, both ends included.
    Between(i64, i64),
    /// A number from 0 to 1.
    Fraction,
    /// A gzip level: -1, or 1 to 9.
    GzipLevel,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of these words, each at most once; may be empty.
    ListOf(&'static [&'static str]),
    /// `*`, or a list of `partition:broker`.
    ThrottledReplicas,
}

/// A parsed value. Its text is the one that DescribeConfigs shows.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Value {
    Boolean(bool),
    String(String),
    Int(i32),
    Long(i64),
    Double(f64),
    List(Vec<String>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Boolean(value) => write!(f, "{value}"),
            Value::String(value) => f.write_str(value),
            Value::Int(value) => write!(f, "{value}"),
            Value::Long(value) => write!(f, "{value}"),
            Value::Double(value) => write!(f, "{value:?}"),
            Value::List(values) => f.write_str(&values.join(",")),
        }
    }
}

impl Value {
    fn number(&self) -> Option<f64> {
        match self {
            Value::Int(value) => Some(f64::from(*value)),
            Value::Long(value) => Some(*value as f64),
            Value::Double(value) => Some(*value),
            Value::Boolean(_) | Value::String(_) | Value::List(_) => None,
        }
    }
}

/// Why configs are refused. The text is what the client sees with INVALID_CONFIG (40).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No key has this name.
    #[error("Unknown topic config name: {0}")]
    UnknownKey(String),
    /// The text is not of the key's type, or the value breaks the key's rule.
    #[error("Invalid value {value} for configuration {key}: {reason}")]
    InvalidValue {
        /// The key.
        key: &'static str,
        /// The value as it was given.
        value: String,
        /// What is wrong.
        reason: String,
    },
    /// A list has an element of no characters.
    #[error("Configuration '{0}' values must not be empty.")]
    EmptyElement(&'static str),
    /// Elements for a config whose value is no list, or of which nothing is known.
    #[error("Can't {operation} to key {key} because its type is not LIST.")]
    NotAList {
        /// APPEND or SUBTRACT.
        operation: &'static str,
        /// The key.
        key: String,
    },
    /// A value of more than 32767 characters.
    #[error("The value is longer than 32767 characters.")]
    TooLong,
    /// The shortest compaction lag is longer than the longest.
    #[error("conflict topic config setting min.compaction.lag.ms ({min}) > max.compaction.lag.ms ({max})")]
    CompactionLag {
        /// min.compaction.lag.ms.
        min: i64,
        /// max.compaction.lag.ms.
        max: i64,
    },
    /// remote.storage.enable=true.
    #[error("Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.")]
    TieredStorage,
}

impl ConfigKey {
    /// The value that `text` stands for.
    ///
    /// # Errors
    /// [`ConfigError`], which is INVALID_CONFIG (40).
    pub fn parse(&'static self, text: &str) -> Result<Value, ConfigError> {
        let value = self
            .parse_kind(text.trim_matches(|c: char| c <= ' '))
            .map_err(|reason| self.invalid(text, reason))?;
        self.check(&value)?;
        Ok(value)
    }

    fn parse_kind(&self, text: &str) -> Result<Value, String> {
        let not_a_number = || format!("Not a number of type {}", self.kind.name());
        match self.kind {
            Kind::Boolean if text.eq_ignore_ascii_case("true") => Ok(Value::Boolean(true)),
            Kind::Boolean if text.eq_ignore_ascii_case("false") => Ok(Value::Boolean(false)),
            Kind::Boolean => Err("Expected value to be either true or false".to_owned()),
            Kind::String => Ok(Value::String(text.to_owned())),
            Kind::Int => text.parse().map(Value::Int).map_err(|_| not_a_number()),
            Kind::Long => text.parse().map(Value::Long).map_err(|_| not_a_number()),
            Kind::Double => text.parse().map(Value::Double).map_err(|_| not_a_number()),
            Kind::List if text.is_empty() => Ok(Value::List(Vec::new())),
            Kind::List => Ok(Value::List(distinct(text.split(',').map(str::trim)))),
        }
    }

    fn check(&'static self, value: &Value) -> Result<(), ConfigError> {
        let refuse = |reason: String| match value {
            Value::List(elements) => Err(self.invalid(&format!("[{}]", elements.join(", ")), reason)),
            value => Err(self.invalid(&value.to_string(), reason)),
        };
        let number = value.number().unwrap_or_default();
        match (self.rule, value) {
            (Rule::AtLeast(min), _) if number < min as f64 => refuse(format!("Value must be at least {min}")),
            (Rule::Between(min, _), _) if number < min as f64 => refuse(format!("Value must be at least {min}")),
            (Rule::Between(_, max), _) if number > max as f64 => refuse(format!("Value must be no more than {max}")),
            (Rule::Fraction, _) if number.is_nan() || number < 0.0 => refuse("Value must be at least 0".to_owned()),
            (Rule::Fraction, _) if number > 1.0 => refuse("Value must be no more than 1".to_owned()),
            (Rule::GzipLevel, Value::Int(level)) if !matches!(level, -1 | 1..=9) => {
                refuse("Value must be between 1 and 9 or equal to -1".to_owned())
            }
            (Rule::OneOf(words), Value::String(word)) => self.check_word(words, word),
            (Rule::ListOf(words), Value::List(elements)) => self.check_list(words, elements),
            (Rule::ThrottledReplicas, Value::List(elements)) if !throttled_replicas(elements) => refuse(format!(
                "{} must be the literal '*' or a list of replicas in the following format: \
                 [partitionId]:[brokerId],[partitionId]:[brokerId],...",
                self.name
            )),
            _ => Ok(()),
        }
    }

    fn check_word(&'static self, words: &[&str], word: &str) -> Result<(), ConfigError> {
        if words.contains(&word) {
            return Ok(());
        }
        Err(self.invalid(word, format!("String must be one of: {}", words.join(", "))))
    }

    fn check_list(&'static self, words: &[&str], elements: &[String]) -> Result<(), ConfigError> {
        for element in elements {
            if element.is_empty() {
                return Err(ConfigError::EmptyElement(self.name));
            }
            self.check_word(words, element)?;
        }
        Ok(())
    }

    fn invalid(&self, value: &str, reason: String) -> ConfigError {
        ConfigError::InvalidValue {
            key: self.name,
            value: value.to_owned(),
            reason,
        }
    }
}

/// Each element once, in the order of their first appearance: Kafka overlooks repetitions.
fn distinct<'t>(elements: impl Iterator<Item = &'t str>) -> Vec<String> {
    let mut seen = HashSet::new();
    elements.filter(|element| seen.insert(*element)).map(str::to_owned).collect()
}

fn throttled_replicas(elements: &[String]) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let replica = |element: &String| {
        element.is_empty()
            || element
                .split_once(':')
                .is_some_and(|(partition, broker)| digits(partition) && digits(broker))
    };
    elements.concat() == "*" || elements.iter().all(replica)
}

#[cfg(test)]
mod tests {
    use super::super::config_keys::config_key;

    fn check(key: &str, text: &str) -> Result<String, String> {
        let key = config_key(key).unwrap();
        key.parse(text)
            .map(|value| value.to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn values_are_parsed_as_kafka_does() {
        for (key, text, value) in [
            ("segment.bytes", " 1048576\t", "1048576"),
            ("retention.ms", "-1", "-1"),
            ("retention.bytes", "+5", "5"),
            ("preallocate", "TRUE", "true"),
            ("min.cleanable.dirty.ratio", "1", "1.0"),
            ("cleanup.policy", "compact , delete", "compact,delete"),
            ("cleanup.policy", "", ""),
            ("compression.gzip.level", "-1", "-1"),
            ("compression.zstd.level", "-131072", "-131072"),
            ("leader.replication.throttled.replicas", "*", "*"),
            ("cleanup.policy", "delete, compact,delete", "delete,compact"),
            ("leader.replication.throttled.replicas", "0:1,12:3", "0:1,12:3"),
        ] {
            assert_eq!(check(key, text), Ok(value.to_owned()), "{key}={text}");
        }
    }

    #[test]
    fn refusals_say_what_kafka_says() {
        for (key, text, message) in [
            ("segment.bytes", "1000", "Invalid value 1000 for configuration segment.bytes: Value must be at least 1048576"),
            ("segment.bytes", "x", "Invalid value x for configuration segment.bytes: Not a number of type INT"),
            ("retention.ms", "1.5", "Invalid value 1.5 for configuration retention.ms: Not a number of type LONG"),
            ("preallocate", "1", "Invalid value 1 for configuration preallocate: Expected value to be either true or false"),
            (
                "message.timestamp.type",
                "createtime",
                "Invalid value createtime for configuration message.timestamp.type: String must be one of: CreateTime, LogAppendTime",
            ),
            (
                "cleanup.policy",
                "compact,purge",
                "Invalid value purge for configuration cleanup.policy: String must be one of: compact, delete",
            ),
            ("cleanup.policy", "delete,", "Configuration 'cleanup.policy' values must not be empty."),
            (
                "compression.gzip.level",
                "0",
                "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1",
            ),
            (
                "compression.lz4.level",
                "18",
                "Invalid value 18 for configuration compression.lz4.level: Value must be no more than 17",
            ),
            (
                "min.cleanable.dirty.ratio",
                "1.1",
                "Invalid value 1.1 for configuration min.cleanable.dirty.ratio: Value must be no more than 1",
            ),
        ] {
            assert_eq!(check(key, text), Err(message.to_owned()), "{key}={text}");
        }
        let error = check("leader.replication.throttled.replicas", "*,a:1").unwrap_err();
        assert!(error.starts_with("Invalid value [*, a:1] for configuration"), "{error}");
    }
}
