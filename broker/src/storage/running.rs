//! A database thread over the model, for tests of what stands above storage.

use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use super::model::ModelDatabase;
use super::runner::{Next, Runner};
use super::{Storage, Wake};
use crate::catalog::Catalog;
use crate::settings::Settings;

enum Message {
    Wake,
    Stop,
}

/// A running database thread over a [`ModelDatabase`]; stops when dropped.
pub struct RunningModel {
    /// The database, to inject failures.
    pub database: ModelDatabase,
    /// The face of the thread.
    pub storage: Storage,
    /// The topics.
    pub catalog: Arc<Catalog>,
    messages: Sender<Message>,
    thread: Option<JoinHandle<()>>,
}

impl RunningModel {
    /// Starts a broker's database thread on `database`.
    ///
    /// # Panics
    /// The database cannot be opened.
    pub fn start(database: &ModelDatabase, settings: &Settings) -> Self {
        let (messages, inbox) = channel();
        let sender = messages.clone();
        let wake: Wake = Arc::new(move || drop(sender.send(Message::Wake)));
        let runner = match Runner::open(database.open(), wake, settings) {
            Ok(runner) => runner,
            Err(error) => panic!("the model does not open: {error}"),
        };
        let (storage, catalog) = (runner.storage(), runner.catalog());
        let thread = std::thread::spawn(move || serve(runner, &inbox));
        RunningModel {
            database: database.clone(),
            storage,
            catalog,
            messages,
            thread: Some(thread),
        }
    }
}

fn serve(mut runner: Runner<super::model::ModelEngine>, inbox: &Receiver<Message>) {
    loop {
        let message = match runner.turn(Instant::now()) {
            Next::Again => continue,
            Next::Sleep(pause) => inbox.recv_timeout(pause).unwrap_or(Message::Wake),
            Next::Idle => inbox.recv().unwrap_or(Message::Stop),
        };
        if matches!(message, Message::Stop) {
            return;
        }
    }
}

impl Drop for RunningModel {
    fn drop(&mut self) {
        let _ = self.messages.send(Message::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
