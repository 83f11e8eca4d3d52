//! The configs of this broker as DescribeConfigs shows them: Kafka's keys that mean something here, then the settings by their own
//! names. Nothing of it can be changed through the protocol; settings are changed in Postgres.

use crate::catalog::config_keys::CONFIG_KEYS;
use crate::catalog::config_values::Kind;
use crate::catalog::configs::TopicDefaults;
use crate::limits;
use crate::settings::Settings;

/// One config of the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerConfig {
    /// Its name.
    pub name: &'static str,
    /// The type of its value.
    pub kind: Kind,
    /// The value, `None` for null.
    pub value: Option<String>,
    /// The value where nothing is set.
    pub default: Option<String>,
    /// What it is for.
    pub documentation: &'static str,
}

/// All configs of a broker with these settings.
pub fn broker_configs(settings: &Settings) -> Vec<BrokerConfig> {
    let set = Values::of(settings).0;
    let defaults = Values::of(&Settings::default()).0;
    let mut configs: Vec<_> = set
        .into_iter()
        .zip(defaults)
        .map(|((name, kind, value, documentation), (_, _, default, _))| BrokerConfig {
            name,
            kind,
            value,
            default,
            documentation,
        })
        .collect();
    configs.extend(constants());
    configs.extend(CONFIG_KEYS.iter().filter_map(|key| {
        Some(BrokerConfig {
            name: key.broker_key?,
            kind: key.kind,
            value: settings
                .topic_defaults
                .set(key.name)
                .map(|(_, value)| value)
                .or(key.default.map(str::to_owned)),
            default: key.default.map(str::to_owned),
            documentation: key.documentation,
        })
    }));
    configs.sort_by_key(|config| config.name);
    configs
}

/// What clients look for and what never changes here. The defaults of topics under those names of Kafka that are no synonyms of
/// a topic's key are here as well.
fn constants() -> impl Iterator<Item = BrokerConfig> {
    let fetch_max_bytes = limits::FETCH_RESPONSE_BYTES.to_string();
    [
        ("broker.rack", Kind::String, None, "Always null: there is one node."),
        (
            "default.replication.factor",
            Kind::Int,
            Some("1"),
            "Replicas of a topic: there is one node.",
        ),
        (
            "delete.topic.enable",
            Kind::Boolean,
            Some("true"),
            "Whether topics can be deleted.",
        ),
        (
            "log.flush.interval.ms",
            Kind::Long,
            None,
            "No effect: every acknowledged record is flushed.",
        ),
        (
            "log.retention.hours",
            Kind::Int,
            Some("168"),
            "Default of retention.ms, in hours.",
        ),
        (
            "log.retention.minutes",
            Kind::Int,
            None,
            "Default of retention.ms, in minutes.",
        ),
        ("log.roll.hours", Kind::Int, Some("168"), "Default of segment.ms, in hours."),
        (
            "log.roll.jitter.hours",
            Kind::Int,
            Some("0"),
            "Default of segment.jitter.ms, in hours.",
        ),
        ("log.roll.jitter.ms", Kind::Long, None, "Default of segment.jitter.ms."),
    ]
    .into_iter()
    .map(|(name, kind, value, documentation)| (name, kind, value.map(str::to_owned), documentation))
    .chain([(
        "fetch.max.bytes",
        Kind::Int,
        Some(fetch_max_bytes),
        "Most bytes of one Fetch response; a larger request is read as this.",
    )])
    .map(|(name, kind, value, documentation)| BrokerConfig {
        name,
        kind,
        value: value.clone(),
        default: value,
        documentation,
    })
}

type Row = (&'static str, Kind, Option<String>, &'static str);

struct Values(Vec<Row>);

