//! What the configs of a topic become when they are changed (Kafka `ConfigurationControlManager`). Pure: AlterConfigs,
//! IncrementalAlterConfigs and `kafka.alter_topic` of SQL ask the same question here.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::config_keys::config_key;
use super::config_values::{ConfigError, Kind};
use super::configs::check_overrides;

/// Longest value that a change may give a config, in UTF-16 units, as Kafka counts.
const MAX_VALUE_LENGTH: usize = i16::MAX as usize;

/// What is to be done with one config (Kafka `AlterConfigOp.OpType`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Gives it this value.
    Set(String),
    /// Takes its value away, so that the default is effective again.
    Delete,
    /// Adds these elements, between commas, to a list that lacks them.
    Append(String),
    /// Takes these elements, between commas, out of a list.
    Subtract(String),
}

/// A change of a topic's configs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigChange {
    /// These are set and no others (AlterConfigs).
    Replace(BTreeMap<String, String>),
    /// Those that are named are changed (IncrementalAlterConfigs, KIP-339).
    Each(BTreeMap<String, Operation>),
}

impl ConfigChange {
    /// The overrides of a topic whose overrides were `current`.
    ///
    /// # Errors
    /// [`ConfigError`], which is INVALID_CONFIG (40): the first that Kafka would report.
    pub fn apply(&self, current: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, ConfigError> {
        let changed = match self {
            ConfigChange::Replace(overrides) => overrides.clone(),
            ConfigChange::Each(operations) => {
                let mut overrides = current.clone();
                for (name, operation) in operations {
                    operation.apply(name, &mut overrides)?;
                }
                overrides
            }
        };
        let too_long = |(name, value): &(&String, &String)| {
            current.get(*name) != Some(*value)
                && value.len() > MAX_VALUE_LENGTH
                && value.encode_utf16().count() > MAX_VALUE_LENGTH
        };
        if changed.iter().any(|entry| too_long(&entry)) {
            return Err(ConfigError::TooLong);
        }
        check_overrides(&changed)?;
        Ok(changed)
    }
}

impl Operation {
    fn apply(&self, name: &str, overrides: &mut BTreeMap<String, String>) -> Result<(), ConfigError> {
        let value = match self {
            Operation::Set(value) => value.clone(),
            Operation::Delete => {
                overrides.remove(name);
                return Ok(());
            }
            Operation::Append(elements) => {
                let list = elements_of(name, "APPEND", overrides)?;
                let mut known: HashSet<&str> = list.iter().copied().collect();
                let added: Vec<_> = split(elements).filter(|element| known.insert(element)).collect();
                [list, added].concat().join(",")
            }
            Operation::Subtract(elements) => {
                let mut list = elements_of(name, "SUBTRACT", overrides)?;
                let mut times: HashMap<&str, usize> = HashMap::new();
                for element in split(elements) {
                    *times.entry(element).or_default() += 1;
                }
                // Each time that an element is named takes one away, the first of them.
                list.retain(|element| match times.get_mut(element) {
                    Some(left) if *left > 0 => {
                        *left -= 1;
                        false
                    }
                    _ => true,
                });
                list.join(",")
            }
        };
        overrides.insert(name.to_owned(), value);
        Ok(())
    }
}

/// The elements of a list as it is set, or else of its default.
fn elements_of<'a>(
    name: &str,
    operation: &'static str,
    overrides: &'a BTreeMap<String, String>,
) -> Result<Vec<&'a str>, ConfigError> {
    let Some(key) = config_key(name).filter(|key| key.kind == Kind::List) else {
        return Err(ConfigError::NotAList {
            operation,
            key: name.to_owned(),
        });
    };
    let value = overrides.get(name).map(String::as_str).or(key.default).unwrap_or_default();
    Ok(value.split(',').filter(|element| !element.is_empty()).collect())
}

