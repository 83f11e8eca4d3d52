//! The table of topic configs: every key of Kafka 4.3.1 (`LogConfig`) with its type, default, rule and documentation. What the
//! broker does with a value is [`super::configs::TopicConfigs`]'s; keys without an effect here are accepted, kept and described.

use super::config_values::{Kind, Rule};

/// A key of topic configs.
#[derive(Debug)]
pub struct ConfigKey {
    /// Its name.
    pub name: &'static str,
    /// The type of its values.
    pub kind: Kind,
    /// The value where none is set, as DescribeConfigs shows it; `None`: null.
    pub default: Option<&'static str>,
    /// What a value of the type must satisfy.
    pub rule: Rule,
    /// The broker's config that sets the default (Kafka `ServerTopicConfigSynonyms`), where Kafka's own default stands under that name:
    /// what DescribeConfigs gives as the synonym.
    pub broker_key: Option<&'static str>,
    /// Not shown unless it is set.
    pub internal: bool,
    /// What it is for, and what of it has an effect here.
    pub documentation: &'static str,
}

/// The key of this name; `None`: INVALID_CONFIG (40).
pub fn config_key(name: &str) -> Option<&'static ConfigKey> {
    CONFIG_KEYS.iter().find(|key| key.name == name)
}

const CODECS: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];

const fn key(name: &'static str, kind: Kind, default: &'static str, rule: Rule) -> ConfigKey {
    ConfigKey {
        name,
        kind,
        default: Some(default),
        rule,
        broker_key: None,
        internal: false,
        documentation: "",
    }
}

impl ConfigKey {
    const fn broker(mut self, broker_key: &'static str) -> Self {
        self.broker_key = Some(broker_key);
        self
    }

    const fn doc(mut self, documentation: &'static str) -> Self {
        self.documentation = documentation;
        self
    }

    const fn internal(mut self) -> Self {
        self.internal = true;
        self.default = None;
        self
    }
}

const LONG_MAX: &str = "9223372036854775807";

