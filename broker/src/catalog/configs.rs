//! Topic configs: what was set for a topic, checked, and the values that the broker acts on.

use std::collections::BTreeMap;

use super::config_keys::{config_key, ConfigKey, CONFIG_KEYS};
use super::config_values::{ConfigError, Value};
pub use crate::wire::batch::TimestampType;

/// `compression.type` with the level that belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicCompression {
    /// As the producer sent it.
    Producer,
    /// `uncompressed`.
    None,
    /// At this level, -1 for the library's own.
    Gzip(i32),
    /// Has no levels.
    Snappy,
    /// At this level of the reference implementation.
    Lz4(i32),
    /// At this level.
    Zstd(i32),
}

/// What counts for topics that do not set it, of the keys for which the broker's settings say so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDefaults {
    /// `retention.ms`, Kafka's `log.retention.ms`; negative: no limit.
    pub retention_ms: i64,
    /// `retention.bytes`, Kafka's `log.retention.bytes`; negative: no limit.
    pub retention_bytes: i64,
    /// `segment.bytes`, Kafka's `log.segment.bytes`.
    pub segment_bytes: i32,
    /// `segment.ms`, Kafka's `log.roll.ms`.
    pub segment_ms: i64,
}

impl Default for TopicDefaults {
    /// Kafka's own.
    fn default() -> Self {
        const WEEK_MS: i64 = 7 * 24 * 3600 * 1000;
        TopicDefaults {
            retention_ms: WEEK_MS,
            retention_bytes: -1,
            segment_bytes: 1 << 30,
            segment_ms: WEEK_MS,
        }
    }
}

impl TopicDefaults {
    /// The value for a key, and the broker's config that sets it; `None` where no setting has a part in it, or where it is Kafka's own.
    pub fn set(&self, key: &str) -> Option<(&'static str, String)> {
        let kafkas = TopicDefaults::default();
        let (name, value, default) = match key {
            "retention.ms" => ("log.retention.ms", self.retention_ms, kafkas.retention_ms),
            "retention.bytes" => ("log.retention.bytes", self.retention_bytes, kafkas.retention_bytes),
            "segment.bytes" => ("log.segment.bytes", self.segment_bytes.into(), kafkas.segment_bytes.into()),
            "segment.ms" => ("log.roll.ms", self.segment_ms, kafkas.segment_ms),
            _ => return None,
        };
        (value != default).then(|| (name, value.to_string()))
    }
}

/// A topic's configs: what was set, and the values that produce, fetch and the segments use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicConfigs {
    /// What was set for this topic, as it was written.
    pub overrides: BTreeMap<String, String>,
    /// `max.message.bytes`: largest batch as it is sent, with its 12 leading bytes; larger: MESSAGE_TOO_LARGE (10).
    pub max_message_bytes: usize,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: i64,
    /// `compression.type`.
    pub compression: TopicCompression,
    /// `cleanup.policy` names compact: records must have keys.
    pub compact: bool,
    /// `cleanup.policy` names delete: retention applies and DeleteRecords is allowed.
    pub delete: bool,
    /// `retention.ms`; `None`: no limit.
    pub retention_ms: Option<i64>,
    /// `retention.bytes`, of each partition; `None`: no limit.
    pub retention_bytes: Option<u64>,
    /// `segment.ms`: age at which the next segment is begun.
    pub segment_ms: i64,
    /// `segment.jitter.ms`: by how much sooner, at most.
    pub segment_jitter_ms: i64,
    segment_bytes: u64,
    defaults: TopicDefaults,
}

impl Default for TopicConfigs {
    fn default() -> Self {
        Self::from_overrides(BTreeMap::new())
    }
}

impl TopicConfigs {
    /// Takes over stored overrides, with Kafka's defaults.
    pub fn from_overrides(overrides: BTreeMap<String, String>) -> Self {
        Self::new(overrides, &TopicDefaults::default())
    }

    /// Takes over stored overrides. Unknown keys and values that do not parse keep their default.
    pub fn new(overrides: BTreeMap<String, String>, defaults: &TopicDefaults) -> Self {
        let values = Effective {
            overrides: &overrides,
            defaults,
        };
        let compression = match values.string("compression.type").as_str() {
            "uncompressed" => TopicCompression::None,
            "gzip" => TopicCompression::Gzip(values.int("compression.gzip.level")),
            "snappy" => TopicCompression::Snappy,
            "lz4" => TopicCompression::Lz4(values.int("compression.lz4.level")),
            "zstd" => TopicCompression::Zstd(values.int("compression.zstd.level")),
            _ => TopicCompression::Producer,
        };
        let timestamp_type = match values.string("message.timestamp.type").as_str() {
            "LogAppendTime" => TimestampType::LogAppendTime,
            _ => TimestampType::CreateTime,
        };
        let policies = values.string("cleanup.policy");
        let names = |policy: &str| policies.split(',').any(|name| name == policy);
        let segment_bytes = match values.value("internal.segment.bytes") {
            Some(Value::Int(bytes)) => bytes,
            _ => values.int("segment.bytes"),
        };
        TopicConfigs {
            max_message_bytes: usize::try_from(values.int("max.message.bytes")).unwrap_or_default(),
            timestamp_type,
            timestamp_before_max_ms: values.long("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: values.long("message.timestamp.after.max.ms"),
            compression,
            compact: names("compact"),
            delete: names("delete"),
            retention_ms: Some(values.long("retention.ms")).filter(|ms| *ms >= 0),
            retention_bytes: u64::try_from(values.long("retention.bytes")).ok(),
            segment_ms: values.long("segment.ms"),
            segment_jitter_ms: values.long("segment.jitter.ms"),
            segment_bytes: u64::try_from(segment_bytes).unwrap_or_default(),
            defaults: defaults.clone(),
            overrides,
        }
    }

    /// What counts for this topic where it sets nothing.
    pub fn defaults(&self) -> &TopicDefaults {
        &self.defaults
    }

    /// `segment.bytes`, or `internal.segment.bytes` where it is set: size of a segment's table at which the next one is begun.
    pub fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// Whether `key` was set for this topic, and its effective value as text; `None` where it is null.
    pub fn describe(&self, key: &'static ConfigKey) -> (bool, Option<String>) {
        let values = Effective {
            overrides: &self.overrides,
            defaults: &self.defaults,
        };
        let value = values.value(key.name).map(|value| value.to_string());
        (self.overrides.contains_key(key.name), value)
    }

    /// The keys that are described: all but the internal ones that were not set.
    pub fn described_keys(&self) -> impl Iterator<Item = &'static ConfigKey> + '_ {
        CONFIG_KEYS
            .iter()
            .filter(|key| !key.internal || self.overrides.contains_key(key.name))
    }
}

struct Effective<'a> {
    overrides: &'a BTreeMap<String, String>,
    defaults: &'a TopicDefaults,
}

