//! What leaves a group: changes to be written, and replies, each held back until every change before it is durable (Kafka's
//! `CoordinatorRuntime` does the same with its deferred events).

use std::collections::VecDeque;

use super::error::HeartbeatError;
use super::reply::Reply;
use super::stored::{ConsumerGroupChange, Persist};

#[derive(Debug)]
pub(super) struct Outbox<W> {
    /// Token of the last change.
    last: u64,
    /// Token up to which everything is durable.
    durable: u64,
    changes: VecDeque<Persist>,
    /// Replies in the order of their requests, each with the last token before it.
    replies: VecDeque<(u64, W, Reply)>,
}

impl<W> Outbox<W> {
    pub fn new() -> Self {
        Outbox {
            last: 0,
            durable: 0,
            changes: VecDeque::new(),
            replies: VecDeque::new(),
        }
    }

    pub fn push_change(&mut self, change: ConsumerGroupChange) {
        self.last += 1;
        self.changes.push_back(Persist {
            token: self.last,
            change,
        });
    }

    pub fn push_reply(&mut self, waiter: W, reply: Reply) {
        self.replies.push_back((self.last, waiter, reply));
    }

    pub fn poll_change(&mut self) -> Option<Persist> {
        self.changes.pop_front()
    }

    pub fn poll_reply(&mut self) -> Option<(W, Reply)> {
        let (token, ..) = self.replies.front()?;
        if *token > self.durable {
            return None;
        }
        self.replies.pop_front().map(|(_, waiter, reply)| (waiter, reply))
    }

    pub fn set_durable(&mut self, token: u64) {
        self.durable = self.durable.max(token);
    }

    /// The token that has to become durable before what is known now may be told.
    pub fn undurable(&self) -> Option<u64> {
        Some(self.last).filter(|last| *last > self.durable)
    }

    /// Whether nothing was ever to be written.
    pub fn is_unused(&self) -> bool {
        self.last == 0
    }

    /// Drops the changes and answers everything with `error`.
    pub fn close(&mut self, error: &HeartbeatError) {
        self.changes.clear();
        self.durable = self.last;
        for (.., reply) in &mut self.replies {
            reply.refuse(error);
        }
    }
}
