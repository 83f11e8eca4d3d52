//! The group coordinator: all groups in memory, each a pure machine behind a lock of its own. It makes inputs of requests and of time,
//! and carries out what a machine asks for: answers, and state to be stored before they are given.
//!
//! Nothing awaits while a group is locked. What is stored of a group is queued while it is locked, so that storage sees the changes and
//! commits of one group in the order in which they were decided.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kafka_protocol::ResponseError;
use tokio::sync::watch;

use super::classic::ClassicGroup;
use super::consumer::ConsumerGroup;
use super::group::{Group, Machine, Surroundings};
use super::stored::{consumer_group, from_records, StoredError};
use super::timers::Timers;
use crate::catalog::Catalog;
use crate::clock::now;
use crate::limits;
use crate::settings::Settings;
use crate::storage::groups::{GroupChange, GroupType, StoredGroup};
use crate::storage::{Storage, StorageError};

/// See the module's head. Clones are the same coordinator.
#[derive(Clone)]
pub struct Coordinator {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) storage: Storage,
    pub(super) catalog: Arc<Catalog>,
    settings: watch::Receiver<Arc<Settings>>,
    groups: Mutex<HashMap<Arc<str>, Cell>>,
    /// Whether all groups are read from storage. Before that requests get COORDINATOR_LOAD_IN_PROGRESS (14).
    loaded: AtomicBool,
    timers: Timers,
    /// About how many bytes all groups take in memory.
    size_bytes: AtomicUsize,
}

/// A group with its lock.
type Cell = Arc<Mutex<Group>>;

/// What to do about a group that there is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Make it, as a classic one.
    Create,
    /// Go without.
    Skip,
}

impl Coordinator {
    /// A coordinator without groups; [`Coordinator::run`] reads them.
    pub fn new(storage: Storage, catalog: Arc<Catalog>, settings: watch::Receiver<Arc<Settings>>) -> Self {
        let shared = Shared {
            storage,
            catalog,
            settings,
            groups: Mutex::default(),
            loaded: AtomicBool::new(false),
            timers: Timers::default(),
            size_bytes: AtomicUsize::new(0),
        };
        Coordinator {
            shared: Arc::new(shared),
        }
    }

    /// Reads all groups from storage and then serves their timers, for as long as the broker runs.
    pub async fn run(self) {
        self.load().await;
        tokio::spawn(self.clone().expire_regularly());
        loop {
            let group_id = self.shared.timers.next().await;
            let around = self.surroundings();
            let _ = self.with_group(&group_id, Missing::Skip, |group| {
                group.registered = None;
                group.handle_timeout(&around);
            });
        }
    }

    async fn load(&self) {
        if let Some(stored) = self.read_stored(None).await {
            for group in &stored {
                let cell = self.restored(group);
                self.groups().insert(group.group_id.as_str().into(), cell.clone());
                self.settle(&cell, &mut lock(&cell));
            }
            self.shared.loaded.store(true, Ordering::Release);
        }
    }

    /// All groups of storage, or one. Tried until it succeeds; `None`: the broker stops.
    async fn read_stored(&self, group_id: Option<String>) -> Option<Vec<StoredGroup>> {
        loop {
            let deadline = now() + limits::GROUP_STORAGE_PATIENCE;
            match self.shared.storage.load_groups(group_id.clone(), deadline).await {
                Ok(stored) => return Some(stored),
                Err(StorageError::Unavailable) => return None,
                Err(error) => {
                    tracing::warn!(%error, "consumer groups cannot be read yet");
                    tokio::time::sleep(limits::GROUP_RETRY_PAUSE).await;
                }
            }
        }
    }

    /// A group as it is stored.
    fn restored(&self, stored: &StoredGroup) -> Cell {
        let id: Arc<str> = stored.group_id.as_str().into();
        let machine = self.machine_of(stored).unwrap_or_else(|error| {
            tracing::error!(group = %id, %error, "a stored consumer group is damaged; its members have to join again");
            Machine::Classic(Box::new(ClassicGroup::new(&id)))
        });
        let mut group = Group::new(id, machine);
        if stored.group.is_some() && group.is_idle() {
            group.empty_since_ms = Some(stored.changed_at_ms);
        }
        Arc::new(Mutex::new(group))
    }