impl Values {
    /// Taken apart field by field, so that a new setting cannot be forgotten here.
    fn of(settings: &Settings) -> Self {
        let Settings {
            listen_addresses,
            port,
            advertised_host,
            advertised_port,
            node_id,
            network_threads,
            max_connections,
            max_connections_per_address,
            connections_max_idle,
            max_request_bytes,
            queued_max_request_bytes,
            queued_max_response_bytes,
            tail_cache_bytes,
            fetch_sessions,
            min_free_disk,
            topic_defaults,
            log_retention_check_interval,
            auto_create_topics,
            default_partitions,
            acks1_async,
            producer_id_expiration,
            group_initial_rebalance_delay,
            group_min_session_timeout,
            group_max_session_timeout,
            group_max_size,
            consumer_group_session_timeout,
            consumer_group_heartbeat_interval,
            offsets_retention,
            log_connections,
        } = settings;
        let listeners: Vec<_> = listen_addresses.iter().map(|host| listener(host, *port)).collect();
        let advertised = advertised_host
            .as_ref()
            .map(|host| listener(host, advertised_port.unwrap_or(*port)));
        let mut values = Values(Vec::new());
        values.add("listeners", Kind::List, listeners.join(","), "Where the broker listens.");
        values.add_nullable(
            "advertised.listeners",
            Kind::List,
            advertised,
            "What Metadata tells clients to connect to; null for the address that the client reached.",
        );
        for name in ["broker.id", "node.id", "pg_kafka.node_id"] {
            values.add(name, Kind::Int, node_id, "Kafka node id of this broker.");
        }
        for name in ["num.network.threads", "pg_kafka.network_threads"] {
            values.add(name, Kind::Int, network_threads, "Threads of the network runtime.");
        }
        for name in ["max.connections", "pg_kafka.max_connections"] {
            values.add(name, Kind::Int, max_connections, "Connections in all.");
        }
        for name in ["max.connections.per.ip", "pg_kafka.max_connections_per_address"] {
            values.add(
                name,
                Kind::Int,
                max_connections_per_address,
                "Connections of one client address.",
            );
        }
        for name in ["connections.max.idle.ms", "pg_kafka.connections_max_idle"] {
            let idle_ms = connections_max_idle.as_millis();
            values.add(
                name,
                Kind::Long,
                idle_ms,
                "After how many milliseconds an idle connection is closed.",
            );
        }
        for name in ["socket.request.max.bytes", "pg_kafka.max_request_bytes"] {
            values.add(name, Kind::Int, max_request_bytes, "Largest request in bytes.");
        }
        for name in ["queued.max.request.bytes", "pg_kafka.queued_max_request_bytes"] {
            values.add(
                name,
                Kind::Long,
                queued_max_request_bytes,
                "Bytes of received requests that are not finished.",
            );
        }
        for name in ["auto.create.topics.enable", "pg_kafka.auto_create_topics"] {
            values.add(
                name,
                Kind::Boolean,
                auto_create_topics,
                "Whether asking for an unknown topic makes it.",
            );
        }
        for name in ["num.partitions", "pg_kafka.default_partitions"] {
            values.add(
                name,
                Kind::Int,
                default_partitions,
                "Partitions of a topic that is made without a number.",
            );
        }
        let addresses = listen_addresses.join(",");
        values.add(
            "pg_kafka.listen_addresses",
            Kind::String,
            addresses,
            "Addresses to listen on.",
        );
        values.add("pg_kafka.port", Kind::Int, port, "TCP port of the listener.");
        values.add_nullable(
            "pg_kafka.advertised_host",
            Kind::String,
            advertised_host.clone(),
            "Host that Metadata tells clients; null for the address that the client reached.",
        );
        values.add_nullable(
            "pg_kafka.advertised_port",
            Kind::Int,
            advertised_port.map(|port| port.to_string()),
            "Port that Metadata tells clients; null for the port that the client reached.",
        );
        let name = "pg_kafka.queued_max_response_bytes";
        values.add(
            name,
            Kind::Long,
            queued_max_response_bytes,
            "Bytes of replies that are not sent.",
        );
        let name = "pg_kafka.tail_cache_bytes";
        values.add(name, Kind::Long, tail_cache_bytes, "Bytes of recent batches kept in memory.");
        let name = "pg_kafka.min_free_disk";
        values.add(
            name,
            Kind::Long,
            min_free_disk,
            "Bytes of free disk space below which produce requests are refused.",
        );
        values.add_topic_defaults(topic_defaults);
        for name in ["log.retention.check.interval.ms", "pg_kafka.log_retention_check_interval"] {
            let interval_ms = log_retention_check_interval.as_millis();
            values.add(
                name,
                Kind::Long,
                interval_ms,
                "Milliseconds between two looks at what retention deletes.",
            );
        }
        let name = "pg_kafka.acks1_async";
        values.add(
            name,
            Kind::Boolean,
            acks1_async,
            "Whether acks=1 may be answered before the flush.",
        );
        for name in ["producer.id.expiration.ms", "pg_kafka.producer_id_expiration"] {
            let expiration_ms = producer_id_expiration.as_millis();
            values.add(
                name,
                Kind::Int,
                expiration_ms,
                "After how many milliseconds a producer id that writes nothing is forgotten.",
            );
        }
        for (names, value, documentation) in [
            (
                ["group.initial.rebalance.delay.ms", "pg_kafka.group_initial_rebalance_delay"],
                group_initial_rebalance_delay.as_millis(),
                "How many milliseconds the first rebalance of an empty group waits for more members.",
            ),
            (
                ["group.min.session.timeout.ms", "pg_kafka.group_min_session_timeout"],
                group_min_session_timeout.as_millis(),
                "Shortest session timeout of a member, in milliseconds.",
            ),
            (
                ["group.max.session.timeout.ms", "pg_kafka.group_max_session_timeout"],
                group_max_session_timeout.as_millis(),
                "Longest session timeout of a member, in milliseconds.",
            ),
            (
                ["max.incremental.fetch.session.cache.slots", "pg_kafka.fetch_sessions"],
                *fetch_sessions as u128,
                "Fetch sessions of consumers.",
            ),
            (
                ["group.max.size", "pg_kafka.group_max_size"],
                *group_max_size as u128,
                "Members that a group has at most.",
            ),
            (
                ["group.consumer.session.timeout.ms", "pg_kafka.consumer_group_session_timeout"],
                consumer_group_session_timeout.as_millis(),
                "Milliseconds after which a silent member of a group of the new protocol is fenced.",
            ),
            (
                [
                    "group.consumer.heartbeat.interval.ms",
                    "pg_kafka.consumer_group_heartbeat_interval",
                ],
                consumer_group_heartbeat_interval.as_millis(),
                "Milliseconds between two heartbeats of a member of a group of the new protocol.",
            ),
            (
                ["offsets.retention.minutes", "pg_kafka.offsets_retention"],
                u128::from(offsets_retention.as_secs() / 60),
                "For how many minutes committed offsets are kept after their group became empty.",
            ),
        ] {
            for name in names {
                values.add(name, Kind::Int, value, documentation);
            }
        }
        let name = "pg_kafka.log_connections";
        values.add(name, Kind::Boolean, log_connections, "Whether connections are logged.");
        values
    }

