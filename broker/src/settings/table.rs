//! The one list of settings: names, types, ranges, units and words, and how each fills a [`Snapshot`]. The extension defines its GUCs
//! from it, and `docs/configuration.md` is generated from it.

use std::time::Duration;

use super::Settings;

/// The first part of every setting's name.
pub const PREFIX: &str = "pg_kafka";

/// What the number of an [`Kind::Integer`] counts. Values with another unit of the same kind (`128MB`, `10min`) are converted by Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Bytes.
    Bytes,
    /// Kilobytes of 1024 bytes.
    Kilobytes,
    /// Megabytes of 1024 kilobytes.
    Megabytes,
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// Minutes.
    Minutes,
}

/// The type of a setting, with its default and range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `on` or `off`.
    Boolean {
        /// Default.
        default: bool,
    },
    /// A number.
    Integer {
        /// Default, in `unit`.
        default: i32,
        /// Smallest value.
        min: i32,
        /// Largest value.
        max: i32,
        /// What it counts.
        unit: Unit,
    },
    /// A text.
    Text {
        /// Default.
        default: &'static str,
    },
}

/// When a change of a setting in `postgresql.conf` takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// At a start of Postgres (PGC_POSTMASTER).
    Start,
    /// At a reload (PGC_SIGHUP).
    Reload,
    /// At a reload, which closes all connections and listens anew (PGC_SIGHUP).
    ReloadAndListen,
}

/// A setting's value as Postgres holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Of a [`Kind::Boolean`].
    Boolean(bool),
    /// Of a [`Kind::Integer`], in its unit.
    Integer(i32),
    /// Of a [`Kind::Text`].
    Text(String),
}

impl Value {
    fn boolean(&self) -> bool {
        matches!(self, Value::Boolean(true))
    }

    fn integer(&self) -> i32 {
        match self {
            Value::Integer(value) => *value,
            _ => 0,
        }
    }

    fn size(&self) -> usize {
        usize::try_from(self.integer()).unwrap_or(0)
    }

    fn milliseconds(&self) -> Duration {
        Duration::from_millis(self.size() as u64)
    }

    fn port(&self) -> u16 {
        u16::try_from(self.integer()).unwrap_or(0)
    }

    fn text(&self) -> &str {
        match self {
            Value::Text(value) => value,
            _ => "",
        }
    }
}

/// All settings at one moment: those of the broker, and those that only the worker around it uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Whether the broker listens at all.
    pub enabled: bool,
    /// The database that holds the topics.
    pub database: String,
    /// What the broker is given.
    pub broker: Settings,
}

/// One setting.
pub struct Setting {
    /// Name without [`PREFIX`].
    pub name: &'static str,
    /// Type, default, range.
    pub kind: Kind,
    /// When a change takes effect.
    pub change: Change,
    /// One sentence, without its full stop: pg_settings.short_desc.
    pub summary: &'static str,
    /// More sentences for docs and pg_settings.extra_desc; may be empty.
    pub detail: &'static str,
    /// Puts a value into a snapshot.
    pub fill: fn(&mut Snapshot, &Value),
}

const MIB: i32 = 1024 * 1024;

