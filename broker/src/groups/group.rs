//! One group as the coordinator holds it: a machine of either protocol, and what of it waits to be stored.

use std::sync::Arc;
use std::time::Instant;

use kafka_protocol::ResponseError;
use tokio::sync::{oneshot, Notify};
use uuid::Uuid;

use super::classic::{self, ClassicGroup, ClassicSettings, ClassicState};
use super::consumer::{
    self, ClassicGroupImage, ConsumerGroup, ConsumerGroupChange, ConsumerGroupState, ConsumerSettings, HeartbeatError,
    TopicFacts, TopicsImage,
};
use super::migration::{image_of, stored_of};
use super::stored::{to_change, to_records, StoredError};
use crate::catalog::Topics;
use crate::clock::{now, now_ms};
use crate::settings::Settings;
use crate::storage::groups::GroupChange;

/// Where the answer to a JoinGroup or SyncGroup goes.
pub(super) type ClassicWaiter = oneshot::Sender<classic::Reply>;
/// Where the answer of a consumer group goes.
pub(super) type ConsumerWaiter = oneshot::Sender<consumer::Reply>;

/// The machine of a group's protocol.
pub(super) enum Machine {
    Classic(Box<ClassicGroup<ClassicWaiter>>),
    Consumer(Box<ConsumerGroup<ConsumerWaiter>>),
}

/// What waits to be stored; later states are merged into it.
enum Unstored {
    Nothing,
    Classic(classic::Persist),
    Consumer(u64, ConsumerGroupChange),
}

/// One group.
pub(super) struct Group {
    pub(super) id: Arc<str>,
    pub(super) machine: Machine,
    unstored: Unstored,
    /// Whether a task is storing it.
    pub(super) storing: bool,
    /// The time that it is registered for with the timers.
    pub(super) registered: Option<Instant>,
    /// Since when it is Empty, milliseconds since 1970.
    pub(super) empty_since_ms: Option<i64>,
    /// Ended: every request is refused until it is out of the coordinator's map, or read anew.
    pub(super) closed: bool,
    /// Out of the coordinator's map: whoever still has it looks for the group anew.
    pub(super) removed: bool,
    /// Notified when something of it became durable.
    pub(super) stored: Arc<Notify>,
    /// Whether members may have come, changed or gone since its size was counted.
    pub(super) changed: bool,
    /// Its size in memory, as it was counted last.
    pub(super) size_bytes: usize,
    /// How many machines it had before this one.
    incarnation: u64,
    /// The classic group that a consumer group wants to become, while that is being stored.
    downgrade: Option<ClassicGroupImage>,
}

/// What is being stored of a group.
pub(super) struct Storing {
    incarnation: u64,
    token: u64,
    /// The change; an error if it cannot be written down.
    pub(super) change: Option<Result<GroupChange, StoredError>>,
}

/// What machines need to know of the world around them.
pub(super) struct Surroundings {
    pub(super) classic: ClassicSettings,
    pub(super) consumer: ConsumerSettings,
    pub(super) topics: Image,
}

/// The topics as consumer groups look at them.
pub(super) struct Image(pub(super) Arc<Topics>);

impl Surroundings {
    pub(super) fn new(settings: &Settings, topics: Arc<Topics>) -> Self {
        Surroundings {
            classic: ClassicSettings {
                initial_rebalance_delay: settings.group_initial_rebalance_delay,
                min_session_timeout: settings.group_min_session_timeout,
                max_session_timeout: settings.group_max_session_timeout,
                max_size: settings.group_max_size,
            },
            consumer: ConsumerSettings {
                session_timeout: settings.consumer_group_session_timeout,
                heartbeat_interval: settings.consumer_group_heartbeat_interval,
                max_size: settings.group_max_size,
                classic_max_size: settings.group_max_size,
                ..ConsumerSettings::default()
            },
            topics: Image(topics),
        }
    }
}

impl TopicsImage for Image {
    fn by_name(&self, name: &str) -> Option<TopicFacts> {
        self.0.by_name(name).map(|topic| facts(topic))
    }

    fn by_id(&self, id: &Uuid) -> Option<TopicFacts> {
        self.0.by_id(id).map(|topic| facts(topic))
    }

    fn for_each_name(&self, visit: &mut dyn FnMut(&str)) {
        self.0.iter().for_each(|topic| visit(&topic.name));
    }

    fn version(&self) -> u64 {
        self.0.version()
    }
}

fn facts(topic: &crate::catalog::Topic) -> TopicFacts {
    TopicFacts {
        id: topic.id,
        name: topic.name.to_string(),
        partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
    }
}

impl Group {
    pub(super) fn new(id: Arc<str>, machine: Machine) -> Self {
        Group {
            id,
            machine,
            unstored: Unstored::Nothing,
            storing: false,
            registered: None,
            empty_since_ms: None,
            closed: false,
            removed: false,
            stored: Arc::default(),
            changed: true,
            size_bytes: 0,
            incarnation: 0,
            downgrade: None,
        }
    }

