//! What keeps a log small and ready, besides appending: segments are made ahead, log starts are moved by retention, segments that hold
//! nothing live are dropped, and what is left of others is put together. The maintenance worker calls [`Upkeep::round`] again and again.
//!
//! * [`plan`] says what is to be done: pure.
//! * [`survey`] finds out the [`facts`] for it.
//! * [`rewrite`] puts together.
//! * [`freeze`] says what is frozen: pure.
//!
//! Each thing is done in a transaction of its own, and by what is stored: a log start is committed before anything below it is dropped.

pub mod facts;
pub mod freeze;
pub mod plan;
pub mod rewrite;
#[cfg(test)]
mod simulation;
pub mod survey;

use std::collections::BTreeSet;

use super::engine::{CommitMode, Engine, EngineError, EngineResult, SegmentId, TopicNumber, TopicRecord};
use crate::catalog::configs::{TopicConfigs, TopicDefaults};
use crate::limits::REWRITTEN_BYTES_PER_SECOND;
use facts::TopicFacts;
use freeze::IdRate;
use survey::Wanted;

/// When to call [`Upkeep::round`] again, unless something changes before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// At once: there is more to do.
    Again,
    /// Soon: another session had something locked.
    Busy,
    /// At this time.
    At(i64),
}

/// What the process around a round does while it goes on.
pub trait Surroundings {
    /// Called between any two steps: the place to end the process if it is to end.
    fn between(&mut self);
    /// Topics or segments were changed: the broker is to be told.
    fn changed(&mut self);
    /// Something could not be done, for another reason than another session's lock; it is tried again later.
    fn failed(&mut self, what: &str, error: &EngineError);
}

/// See the module's head.
#[derive(Debug)]
pub struct Upkeep {
    /// When retention is looked at next, for all topics.
    check_at_ms: i64,
    /// Topics to be looked at before.
    unfinished: BTreeSet<TopicNumber>,
    /// Before this time nothing is rewritten or frozen.
    rewrite_at_ms: i64,
    id_rate: IdRate,
}

/// One round.
struct Round<'a, E, S> {
    upkeep: &'a mut Upkeep,
    engine: &'a mut E,
    surroundings: &'a mut S,
    now_ms: i64,
    busy: bool,
}

impl Upkeep {
    /// Retention is looked at in the first round.
    pub fn new(now_ms: i64) -> Self {
        Upkeep {
            check_at_ms: now_ms,
            unfinished: BTreeSet::new(),
            rewrite_at_ms: now_ms,
            id_rate: IdRate::default(),
        }
    }

    /// Lets the next round look at retention.
    pub fn check_now(&mut self) {
        self.check_at_ms = i64::MIN;
    }

    /// Does what is to be done at `now_ms`: segments that are due or `wanted`, those that are dead, and every `interval_ms` retention.
    ///
    /// # Errors
    /// The topics cannot be loaded. What fails for one topic is logged and tried again.
    pub fn round<E: Engine, S: Surroundings>(
        &mut self,
        engine: &mut E,
        surroundings: &mut S,
        defaults: &TopicDefaults,
        interval_ms: i64,
        wanted: &BTreeSet<TopicNumber>,
        now_ms: i64,
    ) -> EngineResult<Next> {
        let topics = in_transaction(engine, |engine| engine.load_topics())?;
        let check = now_ms >= self.check_at_ms;
        let due = if check {
            self.check_at_ms = now_ms.saturating_add(interval_ms);
            topics.iter().map(|topic| topic.number).collect()
        } else {
            std::mem::take(&mut self.unfinished)
        };
        // A changed interval counts from now.
        self.check_at_ms = self.check_at_ms.min(now_ms.saturating_add(interval_ms));
        let mut round = Round {
            upkeep: self,
            engine,
            surroundings,
            now_ms,
            busy: false,
        };
        let configured = |topic: TopicRecord| (TopicConfigs::new(topic.configs.clone(), defaults), topic);
        let mut topics: Vec<_> = topics.into_iter().map(configured).collect();
        for (configs, topic) in &topics {
            if let Some(segment) = plan::next_segment(topic, configs, wanted.contains(&topic.number)) {
                round.step(None, &format!("make {segment:?}"), |engine| engine.create_segment(segment));
            }
        }
        for (configs, topic) in &mut topics {
            if due.contains(&topic.number) && configs.delete {
                round.retain(configs, topic);
            }
            round.drop_dead(topic);
        }
        if !due.is_empty() {
            round.freeze(topics.iter().filter(|(_, topic)| due.contains(&topic.number)));
        }
        let busy = round.busy;
        Ok(self.next(busy, now_ms))
    }