impl Effective<'_> {
    fn value(&self, name: &str) -> Option<Value> {
        let key = config_key(name)?;
        let set = self.overrides.get(name).and_then(|text| key.parse(text).ok());
        let default = || match self.defaults.set(name) {
            Some((_, value)) => key.parse(&value).ok(),
            None => key.parse(key.default?).ok(),
        };
        set.or_else(default)
    }

    fn int(&self, name: &str) -> i32 {
        match self.value(name) {
            Some(Value::Int(value)) => value,
            _ => 0,
        }
    }

    fn long(&self, name: &str) -> i64 {
        match self.value(name) {
            Some(Value::Long(value)) => value,
            _ => 0,
        }
    }

    fn string(&self, name: &str) -> String {
        self.value(name).map(|value| value.to_string()).unwrap_or_default()
    }
}

/// Whether `overrides` may be set for a topic (Kafka `LogConfig.validate`).
///
/// # Errors
/// [`ConfigError`], which is INVALID_CONFIG (40).
pub fn check_overrides(overrides: &BTreeMap<String, String>) -> Result<(), ConfigError> {
    if let Some(name) = overrides.keys().find(|name| config_key(name).is_none()) {
        return Err(ConfigError::UnknownKey(name.clone()));
    }
    for (name, text) in overrides {
        if let Some(key) = config_key(name) {
            key.parse(text)?;
        }
    }
    let defaults = TopicDefaults::default();
    let values = Effective {
        overrides,
        defaults: &defaults,
    };
    let (min, max) = (values.long("min.compaction.lag.ms"), values.long("max.compaction.lag.ms"));
    if min > max {
        return Err(ConfigError::CompactionLag { min, max });
    }
    if values.value("remote.storage.enable") == Some(Value::Boolean(true)) {
        return Err(ConfigError::TieredStorage);
    }
    Ok(())
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

    #[test]
    fn defaults_are_those_of_kafka() {
        let configs = TopicConfigs::default();
        assert_eq!(configs.max_message_bytes, 1_048_588);
        assert_eq!(configs.timestamp_type, TimestampType::CreateTime);
        assert_eq!(configs.timestamp_before_max_ms, i64::MAX);
        assert_eq!(configs.timestamp_after_max_ms, 3_600_000);
        assert_eq!(configs.compression, TopicCompression::Producer);
        assert!(configs.delete && !configs.compact);
        assert_eq!(configs.retention_ms, Some(604_800_000));
        assert_eq!(configs.retention_bytes, None);
        assert_eq!(configs.segment_bytes(), 1 << 30);
    }

    #[test]
    fn overrides_take_effect() {
        let configs = TopicConfigs::from_overrides(overrides(&[
            ("max.message.bytes", "100"),
            ("message.timestamp.type", "LogAppendTime"),
            ("compression.type", "zstd"),
            ("compression.zstd.level", "7"),
            ("cleanup.policy", "compact"),
            ("retention.ms", "-1"),
            ("retention.bytes", "10"),
            ("segment.bytes", "2000000"),
        ]));
        assert_eq!(configs.max_message_bytes, 100);
        assert_eq!(configs.timestamp_type, TimestampType::LogAppendTime);
        assert_eq!(configs.compression, TopicCompression::Zstd(7));
        assert!(!configs.delete && configs.compact);
        assert_eq!(configs.retention_ms, None);
        assert_eq!(configs.retention_bytes, Some(10));
        assert_eq!(configs.segment_bytes(), 2_000_000);
        let small = TopicConfigs::from_overrides(overrides(&[("internal.segment.bytes", "100000")]));
        assert_eq!(small.segment_bytes(), 100_000);
    }

    #[test]
    fn stored_overrides_that_make_no_sense_keep_the_default() {
        let configs = TopicConfigs::from_overrides(overrides(&[("segment.bytes", "x"), ("no.such.key", "1")]));
        assert_eq!(configs.segment_bytes(), 1 << 30);
    }

    #[test]
    fn refusals_say_what_kafka_says() {
        let message = |pairs: &[(&str, &str)]| check_overrides(&overrides(pairs)).map_err(|error| error.to_string());
        assert_eq!(message(&[("retention.ms", "1"), ("cleanup.policy", "compact")]), Ok(()));
        assert_eq!(message(&[("a", "1")]), Err("Unknown topic config name: a".to_owned()));
        assert_eq!(
            message(&[("min.compaction.lag.ms", "2"), ("max.compaction.lag.ms", "1")]),
            Err("conflict topic config setting min.compaction.lag.ms (2) > max.compaction.lag.ms (1)".to_owned())
        );
        assert!(message(&[("remote.storage.enable", "true")]).is_err());
    }
}