    /// The machine for a member of the classic protocol that joins. An Empty consumer group becomes a classic one, as with Kafka.
    ///
    /// # Errors
    /// COORDINATOR_NOT_AVAILABLE (15) while the group is ended, or became empty and that is not stored.
    pub(super) fn machine_to_join(&mut self) -> Result<&mut Machine, ResponseError> {
        if let Machine::Consumer(group) = &self.machine {
            let empty = group.state() == ConsumerGroupState::Empty;
            if self.closed || (empty && group.undurable().is_some()) {
                return Err(ResponseError::CoordinatorNotAvailable);
            }
            if empty {
                self.replace_machine(Machine::Classic(Box::new(ClassicGroup::new(&self.id))));
            }
        }
        Ok(&mut self.machine)
    }

    /// A ConsumerGroupHeartbeat of a member that joins. An Empty classic group becomes a consumer group, and so does one with members if
    /// the join is accepted: they are told to join again.
    ///
    /// # Errors
    /// COORDINATOR_NOT_AVAILABLE (15) of a group that is ended; GROUP_ID_NOT_FOUND (69) if the classic group cannot change.
    pub(super) fn join_consumer(
        &mut self,
        around: &Surroundings,
        request: consumer::HeartbeatRequest,
        waiter: ConsumerWaiter,
    ) -> Result<(), HeartbeatError> {
        if self.closed {
            return Err(HeartbeatError::Closed(ResponseError::CoordinatorNotAvailable));
        }
        if let Machine::Classic(group) = &self.machine {
            let mut upgraded = match group.state() {
                ClassicState::Empty if group.next_timeout().is_none() => ConsumerGroup::new(&self.id),
                _ => ConsumerGroup::upgrade(&self.id, &image_of(group), &around.consumer, &around.topics, now())?,
            };
            upgraded.heartbeat(&around.consumer, &around.topics, now(), request, waiter);
            if upgraded.is_unwritten() {
                send_consumer(&mut upgraded);
                return Ok(());
            }
            if let Machine::Classic(group) = &mut self.machine {
                group.close(ResponseError::RebalanceInProgress);
                send_classic(group);
            }
            self.replace_machine(Machine::Consumer(Box::new(upgraded)));
            return Ok(());
        }
        if let Some(group) = self.consumer() {
            group.heartbeat(&around.consumer, &around.topics, now(), request, waiter);
        }
        Ok(())
    }

    /// Another machine takes over. What the one before wanted to be stored has no meaning any more: the first change of the new one
    /// replaces all that is stored of the group.
    fn replace_machine(&mut self, machine: Machine) {
        self.machine = machine;
        self.changed = true;
        self.unstored = Unstored::Nothing;
        self.incarnation += 1;
    }

    /// The machine if the group is a consumer group.
    pub(super) fn consumer(&mut self) -> Option<&mut ConsumerGroup<ConsumerWaiter>> {
        match &mut self.machine {
            Machine::Consumer(group) => Some(group),
            Machine::Classic(_) => None,
        }
    }

    /// Whether it has no members, and nobody is about to become one.
    pub(super) fn is_idle(&self) -> bool {
        match &self.machine {
            Machine::Classic(group) => group.state() == ClassicState::Empty && group.next_timeout().is_none(),
            Machine::Consumer(group) => group.state() == ConsumerGroupState::Empty && group.undurable().is_none(),
        }
    }

    /// # Errors
    /// NON_EMPTY_GROUP (68), GROUP_ID_NOT_FOUND (69).
    pub(super) fn check_delete(&self) -> Result<(), ResponseError> {
        match &self.machine {
            _ if self.closed => Err(ResponseError::GroupIdNotFound),
            Machine::Classic(group) => group.check_delete(),
            Machine::Consumer(group) => group.check_delete(),
        }
    }

