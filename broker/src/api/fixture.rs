//! For tests: a context over a real runner on the engine in memory, on a thread of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use uuid::Uuid;

use super::long_work::LongWork;
use super::{Context, RequestInfo};
use crate::catalog::configs::TopicConfigs;
use crate::catalog::Topic;
use crate::fetch::FetchSessions;
use crate::groups::Coordinator;
use crate::log::validate::{validate, Rules};
use crate::net::{Budget, Peer};
use crate::producers::ids::ProducerIds;
use crate::producers::state::ProducerBatch;
use crate::settings::Settings;
use crate::storage::engine::NewTopic;
use crate::storage::jobs::Append;
use crate::storage::model::ModelDatabase;
use crate::storage::running::RunningModel;
use crate::wire::batch_builder::{BatchBuilder, BatchFacts};

/// A broker without sockets.
pub(crate) struct TestBroker {
    /// What handlers get.
    pub context: Context,
    /// The database thread and the database behind it, for its switches.
    pub model: RunningModel,
}

impl TestBroker {
    /// With default settings, on a new database.
    pub fn start() -> Self {
        Self::on(&ModelDatabase::default(), Settings::default())
    }

    /// With these settings, on a new database.
    pub fn with_settings(settings: Settings) -> Self {
        Self::on(&ModelDatabase::default(), settings)
    }

    /// With these settings, on `database`.
    pub fn on(database: &ModelDatabase, settings: Settings) -> Self {
        let model = RunningModel::start(database, &settings);
        let (_, settings) = watch::channel(Arc::new(settings));
        let groups = Coordinator::new(model.storage.clone(), model.catalog.clone(), settings.clone());
        let context = Context {
            fetch_sessions: FetchSessions::new(settings.clone()),
            settings,
            catalog: model.catalog.clone(),
            storage: model.storage.clone(),
            producer_ids: ProducerIds::new(model.storage.clone()),
            directory: "/".to_owned(),
            response_budget: Budget::new(1 << 20),
            small_responses: Budget::new(1 << 20),
            long_work: LongWork::new(1),
            groups,
        };
        TestBroker { context, model }
    }

    /// A request of this version from a client on this host.
    pub fn request(&self, version: i16) -> RequestInfo {
        let local = ([127, 0, 0, 1], 9092).into();
        RequestInfo {
            version,
            client_id: None,
            peer: Peer { client: local, local },
        }
    }

    /// Makes a topic.
    pub async fn create_topic(&self, name: &str, partitions: i32, configs: &[(&str, &str)]) {
        let configs: BTreeMap<_, _> = configs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let topic = NewTopic {
            id: Uuid::new_v4(),
            name: name.to_owned(),
            partitions,
            configs,
        };
        self.context.storage.create_topic(topic, soon()).await.unwrap();
    }

    /// Appends one batch of a record per timestamp; returns its base offset.
    pub async fn append(&self, topic: &str, partition: i32, timestamps: &[i64]) -> i64 {
        let mut builder = BatchBuilder::new(BatchFacts::default());
        for timestamp in timestamps {
            builder.push(*timestamp, None, Some(b"value"), []).unwrap();
        }
        let bytes = builder.build().unwrap();
        let batch = validate(Some(&bytes), &Rules::new("t", 0, &TopicConfigs::default(), 9), 0).unwrap();
        let append = Append {
            topic: self.topic(topic).number,
            partition,
            bytes: batch.bytes,
            last_offset_delta: batch.header.last_offset_delta,
            max_timestamp_ms: batch.header.max_timestamp,
            producer: ProducerBatch::of(&batch.header),
            early_reply: false,
            deadline: soon(),
            charge: None,
            growth_charge: None,
        };
        self.context.storage.append(append).await.unwrap().unwrap().base_offset
    }

    /// Moves a log start.
    pub async fn delete_records(&self, topic: &str, partition: i32, before_offset: i64) {
        let number = self.topic(topic).number;
        let moved = self
            .context
            .storage
            .delete_records(number, partition, before_offset, soon())
            .await;
        assert_eq!(moved, Ok(before_offset));
    }

    fn topic(&self, name: &str) -> Arc<Topic> {
        self.context.catalog.topics().by_name(name).unwrap().clone()
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}