/// All settings, in the order of the documentation.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "enabled",
        kind: Kind::Boolean { default: true },
        change: Change::Reload,
        summary: "Whether the broker listens",
        detail: "Turn it off while a dump is restored into the broker's database.",
        fill: |s, v| s.enabled = v.boolean(),
    },
    Setting {
        name: "database",
        kind: Kind::Text { default: "postgres" },
        change: Change::Start,
        summary: "Database that holds the topics",
        detail: "The broker listens while the extension pg_kafka exists in it.",
        fill: |s, v| s.database = v.text().to_owned(),
    },
    Setting {
        name: "listen_addresses",
        kind: Kind::Text { default: "localhost" },
        change: Change::ReloadAndListen,
        summary: "Host names or addresses to listen on, separated by commas",
        detail: "`*` is every address of the host; empty is none. Clients are not authenticated: whoever reaches the port reads and \
                 writes every topic, whatever pg_hba.conf says.",
        fill: |s, v| s.broker.listen_addresses = split_list(v.text()),
    },
    Setting {
        name: "port",
        kind: integer(9092, 1, 65535, Unit::Count),
        change: Change::ReloadAndListen,
        summary: "TCP port to listen on",
        detail: "",
        fill: |s, v| s.broker.port = v.port(),
    },
    Setting {
        name: "advertised_host",
        kind: Kind::Text { default: "" },
        change: Change::Reload,
        summary: "Host that clients are told to connect to",
        detail: "Kafka's advertised.listeners. Empty is the address by which the client reached the broker.",
        fill: |s, v| s.broker.advertised_host = Some(v.text().trim().to_owned()).filter(|host| !host.is_empty()),
    },
    Setting {
        name: "advertised_port",
        kind: integer(0, 0, 65535, Unit::Count),
        change: Change::Reload,
        summary: "Port that clients are told to connect to",
        detail: "0 is the port by which the client reached the broker.",
        fill: |s, v| s.broker.advertised_port = Some(v.port()).filter(|port| *port != 0),
    },
    Setting {
        name: "node_id",
        kind: integer(1, 0, i32::MAX, Unit::Count),
        change: Change::Start,
        summary: "Kafka node id of this broker",
        detail: "Kafka's node.id.",
        fill: |s, v| s.broker.node_id = v.integer(),
    },
    Setting {
        name: "network_threads",
        kind: integer(2, 1, 256, Unit::Count),
        change: Change::Start,
        summary: "Threads for sockets and requests",
        detail: "Beside them one thread does the database work.",
        fill: |s, v| s.broker.network_threads = v.size(),
    },
    Setting {
        name: "max_connections",
        kind: integer(1000, 1, 1_000_000, Unit::Count),
        change: Change::Reload,
        summary: "Connections in all",
        detail: "At this number the longest idle connection makes room for a new one, or the new one is closed. It is lowered to what the \
                 limit of open files (ulimit -n) leaves; the log says so at start.",
        fill: |s, v| s.broker.max_connections = v.size(),
    },
    Setting {
        name: "max_connections_per_address",
        kind: integer(1000, 1, 1_000_000, Unit::Count),
        change: Change::Reload,
        summary: "Connections of one client address",
        detail: "Kafka's max.connections.per.ip.",
        fill: |s, v| s.broker.max_connections_per_address = v.size(),
    },
    Setting {
        name: "connections_max_idle",
        kind: integer(600_000, 100, i32::MAX, Unit::Milliseconds),
        change: Change::Reload,
        summary: "Time after which a connection without a request, or a request without progress, is closed",
        detail: "Kafka's connections.max.idle.ms.",
        fill: |s, v| s.broker.connections_max_idle = v.milliseconds(),
    },
    Setting {
        name: "max_request_bytes",
        kind: integer(100 * MIB, 1024, i32::MAX, Unit::Bytes),
        change: Change::Reload,
        summary: "Largest request",
        detail: "Kafka's socket.request.max.bytes. A connection that announces a larger one is closed.",
        fill: |s, v| s.broker.max_request_bytes = v.size(),
    },
    Setting {
        name: "queued_max_request_bytes",
        kind: integer(256 * MIB, MIB, i32::MAX, Unit::Bytes),
        change: Change::Start,
        summary: "Received requests that are not finished, over all connections",
        detail: "Kafka's queued.max.request.bytes. Past it no socket is read. It is never taken as less than max_request_bytes.",
        fill: |s, v| s.broker.queued_max_request_bytes = v.size(),
    },
    Setting {
        name: "queued_max_response_bytes",
        kind: integer(256 * MIB, MIB, i32::MAX, Unit::Bytes),
        change: Change::Start,
        summary: "Replies that are not sent, over all connections",
        detail: "Past it no Fetch is computed.",
        fill: |s, v| s.broker.queued_max_response_bytes = v.size(),
    },
    Setting {
        name: "tail_cache_bytes",
        kind: integer(128 * MIB, 0, i32::MAX, Unit::Bytes),
        change: Change::Reload,
        summary: "Memory for recent batches, from which consumers that keep up are served",
        detail: "",
        fill: |s, v| s.broker.tail_cache_bytes = v.size(),
    },
    Setting {
        name: "fetch_sessions",
        kind: integer(1000, 0, 1_000_000, Unit::Count),
        change: Change::Reload,
        summary: "Fetch sessions of consumers",
        detail: "Kafka's max.incremental.fetch.session.cache.slots. A consumer without one names all its partitions in every request. All \
                 together take at most 64 MB, whatever is set here.",
        fill: |s, v| s.broker.fetch_sessions = v.size(),
    },
    Setting {
        name: "min_free_disk",
        kind: integer(1024, 0, i32::MAX, Unit::Megabytes),
        change: Change::Reload,
        summary: "Free disk space below which produce requests are refused",
        detail: "While something is written it is looked at, fifty times a second at most, on the file systems of the data directory, of \
                 pg_wal and of the database's tablespace. Below it, producing and making topics is answered with KAFKA_STORAGE_ERROR, everything else goes on; a little above it they are \
                 taken again. It keeps room for the write-ahead log, without which Postgres stops. 0 turns it off.",
        fill: |s, v| s.broker.min_free_disk = (v.size() as u64) << 20,
    },
    Setting {
        name: "log_retention_time",
        kind: integer(7 * 24 * 3600, -1, i32::MAX, Unit::Seconds),
        change: Change::Reload,
        summary: "Time for which records are kept, of topics that do not set retention.ms",
        detail: "Kafka's log.retention.ms. -1 is for ever. It counts for the largest timestamp of what is in a segment of a partition.",
        fill: |s, v| s.broker.topic_defaults.retention_ms = if v.integer() < 0 { -1 } else { i64::from(v.integer()) * 1000 },
    },
    Setting {
        name: "log_retention_bytes",
        kind: integer(-1, -1, i32::MAX, Unit::Kilobytes),
        change: Change::Reload,
        summary: "Bytes that are kept of each partition, of topics that do not set retention.bytes",
        detail: "Kafka's log.retention.bytes. -1 is no limit.",
        fill: |s, v| s.broker.topic_defaults.retention_bytes = if v.integer() < 0 { -1 } else { i64::from(v.integer()) * 1024 },
    },
    Setting {
        name: "log_segment_bytes",
        kind: integer(1024 * MIB, MIB, i32::MAX, Unit::Bytes),
        change: Change::Reload,
        summary: "Size of a segment at which the next one is begun, of topics that do not set segment.bytes",
        detail: "Kafka's log.segment.bytes. A segment holds all partitions of its topic.",
        fill: |s, v| s.broker.topic_defaults.segment_bytes = v.integer(),
    },
    Setting {
        name: "log_roll_time",
        kind: integer(7 * 24 * 3600, 1, i32::MAX, Unit::Seconds),
        change: Change::Reload,
        summary: "Age of a segment at which the next one is begun, of topics that do not set segment.ms",
        detail: "Kafka's log.roll.ms.",
        fill: |s, v| s.broker.topic_defaults.segment_ms = i64::from(v.integer()) * 1000,
    },
    Setting {
        name: "log_retention_check_interval",
        kind: integer(300_000, 1, i32::MAX, Unit::Milliseconds),
        change: Change::Reload,
        summary: "Time between two looks at what retention deletes",
        detail: "Kafka's log.retention.check.interval.ms.",
        fill: |s, v| s.broker.log_retention_check_interval = v.milliseconds(),
    },
    Setting {
        name: "auto_create_topics",
        kind: Kind::Boolean { default: true },
        change: Change::Reload,
        summary: "Whether asking for a topic that does not exist makes it",
        detail: "Kafka's auto.create.topics.enable.",
        fill: |s, v| s.broker.auto_create_topics = v.boolean(),
    },
    Setting {
        name: "default_partitions",
        kind: integer(1, 1, 10_000, Unit::Count),
        change: Change::Reload,
        summary: "Partitions of a topic that is made without a number",
        detail: "Kafka's num.partitions.",
        fill: |s, v| s.broker.default_partitions = v.integer(),
    },
    Setting {
        name: "acks1_async",
        kind: Kind::Boolean { default: false },
        change: Change::Reload,
        summary: "Whether a produce with acks=1 is answered before it is flushed to disk",
        detail: "A crash can then lose what was answered, as in Kafka. Consumers never see what is not flushed.",
        fill: |s, v| s.broker.acks1_async = v.boolean(),
    },
    Setting {
        name: "producer_id_expiration",
        kind: integer(24 * 3600 * 1000, 1, i32::MAX, Unit::Milliseconds),
        change: Change::Reload,
        summary: "Time after which a producer id that writes nothing is forgotten",
        detail: "Kafka's producer.id.expiration.ms. What an idempotent producer sends again after that time is taken as new.",
        fill: |s, v| s.broker.producer_id_expiration = v.milliseconds(),
    },
    Setting {
        name: "group_initial_rebalance_delay",
        kind: integer(3000, 0, i32::MAX, Unit::Milliseconds),
        change: Change::Reload,
        summary: "Time that the first rebalance of an empty consumer group waits for more members",
        detail: "Kafka's group.initial.rebalance.delay.ms. Each member that joins meanwhile extends it, at most to the members' rebalance \
                 timeout.",
        fill: |s, v| s.broker.group_initial_rebalance_delay = v.milliseconds(),
    },
    Setting {
        name: "group_min_session_timeout",
        kind: integer(6000, 1, i32::MAX, Unit::Milliseconds),
        change: Change::Reload,
        summary: "Shortest session timeout of a member of a consumer group",
        detail: "Kafka's group.min.session.timeout.ms.",
        fill: |s, v| s.broker.group_min_session_timeout = v.milliseconds(),
    },
    Setting {
        name: "group_max_session_timeout",
        kind: integer(1_800_000, 1, i32::MAX, Unit::Milliseconds),
        change: Change::Reload,
        summary: "Longest session timeout of a member of a consumer group",
        detail: "Kafka's group.max.session.timeout.ms.",
        fill: |s, v| s.broker.group_max_session_timeout = v.milliseconds(),
    },
    Setting {
        name: "group_max_size",
        kind: integer(i32::MAX, 1, i32::MAX, Unit::Count),
        change: Change::Reload,
        summary: "Members of a consumer group",
        detail: "Kafka's group.max.size. Further members get GROUP_MAX_SIZE_REACHED.",
        fill: |s, v| s.broker.group_max_size = v.size(),
    },
    Setting {
        name: "consumer_group_session_timeout",
        kind: integer(45_000, 1, i32::MAX, Unit::Milliseconds),
        change: Change::Reload,
        summary: "Time after which a silent member of a consumer group of the new protocol is fenced",
        detail: "Kafka's group.consumer.session.timeout.ms (KIP-848).",
        fill: |s, v| s.broker.consumer_group_session_timeout = v.milliseconds(),
    },
    Setting {
        name: "consumer_group_heartbeat_interval",
        kind: integer(5000, 1, i32::MAX, Unit::Milliseconds),
        change: Change::Reload,
        summary: "Time between two heartbeats of a member of a consumer group of the new protocol",
        detail: "Kafka's group.consumer.heartbeat.interval.ms (KIP-848). It should be a small part of the session timeout.",
        fill: |s, v| s.broker.consumer_group_heartbeat_interval = v.milliseconds(),
    },
    Setting {
        name: "offsets_retention",
        kind: integer(10_080, 1, i32::MAX, Unit::Minutes),
        change: Change::Reload,
        summary: "Time for which committed offsets are kept after their consumer group became empty",
        detail: "Kafka's offsets.retention.minutes. Offsets of a group without members are kept for this long after they were committed.",
        fill: |s, v| s.broker.offsets_retention = Duration::from_secs(60 * v.size() as u64),
    },
    Setting {
        name: "log_connections",
        kind: Kind::Boolean { default: false },
        change: Change::Reload,
        summary: "Whether the start and the end of each connection is logged",
        detail: "",
        fill: |s, v| s.broker.log_connections = v.boolean(),
    },
];