    pub(super) fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.machine {
            Machine::Classic(group) => group.is_subscribed_to(topic),
            Machine::Consumer(group) => group.is_subscribed_to(topic),
        }
    }

    pub(super) fn handle_timeout(&mut self, around: &Surroundings) {
        self.changed = true;
        match &mut self.machine {
            Machine::Classic(group) => group.handle_timeout(&around.classic, now()),
            Machine::Consumer(group) => group.handle_timeout(&around.consumer, &around.topics, now()),
        }
    }

    /// Ends the group: all that waits is answered with `error`, and what comes later too.
    pub(super) fn close(&mut self, error: ResponseError) {
        self.closed = true;
        self.unstored = Unstored::Nothing;
        match &mut self.machine {
            Machine::Classic(group) => group.close(error),
            Machine::Consumer(group) => group.close(error),
        }
    }

    /// Sends what the machine answers, and gathers what it wants to be stored. To be called after each input.
    pub(super) fn poll(&mut self) {
        match &mut self.machine {
            Machine::Classic(group) => {
                send_classic(group);
                while let Some(persist) = group.poll_persist() {
                    self.unstored = Unstored::Classic(persist);
                }
            }
            Machine::Consumer(group) => {
                send_consumer(group);
                while let Some(persist) = group.poll_persist() {
                    self.unstored = match std::mem::replace(&mut self.unstored, Unstored::Nothing) {
                        Unstored::Consumer(_, mut change) => {
                            change.append(persist.change);
                            Unstored::Consumer(persist.token, change)
                        }
                        _ => Unstored::Consumer(persist.token, persist.change),
                    };
                }
            }
        }
        if self.closed {
            self.unstored = Unstored::Nothing;
        }
        let empty = match &self.machine {
            Machine::Classic(group) => group.state() == ClassicState::Empty,
            Machine::Consumer(group) => group.state() == ConsumerGroupState::Empty,
        };
        match empty {
            true => self.empty_since_ms = self.empty_since_ms.or_else(|| Some(now_ms())),
            false => self.empty_since_ms = None,
        }
    }

    /// Counts its size anew; what it was before and what it is.
    pub(super) fn recount(&mut self) -> (usize, usize) {
        self.changed = false;
        let size_bytes = match &self.machine {
            Machine::Classic(group) => group.size_bytes(),
            Machine::Consumer(group) => group.size_bytes(),
        };
        (std::mem::replace(&mut self.size_bytes, size_bytes), size_bytes)
    }

    /// Whether something waits to be stored.
    pub(super) fn is_unstored(&self) -> bool {
        !matches!(self.unstored, Unstored::Nothing)
    }

    /// Takes what waits to be stored.
    pub(super) fn take_unstored(&mut self, topics: &Topics) -> Option<Storing> {
        let classic = |group| to_records(group).map(|(record, members)| GroupChange::Replace(record, members));
        let (token, change) = match std::mem::replace(&mut self.unstored, Unstored::Nothing) {
            Unstored::Nothing => return None,
            Unstored::Classic(persist) => (persist.token, classic(&persist.group)),
            Unstored::Consumer(token, mut change) => match change.downgrade.take() {
                Some(image) => {
                    let stored = classic(&stored_of(&image));
                    self.downgrade = Some(image);
                    (token, stored)
                }
                None => (token, to_change(&change, topics)),
            },
        };
        Some(Storing {
            incarnation: self.incarnation,
            token,
            change: Some(change),
        })
    }

    /// What was taken to be stored is durable, or surely or perhaps is not. `false`: the group is of no use any more and is to be read anew.
    pub(super) fn persisted(&mut self, around: &Surroundings, storing: &Storing, outcome: Result<(), ResponseError>) -> bool {
        if storing.incarnation != self.incarnation {
            return true;
        }
        let usable = match (&mut self.machine, outcome) {
            (Machine::Classic(group), outcome) => {
                group.persisted(&around.classic, now(), storing.token, outcome);
                true
            }
            (Machine::Consumer(group), Ok(())) => {
                group.persisted(storing.token);
                send_consumer(group);
                if let Some(image) = self.downgrade.take() {
                    self.become_classic(around, &image);
                }
                true
            }
            (Machine::Consumer(_), Err(_)) => false,
        };
        self.stored.notify_waiters();
        usable
    }

    fn become_classic(&mut self, around: &Surroundings, image: &ClassicGroupImage) {
        let mut group = ClassicGroup::restore(&self.id, stored_of(image), now());
        if image.rebalance {
            group.rebalance(&around.classic, now(), "the group changed its protocol");
        }
        self.replace_machine(Machine::Classic(Box::new(group)));
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        match &self.machine {
            _ if self.closed => None,
            Machine::Classic(group) => group.next_timeout(),
            Machine::Consumer(group) => group.next_timeout(),
        }
    }

    /// The description of a consumer group, once all of it is durable; `Err`: not yet.
    pub(super) fn describe_consumer(&self, around: &Surroundings) -> Option<Result<consumer::Description, Arc<Notify>>> {
        let Machine::Consumer(group) = &self.machine else {
            return None;
        };
        if group.is_unwritten() || self.closed {
            return None;
        }
        Some(match group.undurable() {
            None => Ok(group.describe(&around.consumer, &around.topics)),
            Some(_) => Err(self.stored.clone()),
        })
    }
}

fn send_classic(group: &mut ClassicGroup<ClassicWaiter>) {
    while let Some((waiter, reply)) = group.poll_reply() {
        let _ = waiter.send(reply);
    }
}

fn send_consumer(group: &mut ConsumerGroup<ConsumerWaiter>) {
    while let Some((waiter, reply)) = group.poll_reply() {
        let _ = waiter.send(reply);
    }
}