    fn machine_of(&self, stored: &StoredGroup) -> Result<Machine, StoredError> {
        let id = &stored.group_id;
        let Some(record) = &stored.group else {
            return Ok(Machine::Classic(Box::new(ClassicGroup::new(id))));
        };
        let around = self.surroundings();
        Ok(match record.group_type {
            GroupType::Classic => {
                let mut group = ClassicGroup::restore(id, from_records(record, &stored.members)?, now());
                group.shrink(&around.classic, now());
                Machine::Classic(Box::new(group))
            }
            GroupType::Consumer => {
                let stored = consumer_group(record, &stored.members)?;
                let group = ConsumerGroup::restore(id, stored, &around.consumer, &around.topics, now());
                Machine::Consumer(Box::new(group))
            }
        })
    }

    fn groups(&self) -> MutexGuard<'_, HashMap<Arc<str>, Cell>> {
        lock(&self.shared.groups)
    }

    /// The settings of the broker now.
    pub(super) fn settings(&self) -> Arc<Settings> {
        self.shared.settings.borrow().clone()
    }

    /// Settings and topics as the machines look at them.
    pub(super) fn surroundings(&self) -> Surroundings {
        Surroundings::new(&self.settings(), self.shared.catalog.topics())
    }

    /// Gives `input` the group, locked, and then carries out what the machine asks for. `Ok(None)`: there is no such group.
    ///
    /// # Errors
    /// COORDINATOR_LOAD_IN_PROGRESS (14) at start; COORDINATOR_NOT_AVAILABLE (15) where there are too many groups for a new one.
    pub(super) fn with_group<T>(
        &self,
        group_id: &str,
        missing: Missing,
        input: impl FnOnce(&mut Group) -> T,
    ) -> Result<Option<T>, ResponseError> {
        if !self.shared.loaded.load(Ordering::Acquire) {
            return Err(ResponseError::CoordinatorLoadInProgress);
        }
        loop {
            let Some(found) = self.find(group_id, missing)? else {
                return Ok(None);
            };
            let mut group = lock(&found);
            if !group.removed {
                let answer = input(&mut group);
                self.settle(&found, &mut group);
                return Ok(Some(answer));
            }
        }
    }

    fn find(&self, group_id: &str, missing: Missing) -> Result<Option<Cell>, ResponseError> {
        let mut groups = self.groups();
        if let Some(group) = groups.get(group_id) {
            return Ok(Some(group.clone()));
        }
        if missing == Missing::Skip {
            return Ok(None);
        }
        if groups.len() >= limits::GROUPS {
            return Err(ResponseError::CoordinatorNotAvailable);
        }
        let id: Arc<str> = group_id.into();
        let machine = Machine::Classic(Box::new(ClassicGroup::new(group_id)));
        let group = Arc::new(Mutex::new(Group::new(id.clone(), machine)));
        groups.insert(id, group.clone());
        Ok(Some(group))
    }

    /// About how many bytes all groups take in memory, as of when their members last changed.
    pub fn size_bytes(&self) -> usize {
        self.shared.size_bytes.load(Ordering::Relaxed)
    }

    /// Whether there is room for a member.
    ///
    /// # Errors
    /// COORDINATOR_NOT_AVAILABLE (15): all groups together take too much memory.
    pub(super) fn check_room(&self) -> Result<(), ResponseError> {
        match self.size_bytes() < limits::GROUPS_BYTES {
            true => Ok(()),
            false => Err(ResponseError::CoordinatorNotAvailable),
        }
    }

    /// Carries out what the machine asks for after an input.
    fn settle(&self, cell: &Cell, group: &mut Group) {
        group.poll();
        if group.changed && !group.removed {
            let (before, size_bytes) = group.recount();
            self.shared.size_bytes.fetch_add(size_bytes, Ordering::Relaxed);
            self.shared.size_bytes.fetch_sub(before, Ordering::Relaxed);
        }
        if !group.storing && group.is_unstored() {
            group.storing = true;
            tokio::spawn(self.clone().store(cell.clone()));
        }
        if let Some(at) = group.next_timeout() {
            if group.registered.is_none_or(|registered| at < registered) {
                self.shared.timers.register(&group.id, group.registered, at);
                group.registered = Some(at);
            }
        }
    }

    /// Stores what waits to be stored of a group, one change after the other.
    async fn store(self, cell: Cell) {
        loop {
            let (id, storing, written) = {
                let mut group = lock(&cell);
                let Some(mut storing) = group.take_unstored(&self.shared.catalog.topics()) else {
                    group.storing = false;
                    return;
                };
                let written = storing.change.take().and_then(|change| self.write(&group.id, change));
                (group.id.clone(), storing, written)
            };
            let outcome = match written {
                Some(written) => in_time(written).await,
                None => Err(ResponseError::UnknownServerError),
            };
            let around = self.surroundings();
            let usable = {
                let mut group = lock(&cell);
                let usable = group.persisted(&around, &storing, outcome) || group.closed;
                if !usable {
                    group.close(ResponseError::CoordinatorNotAvailable);
                }
                self.settle(&cell, &mut group);
                usable
            };
            if !usable {
                tracing::warn!(group = %id, "a consumer group was not stored in time; it goes on from what is stored");
                self.reload(&id).await;
            }
        }
    }

    /// Queues a change of a group; `None` if it cannot be written down.
    fn write(
        &self,
        group_id: &str,
        change: Result<GroupChange, StoredError>,
    ) -> Option<impl Future<Output = Result<(), StorageError>> + Send + 'static> {
        let deadline = now() + limits::GROUP_STORAGE_PATIENCE;
        match change {
            Ok(change) => Some(self.shared.storage.write_group(group_id, change, deadline)),
            Err(error) => {
                tracing::error!(group = group_id, %error, "a consumer group cannot be written down");
                None
            }
        }
    }

    /// The ids of all groups.
    ///
    /// # Errors
    /// Those of the coordinator.
    pub fn group_ids(&self) -> Result<Vec<Arc<str>>, ResponseError> {
        if !self.shared.loaded.load(Ordering::Acquire) {
            return Err(ResponseError::CoordinatorLoadInProgress);
        }
        let mut ids: Vec<_> = self.groups().keys().cloned().collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// Deletes a group with its committed offsets.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND (69), NON_EMPTY_GROUP (68), those of the coordinator.
    pub async fn delete(&self, group_id: &str) -> Result<(), ResponseError> {
        let begun = self.with_group(group_id, Missing::Skip, |group| {
            group.check_delete()?;
            Ok(self.close_and_delete(group, GroupChange::Delete))
        })?;
        begun.ok_or(ResponseError::GroupIdNotFound)??.await
    }

    /// Ends the group in memory and queues this deletion; the future ends when that is durable, or has the group back as it is stored.
    pub(super) fn close_and_delete(
        &self,
        group: &mut Group,
        deletion: GroupChange,
    ) -> impl Future<Output = Result<(), ResponseError>> + Send + 'static {
        group.close(ResponseError::CoordinatorNotAvailable);
        let deadline = now() + limits::GROUP_STORAGE_PATIENCE;
        let deleted = self.shared.storage.write_group(&group.id, deletion, deadline);
        let (coordinator, id) = (self.clone(), group.id.clone());
        // In a task of its own: a client that does not wait for the answer leaves no closed group behind.
        let task = tokio::spawn(async move {
            let outcome = in_time(deleted).await;
            coordinator.reload(&id).await;
            outcome
        });
        async { task.await.unwrap_or(Err(ResponseError::CoordinatorNotAvailable)) }
    }

    /// Puts a group as it is stored, or none, in place of one that is closed.
    async fn reload(&self, group_id: &Arc<str>) {
        let Some(stored) = self.read_stored(Some(group_id.to_string())).await else {
            return;
        };
        let restored = stored.first().map(|group| self.restored(group));
        let old = {
            let mut groups = self.groups();
            match &restored {
                Some(cell) => groups.insert(group_id.clone(), cell.clone()),
                None => groups.remove(group_id),
            }
        };
        if let Some(old) = old {
            let mut old = lock(&old);
            old.removed = true;
            self.shared.size_bytes.fetch_sub(old.size_bytes, Ordering::Relaxed);
        }
        if let Some(cell) = restored {
            self.settle(&cell, &mut lock(&cell));
        }
    }
}

/// What storage answers, unless it takes so long that the client should ask again: a standby that has to confirm may be missing.
pub(super) async fn in_time<T>(reply: impl Future<Output = Result<T, StorageError>>) -> Result<T, ResponseError> {
    match tokio::time::timeout(limits::GROUP_CONFIRMATION_PATIENCE, reply).await {
        Ok(reply) => reply.map_err(|error| coordinator_error(&error)),
        Err(_) => Err(ResponseError::CoordinatorNotAvailable),
    }
}

/// What clients are told when storage fails (Kafka `CoordinatorRuntime` and `GroupCoordinatorService.handleOperationException`): to try
/// again, or to look for the coordinator again.
fn coordinator_error(error: &StorageError) -> ResponseError {
    match error {
        StorageError::DiskFull | StorageError::Engine(_) => ResponseError::NotCoordinator,
        _ => ResponseError::CoordinatorNotAvailable,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