const fn integer(default: i32, min: i32, max: i32, unit: Unit) -> Kind {
    Kind::Integer { default, min, max, unit }
}

fn split_list(list: &str) -> Vec<String> {
    let items = list.split(',').map(|item| item.trim().to_owned());
    items.filter(|item| !item.is_empty()).collect()
}

impl Setting {
    /// The default as a value.
    pub fn default_value(&self) -> Value {
        match self.kind {
            Kind::Boolean { default } => Value::Boolean(default),
            Kind::Integer { default, .. } => Value::Integer(default),
            Kind::Text { default } => Value::Text(default.to_owned()),
        }
    }
}

impl Snapshot {
    /// Reads every setting once, with `read`.
    pub fn take(mut read: impl FnMut(&Setting) -> Value) -> Snapshot {
        let mut snapshot = Snapshot {
            enabled: true,
            database: String::new(),
            broker: Settings::default(),
        };
        for setting in SETTINGS {
            (setting.fill)(&mut snapshot, &read(setting));
        }
        let broker = &mut snapshot.broker;
        broker.queued_max_request_bytes = broker.queued_max_request_bytes.max(broker.max_request_bytes);
        snapshot
    }

    /// Whether going from `self` to `new` needs the listener to be made anew.
    pub fn needs_new_listener(&self, new: &Snapshot) -> bool {
        self.broker.listen_addresses != new.broker.listen_addresses || self.broker.port != new.broker.port
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The defaults of the table and of [`Settings`] are the same.
    #[test]
    fn defaults_are_one() {
        let snapshot = Snapshot::take(Setting::default_value);
        assert_eq!(snapshot.broker, Settings::default());
        assert!(snapshot.enabled);
        assert_eq!(snapshot.database, "postgres");
    }

    /// Each setting's value arrives in the snapshot: one that differs from the default changes it.
    #[test]
    fn every_setting_fills_something() {
        let defaults = Snapshot::take(Setting::default_value);
        for setting in SETTINGS {
            let changed = Snapshot::take(|other| {
                if other.name != setting.name {
                    return other.default_value();
                }
                match setting.kind {
                    Kind::Boolean { default } => Value::Boolean(!default),
                    Kind::Integer { default, min, max, .. } => Value::Integer(if default < max { default + 1 } else { min }),
                    Kind::Text { .. } => Value::Text("other".to_owned()),
                }
            });
            assert_ne!(changed, defaults, "{} fills nothing", setting.name);
        }
    }

    /// Defaults are in range, names are unique and plain.
    #[test]
    fn entries_are_consistent() {
        for (index, setting) in SETTINGS.iter().enumerate() {
            if let Kind::Integer { default, min, max, .. } = setting.kind {
                assert!(min <= default && default <= max, "{}", setting.name);
            }
            assert!(setting
                .name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
            assert!(SETTINGS[..index].iter().all(|other| other.name != setting.name));
            assert!(!setting.summary.ends_with('.'));
        }
    }

    /// Lists of addresses are split as those of Postgres.
    #[test]
    fn addresses_are_split() {
        assert_eq!(split_list(" localhost, ::1 ,"), ["localhost", "::1"]);
        assert!(split_list("").is_empty());
    }

    /// Only addresses and port need a new listener.
    #[test]
    fn listener_settings() {
        let before = Snapshot::take(Setting::default_value);
        let mut after = before.clone();
        after.broker.log_connections = true;
        assert!(!before.needs_new_listener(&after));
        after.broker.port += 1;
        assert!(before.needs_new_listener(&after));
    }
}