/// As `String.split` of Java: empty elements at the end do not count, but the empty text is one element.
fn split(elements: &str) -> impl Iterator<Item = &str> {
    let end = if elements.is_empty() {
        elements
    } else {
        elements.trim_end_matches(',')
    };
    let only_commas = end.is_empty() && !elements.is_empty();
    end.split(',').filter(move |_| !only_commas)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overrides(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn change(current: &[(&str, &str)], operations: &[(&str, Operation)]) -> Result<BTreeMap<String, String>, String> {
        let operations = operations
            .iter()
            .map(|(key, operation)| ((*key).to_owned(), operation.clone()));
        ConfigChange::Each(operations.collect())
            .apply(&overrides(current))
            .map_err(|error| error.to_string())
    }

    fn set(value: &str) -> Operation {
        Operation::Set(value.to_owned())
    }

    fn append(value: &str) -> Operation {
        Operation::Append(value.to_owned())
    }

    fn subtract(value: &str) -> Operation {
        Operation::Subtract(value.to_owned())
    }

    #[test]
    fn what_is_not_named_stays() {
        let current = [("retention.ms", "5"), ("segment.ms", "6"), ("preallocate", "true")];
        let operations = [
            ("retention.ms", set("7")),
            ("segment.ms", Operation::Delete),
            ("flush.ms", Operation::Delete),
        ];
        assert_eq!(
            change(&current, &operations),
            Ok(overrides(&[("retention.ms", "7"), ("preallocate", "true")]))
        );
    }

    #[test]
    fn replacing_takes_away_what_is_not_named() {
        let change = ConfigChange::Replace(overrides(&[("segment.ms", "6")]));
        let current = overrides(&[("retention.ms", "5")]);
        assert_eq!(change.apply(&current), Ok(overrides(&[("segment.ms", "6")])));
        let change = ConfigChange::Replace(overrides(&[("x", "6")]));
        assert_eq!(change.apply(&current), Err(ConfigError::UnknownKey("x".to_owned())));
    }

    #[test]
    fn lists_grow_and_shrink_from_what_is_effective() {
        const KEY: &str = "cleanup.policy";
        let after = |current: &[(&str, &str)], operation: Operation| {
            change(current, &[(KEY, operation)]).map(|overrides| overrides.get(KEY).cloned().unwrap())
        };
        let both = || Ok("delete,compact".to_owned());
        assert_eq!(after(&[], append("compact")), both());
        assert_eq!(after(&[], append("compact,delete,")), both());
        assert_eq!(after(&[(KEY, "compact")], append("compact")), Ok("compact".to_owned()));
        assert_eq!(
            after(&[(KEY, "delete,compact")], subtract("delete")),
            Ok("compact".to_owned())
        );
        assert_eq!(after(&[(KEY, "compact")], subtract("delete,compact")), Ok(String::new()));
        const REPLICAS: &str = "leader.replication.throttled.replicas";
        let twice = [(REPLICAS, "0:1,1:1,0:1,2:1")];
        let less = change(&twice, &[(REPLICAS, subtract("0:1,2:1"))]).unwrap();
        assert_eq!(less[REPLICAS], "1:1,0:1", "the first of two");
        assert_eq!(after(&[(KEY, "compact")], subtract("purge")), Ok("compact".to_owned()));
        assert!(after(&[], append("purge")).is_err());
        assert_eq!(
            after(&[], append("")),
            Err("Configuration 'cleanup.policy' values must not be empty.".to_owned())
        );
    }

    #[test]
    fn only_lists_can_be_appended_to() {
        for (key, operation, word) in [
            ("retention.ms", append("1"), "APPEND"),
            ("retention.ms", subtract("1"), "SUBTRACT"),
            ("no.such.key", append("1"), "APPEND"),
        ] {
            let message = format!("Can't {word} to key {key} because its type is not LIST.");
            assert_eq!(change(&[], &[(key, operation)]), Err(message));
        }
    }

    #[test]
    fn the_configs_must_fit_each_other_after_the_change() {
        let current = [("max.compaction.lag.ms", "10")];
        assert!(change(&current, &[("min.compaction.lag.ms", set("11"))]).is_err());
        let operations = [("min.compaction.lag.ms", set("11")), ("max.compaction.lag.ms", set("11"))];
        assert!(change(&current, &operations).is_ok());
        assert_eq!(
            change(&[], &[("x", set("1"))]),
            Err("Unknown topic config name: x".to_owned())
        );
        assert!(change(&[], &[("x", Operation::Delete)]).is_ok(), "as in Kafka");
    }

    #[test]
    fn values_have_a_longest_length() {
        let list = |replicas: usize| append(&vec!["1:1"; replicas].join(","));
        let key = "leader.replication.throttled.replicas";
        let long = "0:1,".repeat(8_191) + "0:1";
        assert_eq!(long.len(), 32_767);
        assert!(change(&[], &[(key, set(&long))]).is_ok());
        let longer = format!("{long},");
        assert!(change(&[], &[(key, set(&longer))]).unwrap_err().contains("32767"));
        let stored = [(key, longer.as_str())];
        assert!(change(&stored, &[("retention.ms", set("1"))]).is_ok(), "it was there before");
        assert!(change(&[], &[(key, list(10_000))]).is_ok(), "each element once");
    }
}
