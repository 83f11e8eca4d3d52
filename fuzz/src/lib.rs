//! What the fuzz targets share: a broker over the storage model that is new for each input, on one thread and with a clock that
//! jumps, so that an input does the same each time.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::api::dispatch::Dispatcher;
use broker::api::long_work::LongWork;
use broker::api::Context;
use broker::fetch::FetchSessions;
use broker::groups::Coordinator;
use broker::net::{Budget, Connections, Peer, Service};
use broker::producers::ids::ProducerIds;
use broker::settings::Settings;
use broker::storage::engine::NewTopic;
use broker::storage::model::{ModelDatabase, ModelEngine};
use broker::storage::runner::{Next, Runner};
use broker::wire::batch_builder::{BatchBuilder, BatchFacts};
use bytes::Bytes;
use tokio::sync::{watch, Notify};
use uuid::Uuid;

/// Name of the topic that there is; it has two partitions, and three records in the first.
pub const TOPIC: &str = "t";
/// Its id.
pub const TOPIC_ID: Uuid = Uuid::from_bytes([7; 16]);

/// A broker without threads: [`World::run`] takes the turns of its database.
pub struct World {
    /// Its protocol.
    pub dispatcher: Arc<Dispatcher>,
    settings: watch::Receiver<Arc<Settings>>,
    replies: Budget,
    runner: RefCell<Runner<ModelEngine>>,
    woken: Arc<Notify>,
    _keep: watch::Sender<Arc<Settings>>,
}

impl World {
    /// With a topic and records in it. Inside of [`run`].
    pub async fn new() -> World {
        let settings = Settings {
            max_request_bytes: 1 << 20,
            queued_max_request_bytes: 4 << 20,
            queued_max_response_bytes: 4 << 20,
            tail_cache_bytes: 1 << 20,
            ..Settings::default()
        };
        let woken = Arc::new(Notify::new());
        let wake = woken.clone();
        let runner = Runner::open(
            ModelDatabase::default().open(),
            Arc::new(move || wake.notify_one()),
            &settings,
        )
        .unwrap_or_else(|error| panic!("the model does not open: {error}"));
        let (keep, settings) = watch::channel(Arc::new(settings));
        let replies = Budget::new(4 << 20);
        let groups = Coordinator::new(runner.storage(), runner.catalog(), settings.clone());
        tokio::spawn(groups.clone().run());
        let context = Context {
            settings: settings.clone(),
            catalog: runner.catalog(),
            storage: runner.storage(),
            producer_ids: ProducerIds::new(runner.storage()),
            directory: runner.directory(),
            response_budget: replies.clone(),
            small_responses: Budget::new(1 << 20),
            long_work: LongWork::new(1),
            groups,
            fetch_sessions: FetchSessions::new(settings.clone()),
        };
        let world = World {
            dispatcher: Arc::new(Dispatcher::new(context)),
            settings,
            replies,
            runner: RefCell::new(runner),
            woken,
            _keep: keep,
        };
        world.fill().await;
        world
    }

    async fn fill(&self) {
        let topic = NewTopic {
            id: TOPIC_ID,
            name: TOPIC.to_owned(),
            partitions: 2,
            configs: BTreeMap::new(),
        };
        let storage = self.runner.borrow().storage();
        let deadline = Instant::now() + Duration::from_secs(60);
        let number = self.serve(storage.create_topic(topic, deadline)).await.expect("a topic");
        let mut builder = BatchBuilder::new(BatchFacts::default());
        for timestamp in [1_000, 3_000, 2_000] {
            builder.push(timestamp, Some(b"key"), Some(b"value"), []).expect("a record");
        }
        let bytes = builder.build().expect("a batch");
        let append = broker::storage::jobs::Append {
            topic: number,
            partition: 0,
            bytes,
            last_offset_delta: 2,
            max_timestamp_ms: 3_000,
            producer: None,
            early_reply: false,
            deadline,
            charge: None,
            growth_charge: None,
        };
        self.serve(storage.append(append)).await.expect("a reply").expect("an offset");
    }

    /// Runs `work` with the database beside it.
    pub async fn serve<T>(&self, work: impl Future<Output = T>) -> T {
        let database = async {
            loop {
                let next = self.runner.borrow_mut().turn(Instant::now());
                match next {
                    Next::Again => tokio::task::yield_now().await,
                    Next::Sleep(pause) => drop(tokio::time::timeout(pause, self.woken.notified()).await),
                    Next::Idle => self.woken.notified().await,
                }
            }
        };
        tokio::select! {
            biased;
            done = work => done,
            () = database => unreachable!("the database ends with its work"),
        }
    }

    /// Sockets over this broker.
    pub fn service(&self) -> Service<Dispatcher> {
        Service::new(
            self.dispatcher.clone(),
            self.replies.clone(),
            self.settings.clone(),
            Connections::default(),
        )
    }
}

/// A client on this host.
pub fn peer() -> Peer {
    let local = ([127, 0, 0, 1], 9092).into();
    Peer { client: local, local }
}

/// Runs `work` to its end on a clock that jumps to the next timer when there is nothing else to do.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(work)
}

/// `batch` with the length and the checksum that it should have, so that what is behind them is looked at.
pub fn signed(batch: &[u8]) -> Bytes {
    let mut batch = batch.to_vec();
    if batch.len() >= broker::wire::BATCH_HEADER_BYTES {
        let length = (batch.len() - broker::wire::LOG_OVERHEAD_BYTES) as u32;
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        broker::wire::batch::set_crc(&mut batch);
    }
    batch.into()
}