/// All keys, by name.
pub static CONFIG_KEYS: &[ConfigKey] = &[
    key("cleanup.policy", Kind::List, "delete", Rule::ListOf(&["compact", "delete"]))
        .broker("log.cleanup.policy")
        .doc("What happens to old records: delete drops segments past the retention limits, compact keeps the last record of each key. Both may be given."),
    key("compression.gzip.level", Kind::Int, "-1", Rule::GzipLevel)
        .broker("compression.gzip.level")
        .doc("Level to compress with if compression.type is gzip."),
    key("compression.lz4.level", Kind::Int, "9", Rule::Between(1, 17))
        .broker("compression.lz4.level")
        .doc("Level to compress with if compression.type is lz4."),
    key("compression.type", Kind::String, "producer", Rule::OneOf(CODECS))
        .broker("compression.type")
        .doc("Codec of the stored batches. producer keeps the one that the producer chose."),
    key("compression.zstd.level", Kind::Int, "3", Rule::Between(-131_072, 22))
        .broker("compression.zstd.level")
        .doc("Level to compress with if compression.type is zstd."),
    key("delete.retention.ms", Kind::Long, "86400000", Rule::AtLeast(0))
        .broker("log.cleaner.delete.retention.ms")
        .doc("How long a compacted topic keeps the markers of deleted keys, for consumers that read from the start."),
    key("file.delete.delay.ms", Kind::Long, "60000", Rule::AtLeast(0))
        .broker("log.segment.delete.delay.ms")
        .doc("How long Kafka keeps a file that it removed from the log. No effect: a segment is a table, dropped at once."),
    key("flush.messages", Kind::Long, LONG_MAX, Rule::AtLeast(1))
        .broker("log.flush.interval.messages")
        .doc("After how many records Kafka forces a flush. No effect: every acknowledged record is flushed."),
    key("flush.ms", Kind::Long, LONG_MAX, Rule::AtLeast(0))
        .doc("After what time Kafka forces a flush. No effect: every acknowledged record is flushed."),
    key("follower.replication.throttled.replicas", Kind::List, "", Rule::ThrottledReplicas)
        .doc("Replicas whose replication is throttled on the follower's side. No effect: the database replicates."),
    key("index.interval.bytes", Kind::Int, "4096", Rule::AtLeast(0))
        .broker("log.index.interval.bytes")
        .doc("Bytes of log between two entries of Kafka's offset index. No effect: each batch is in the index of its table."),
    key("internal.segment.bytes", Kind::Int, "", Rule::Any)
        .internal()
        .doc("Size of a segment in bytes without the lower limit of segment.bytes. For tests."),
    key("leader.replication.throttled.replicas", Kind::List, "", Rule::ThrottledReplicas)
        .doc("Replicas whose replication is throttled on the leader's side. No effect: the database replicates."),
    key("local.retention.bytes", Kind::Long, "-2", Rule::AtLeast(-2))
        .broker("log.local.retention.bytes")
        .doc("Bytes of a partition that Kafka keeps on local disks with tiered storage. No effect: there is no tiered storage."),
    key("local.retention.ms", Kind::Long, "-2", Rule::AtLeast(-2))
        .broker("log.local.retention.ms")
        .doc("Time for which Kafka keeps records on local disks with tiered storage. No effect: there is no tiered storage."),
    key("max.compaction.lag.ms", Kind::Long, LONG_MAX, Rule::AtLeast(1))
        .broker("log.cleaner.max.compaction.lag.ms")
        .doc("Longest time for which a record of a compacted topic may stay out of compaction."),
    key("max.message.bytes", Kind::Int, "1048588", Rule::AtLeast(0))
        .broker("message.max.bytes")
        .doc("Largest batch, in bytes as it is sent: after compression, with its 12 leading bytes."),
    key("message.timestamp.after.max.ms", Kind::Long, "3600000", Rule::AtLeast(0))
        .broker("log.message.timestamp.after.max.ms")
        .doc("How far a record's timestamp may be ahead of the broker's clock, with message.timestamp.type=CreateTime."),
    key("message.timestamp.before.max.ms", Kind::Long, LONG_MAX, Rule::AtLeast(0))
        .broker("log.message.timestamp.before.max.ms")
        .doc("How far a record's timestamp may be behind the broker's clock, with message.timestamp.type=CreateTime."),
    key("message.timestamp.type", Kind::String, "CreateTime", Rule::OneOf(&["CreateTime", "LogAppendTime"]))
        .broker("log.message.timestamp.type")
        .doc("Whose time a record bears: CreateTime is the producer's, LogAppendTime the broker's when it was appended."),
    key("min.cleanable.dirty.ratio", Kind::Double, "0.5", Rule::Fraction)
        .broker("log.cleaner.min.cleanable.ratio")
        .doc("Share of a compacted log that must be uncompacted before it is compacted again."),
    key("min.compaction.lag.ms", Kind::Long, "0", Rule::AtLeast(0))
        .broker("log.cleaner.min.compaction.lag.ms")
        .doc("Shortest time for which a record of a compacted topic stays uncompacted."),
    key("min.insync.replicas", Kind::Int, "1", Rule::AtLeast(1))
        .broker("min.insync.replicas")
        .doc("Replicas that must have a record before acks=all is answered. No effect: synchronous standbys of the database decide."),
    key("preallocate", Kind::Boolean, "false", Rule::Any)
        .broker("log.preallocate")
        .doc("Whether Kafka makes segment files in full size. No effect: tables grow."),
    key("remote.log.copy.disable", Kind::Boolean, "false", Rule::Any)
        .doc("Whether tiered data becomes read only. No effect: there is no tiered storage."),
    key("remote.log.delete.on.disable", Kind::Boolean, "false", Rule::Any)
        .doc("Whether tiered data is deleted when tiered storage is switched off. No effect: there is no tiered storage."),
    key("remote.storage.enable", Kind::Boolean, "false", Rule::Any)
        .doc("Tiered storage. Only false is accepted."),
    key("retention.bytes", Kind::Long, "-1", Rule::Any)
        .broker("log.retention.bytes")
        .doc("Size of a partition above which its oldest segments are deleted; -1 for no limit."),
    key("retention.ms", Kind::Long, "604800000", Rule::AtLeast(-1))
        .doc("Age above which records are deleted; -1 for no limit."),
    key("segment.bytes", Kind::Int, "1073741824", Rule::AtLeast(1_048_576))
        .broker("log.segment.bytes")
        .doc("Size at which the next segment is begun. A segment holds all partitions of the topic; the size is that of its table."),
    key("segment.index.bytes", Kind::Int, "10485760", Rule::AtLeast(4))
        .broker("log.index.size.max.bytes")
        .doc("Size of Kafka's offset index files. No effect: the index is a btree."),
    key("segment.jitter.ms", Kind::Long, "0", Rule::AtLeast(0))
        .doc("Random part by which segment.ms is shortened."),
    key("segment.ms", Kind::Long, "604800000", Rule::AtLeast(1))
        .doc("Age at which the next segment is begun although the last is not full."),
    key("unclean.leader.election.enable", Kind::Boolean, "false", Rule::Any)
        .broker("unclean.leader.election.enable")
        .doc("Whether a replica that lacks records may lead. No effect: there is one copy of the log, the database's."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_documented_and_their_defaults_valid() {
        assert!(CONFIG_KEYS.windows(2).all(|pair| pair[0].name < pair[1].name));
        for key in CONFIG_KEYS {
            assert!(!key.documentation.is_empty(), "{}", key.name);
            match key.default {
                Some(default) => {
                    let value = key.parse(default).unwrap_or_else(|error| panic!("{error}"));
                    assert_eq!(value.to_string(), default);
                }
                None => assert!(key.internal),
            }
        }
        assert_eq!(CONFIG_KEYS.len(), 34);
    }
}