    /// Kafka's names that are synonyms of a topic's key are added with the keys.
    fn add_topic_defaults(&mut self, defaults: &TopicDefaults) {
        let TopicDefaults {
            retention_ms,
            retention_bytes,
            segment_bytes,
            segment_ms,
        } = defaults;
        let set = |key| defaults.set(key).map(|(_, value)| value);
        self.add_nullable(
            "log.retention.ms",
            Kind::Long,
            set("retention.ms"),
            "Default of retention.ms.",
        );
        self.add_nullable("log.roll.ms", Kind::Long, set("segment.ms"), "Default of segment.ms.");
        for (name, value, documentation) in [
            (
                "pg_kafka.log_retention_time",
                *retention_ms,
                "Default of retention.ms, in milliseconds.",
            ),
            (
                "pg_kafka.log_retention_bytes",
                *retention_bytes,
                "Default of retention.bytes.",
            ),
            (
                "pg_kafka.log_segment_bytes",
                (*segment_bytes).into(),
                "Default of segment.bytes.",
            ),
            (
                "pg_kafka.log_roll_time",
                *segment_ms,
                "Default of segment.ms, in milliseconds.",
            ),
        ] {
            self.add(name, Kind::Long, value, documentation);
        }
    }

    fn add(&mut self, name: &'static str, kind: Kind, value: impl ToString, documentation: &'static str) {
        self.add_nullable(name, kind, Some(value.to_string()), documentation);
    }

    fn add_nullable(&mut self, name: &'static str, kind: Kind, value: Option<String>, documentation: &'static str) {
        self.0.push((name, kind, value, documentation));
    }
}

fn listener(host: &str, port: u16) -> String {
    match host {
        "*" => format!("PLAINTEXT://:{port}"),
        host if host.contains(':') => format!("PLAINTEXT://[{host}]:{port}"),
        host => format!("PLAINTEXT://{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_config_is_listed_once_and_shows_what_is_set() {
        let settings = Settings {
            default_partitions: 6,
            listen_addresses: vec!["*".to_owned(), "::1".to_owned()],
            ..Settings::default()
        };
        let configs = broker_configs(&settings);
        assert!(configs.windows(2).all(|pair| pair[0].name < pair[1].name));
        let values = |name: &str| {
            let config = configs.iter().find(|config| config.name == name).unwrap();
            (config.value.as_deref(), config.default.as_deref())
        };
        assert_eq!(values("num.partitions"), (Some("6"), Some("1")));
        assert_eq!(values("listeners").0, Some("PLAINTEXT://:9092,PLAINTEXT://[::1]:9092"));
        assert_eq!(values("log.cleanup.policy"), (Some("delete"), Some("delete")));
        assert_eq!(values("log.retention.ms"), (None, None));
        assert_eq!(values("connections.max.idle.ms"), (Some("600000"), Some("600000")));
    }

    #[test]
    fn defaults_of_topics_are_shown_where_they_are_set() {
        let mut settings = Settings::default();
        settings.topic_defaults.retention_ms = 5000;
        settings.topic_defaults.segment_bytes = 1 << 20;
        settings.log_retention_check_interval = std::time::Duration::from_secs(1);
        let configs = broker_configs(&settings);
        let value = |name: &str| {
            let config = configs.iter().find(|config| config.name == name).unwrap();
            config.value.as_deref()
        };
        for name in ["log.retention.ms", "pg_kafka.log_retention_time"] {
            assert_eq!(value(name), Some("5000"), "{name}");
        }
        for name in ["log.segment.bytes", "pg_kafka.log_segment_bytes"] {
            assert_eq!(value(name), Some("1048576"), "{name}");
        }
        assert_eq!(
            (value("log.roll.ms"), value("pg_kafka.log_roll_time")),
            (None, Some("604800000"))
        );
        assert_eq!(
            (value("log.retention.bytes"), value("pg_kafka.log_retention_bytes")),
            (Some("-1"), Some("-1"))
        );
        assert_eq!(value("log.retention.check.interval.ms"), Some("1000"));
    }

    #[test]
    fn the_page_of_deviations_names_each_key_of_kafka() {
        let page = include_str!("../../../docs/deviations.md");
        let configs = broker_configs(&Settings::default());
        for config in configs.iter().filter(|config| !config.name.starts_with("pg_kafka.")) {
            assert!(page.contains(&format!("`{}`", config.name)), "{}", config.name);
        }
    }
}