    /// So many bytes are written a second time now.
    fn spend(&mut self, bytes: u64, now_ms: i64) {
        let takes_ms = bytes.saturating_mul(1000) / REWRITTEN_BYTES_PER_SECOND;
        self.rewrite_at_ms = now_ms.saturating_add(i64::try_from(takes_ms).unwrap_or(i64::MAX));
    }

    fn next(&self, busy: bool, now_ms: i64) -> Next {
        if busy {
            Next::Busy
        } else if self.unfinished.is_empty() {
            Next::At(self.check_at_ms)
        } else if self.rewrite_at_ms <= now_ms {
            Next::Again
        } else {
            Next::At(self.check_at_ms.min(self.rewrite_at_ms))
        }
    }
}

impl<E: Engine, S: Surroundings> Round<'_, E, S> {
    /// Does one thing in a transaction of its own, which changes what the broker should know; whether it was done. A topic that is named
    /// is looked at again soon if not.
    fn step(&mut self, topic: Option<TopicNumber>, what: &str, work: impl FnOnce(&mut E) -> EngineResult<()>) -> bool {
        self.surroundings.between();
        match in_transaction(self.engine, work) {
            Ok(()) => {
                self.surroundings.changed();
                true
            }
            Err(error) => {
                self.failed(topic, what, &error);
                false
            }
        }
    }

    fn failed(&mut self, topic: Option<TopicNumber>, what: &str, error: &EngineError) {
        match error {
            EngineError::Busy(_) => {
                self.busy = true;
                self.upkeep.unfinished.extend(topic);
            }
            error => self.surroundings.failed(what, error),
        }
    }

    fn drop_dead(&mut self, topic: &TopicRecord) {
        for segment in plan::dead_segments(topic) {
            self.step(None, &format!("drop {segment:?}"), |engine| engine.drop_segment(segment));
        }
    }

    /// Moves the log starts of a topic, and rewrites one segment if there is one to be.
    fn retain(&mut self, configs: &TopicConfigs, topic: &mut TopicRecord) {
        let wanted = Wanted {
            sizes: configs.retention_bytes.is_some(),
            older_than_ms: configs.retention_ms.map(|ms| self.now_ms.saturating_sub(ms)),
        };
        let Some(mut facts) = self.survey(topic, wanted) else { return };
        if !facts.sealed_are_surveyed() {
            self.upkeep.unfinished.insert(topic.number);
        }
        let starts = plan::log_starts(topic, configs, &facts, self.now_ms);
        if !starts.is_empty() {
            if !self.step(Some(topic.number), "move log starts", |engine| {
                engine.set_log_starts(topic.number, &starts)
            }) {
                return;
            }
            for (partition, offset) in starts {
                if let Some(partition) = usize::try_from(partition)
                    .ok()
                    .and_then(|index| topic.partitions.get_mut(index))
                {
                    partition.log_start_offset = partition.log_start_offset.max(offset);
                }
            }
            let Some(after) = self.survey(topic, Wanted::default()) else {
                return;
            };
            facts = after;
        }
        if let Some(rewrite) = plan::rewrite(topic, configs, &facts) {
            self.rewrite(topic, &rewrite);
        }
    }

    fn survey(&mut self, topic: &TopicRecord, wanted: Wanted) -> Option<TopicFacts> {
        self.surroundings.between();
        let facts = in_transaction(self.engine, |engine| {
            engine.lock_bookkeeping()?;
            survey::survey(engine, topic, wanted)
        });
        match facts {
            Ok(facts) => Some(facts),
            Err(error) => {
                self.failed(Some(topic.number), "find out what retention deletes", &error);
                None
            }
        }
    }

    /// Freezes a segment of each topic that has one to be frozen. One that is not frozen after that, because an older snapshot tells
    /// its rows apart or a session has it locked, is tried again at the next look at retention.
    fn freeze<'t>(&mut self, topics: impl Iterator<Item = &'t (TopicConfigs, TopicRecord)>) {
        let what = "find out what is to be frozen";
        let ids = match in_transaction(self.engine, |engine| engine.transaction_ids()) {
            Ok(ids) => ids,
            Err(error) => return self.failed(None, what, &error),
        };
        self.upkeep.id_rate.sample(ids.next, self.now_ms);
        for (configs, topic) in topics {
            self.surroundings.between();
            let due = |engine: &mut E, rate: &IdRate| {
                let ages = in_transaction(engine, |engine| engine.segment_ages(topic.number));
                ages.map(|ages| freeze::due(topic, configs, &ages, ids, rate))
            };
            match due(self.engine, &self.upkeep.id_rate) {
                Ok(None) => {}
                Ok(Some(_)) if self.now_ms < self.upkeep.rewrite_at_ms => {
                    self.upkeep.unfinished.insert(topic.number);
                }
                Ok(Some(segment)) => {
                    self.upkeep.spend(bytes_of(topic, segment), self.now_ms);
                    if let Err(error) = self.engine.freeze_segment(segment) {
                        self.failed(None, &format!("freeze {segment:?}"), &error);
                    } else if matches!(due(self.engine, &self.upkeep.id_rate), Ok(next) if next != Some(segment)) {
                        self.upkeep.unfinished.insert(topic.number);
                    }
                }
                Err(error) => self.failed(None, what, &error),
            }
        }
    }

    /// Rewrites, if the rate allows it. Segments that it drops or replaces are not in `topic` any more, so that they are not dropped again.
    fn rewrite(&mut self, topic: &mut TopicRecord, rewrite: &plan::Rewrite) {
        if self.now_ms < self.upkeep.rewrite_at_ms {
            self.upkeep.unfinished.insert(topic.number);
            return;
        }
        self.upkeep.spend(rewrite.bytes, self.now_ms);
        self.surroundings.between();
        let surroundings = &mut *self.surroundings;
        let done = in_transaction(self.engine, |engine| {
            rewrite::rewrite(engine, topic, rewrite, &mut || surroundings.between())
        });
        match done {
            Ok(()) => {
                self.surroundings.changed();
                self.upkeep.unfinished.insert(topic.number);
                let gone =
                    |number: i32| number == rewrite.segment.number || rewrite.merged.iter().any(|merged| merged.number == number);
                topic.segments.retain(|segment| !gone(segment.number));
            }
            Err(error) => self.failed(Some(topic.number), &format!("rewrite {:?}", rewrite.segment), &error),
        }
    }
}

fn bytes_of(topic: &TopicRecord, segment: SegmentId) -> u64 {
    let of_number = topic.segments.iter().find(|of_topic| of_topic.number == segment.number);
    of_number.map_or(0, |of_topic| of_topic.bytes)
}

fn in_transaction<E: Engine, T>(engine: &mut E, work: impl FnOnce(&mut E) -> EngineResult<T>) -> EngineResult<T> {
    let result = engine.begin().and_then(|()| work(engine));
    match result {
        Ok(value) => engine.commit(CommitMode::Flush).map(|_| value),
        Err(error) => {
            engine.rollback();
            Err(error)
        }
    }
}

impl SegmentId {
    /// The one after it.
    pub fn next(self) -> SegmentId {
        SegmentId {
            number: self.number + 1,
            ..self
        }
    }
}
