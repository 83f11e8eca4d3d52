//! The broker as the extension starts and stops it: runtime, listener and dispatcher around a database thread's [`Runner`].

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use crate::api::dispatch::Dispatcher;
use crate::api::long_work::LongWork;
use crate::api::Context;
use crate::fetch::FetchSessions;
use crate::groups::Coordinator;
use crate::limits;
use crate::net::{self, Budget, Connections, Listeners, Service, Threads};
use crate::producers::ids::ProducerIds;
use crate::settings::Settings;
use crate::storage::engine::Engine;
use crate::storage::runner::Runner;

/// A running broker. Owns the network threads, a tokio runtime each, which never call the database. The first accepts connections and
/// runs what belongs to none.
pub struct Server {
    runtimes: Vec<Runtime>,
    settings: watch::Sender<Arc<Settings>>,
    shutdown: watch::Sender<bool>,
    serving: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Binds the listen addresses and begins to serve. The caller has blocked all signals, which the threads made here inherit.
    ///
    /// # Errors
    /// An address cannot be bound (in use, not of this host), or threads cannot be made.
    pub fn start<E: Engine>(settings: Settings, runner: &Runner<E>) -> io::Result<Server> {
        let settings = Arc::new(settings);
        let listeners = Listeners::bind(&settings.listen_addresses, settings.port)?;
        let runtimes = (0..settings.network_threads.max(1)).map(|_| network_thread());
        let runtimes = runtimes.collect::<io::Result<Vec<_>>>()?;
        let (first, others) = runtimes.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let threads = Threads::new(first.handle().clone(), others.iter().map(|runtime| runtime.handle().clone()));
        let (settings_sender, settings_receiver) = watch::channel(settings.clone());
        let (shutdown, stopping) = watch::channel(false);
        let replies = Budget::new(settings.queued_max_response_bytes);
        let groups = Coordinator::new(runner.storage(), runner.catalog(), settings_receiver.clone());
        let context = Context {
            settings: settings_receiver.clone(),
            catalog: runner.catalog(),
            storage: runner.storage(),
            producer_ids: ProducerIds::new(runner.storage()),
            directory: runner.directory(),
            response_budget: replies.clone(),
            small_responses: Budget::new(settings.max_connections.saturating_mul(limits::SMALL_REPLY_BYTES)),
            fetch_sessions: FetchSessions::new(settings_receiver.clone()),
            long_work: LongWork::new(settings.network_threads),
            groups: groups.clone(),
        };
        first.spawn(groups.run());
        let protocol = Arc::new(Dispatcher::new(context));
        let service = Service::new(protocol, replies, settings_receiver, Connections::default());
        let serving = first.spawn(async move {
            if let Err(error) = net::serve(service, listeners, threads, stopping).await {
                tracing::error!(%error, "the listener failed");
            }
        });
        Ok(Server {
            runtimes,
            settings: settings_sender,
            shutdown,
            serving,
        })
    }

    /// Takes over changed settings; those of the listener take effect at the next start.
    pub fn reload(&self, settings: Settings) {
        self.settings.send_replace(Arc::new(settings));
    }

    /// Closes the listener and all connections and stops the threads; gives up waiting for them after `patience`.
    pub fn stop(self, patience: Duration) {
        let deadline = Instant::now() + patience;
        self.shutdown.send_replace(true);
        let serving = self.serving;
        if let Some(first) = self.runtimes.first() {
            let _ = first.block_on(async { tokio::time::timeout(patience / 2, serving).await });
        }
        for runtime in self.runtimes {
            runtime.shutdown_timeout(deadline.saturating_duration_since(Instant::now()));
        }
    }
}

/// A runtime of one thread, of the kind that can give the thread up for long work.
fn network_thread() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("pg_kafka net")
        .enable_all()
        .build()
}
