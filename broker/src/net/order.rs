//! The unanswered requests of one connection: when the next may start, and their replies in order (design I7).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::connections::Entry;
use super::{Execution, PendingReply};
use crate::limits;

/// Between the reader, which starts requests, and the writer, which sends their replies.
pub(super) struct Order {
    state: Mutex<State>,
    to_reader: Notify,
    to_writer: Notify,
    entry: Arc<Entry>,
}

#[derive(Default)]
struct State {
    pending: VecDeque<PendingReply>,
    unanswered: usize,
    in_turn: bool,
    ended: bool,
}

impl Order {
    pub(super) fn new(entry: Arc<Entry>) -> Self {
        Order {
            state: Mutex::default(),
            to_reader: Notify::new(),
            to_writer: Notify::new(),
            entry,
        }
    }

    /// Waits until a request of this execution may start. The reader asks, and starts it before it asks again.
    pub(super) async fn turn(&self, execution: Execution) {
        while !self.lock().may_start(execution) {
            self.to_reader.notified().await;
        }
    }

    /// A request was started.
    pub(super) fn push(&self, execution: Execution, reply: PendingReply) {
        let mut state = self.lock();
        state.unanswered += 1;
        state.in_turn |= execution == Execution::InTurn;
        state.pending.push_back(reply);
        self.entry.request_started();
        self.to_writer.notify_one();
    }

    /// No request will be started any more.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.to_writer.notify_one();
    }

    /// The oldest reply to come; `None` after the last.
    pub(super) async fn next(&self) -> Option<PendingReply> {
        loop {
            {
                let mut state = self.lock();
                if let Some(reply) = state.pending.pop_front() {
                    return Some(reply);
                }
                if state.ended {
                    return None;
                }
            }
            self.to_writer.notified().await;
        }
    }

    /// The oldest reply to come, if a request is unanswered.
    pub(super) fn try_next(&self) -> Option<PendingReply> {
        self.lock().pending.pop_front()
    }

    /// The replies of the oldest `count` requests are written.
    pub(super) fn answered(&self, count: usize) {
        let mut state = self.lock();
        state.unanswered -= count;
        state.in_turn &= state.unanswered > 0;
        self.entry.requests_answered(count);
        self.to_reader.notify_one();
    }

    /// Whether the unanswered requests are all such whose effect is already on its way.
    pub(super) fn all_eager(&self) -> bool {
        let state = self.lock();
        state.unanswered > 0 && !state.in_turn
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn may_start(&self, execution: Execution) -> bool {
        match execution {
            Execution::InTurn => self.unanswered == 0,
            Execution::Eager => !self.in_turn && self.unanswered < limits::UNANSWERED_REQUESTS_PER_CONNECTION,
        }
    }
}
