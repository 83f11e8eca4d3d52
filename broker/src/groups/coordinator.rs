//! The group coordinator: all groups in memory, each a pure machine behind a lock of its own. It makes inputs of requests and of time,
//! and carries out what a machine asks for: answers, and state to be stored before they are given.
//!
//! Nothing awaits while a group is locked. What is stored of a group is queued while it is locked, so that storage sees the changes and
//! commits of one group in the order in which they were decided.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use kafka_protocol::ResponseError;
use tokio::sync::{oneshot, watch};

use super::classic::{
    ClassicDescription, ClassicGroup, ClassicSettings, ClassicState, JoinRequest, LeaveOutcome, LeavingMember, MemberRef,
    Persist, Reply, SyncRequest,
};
use super::stored::{from_records, to_records};
use super::timers::Timers;
use crate::catalog::Catalog;
use crate::clock::now_ms;
use crate::limits;
use crate::settings::Settings;
use crate::storage::groups::{GroupChange, GroupType, StoredGroup};
use crate::storage::{Storage, StorageError};

/// Where the answer to a parked request goes.
pub(super) type Waiter = oneshot::Sender<Reply>;

/// See the module's head. Clones are the same coordinator.
#[derive(Clone)]
pub struct Coordinator {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) storage: Storage,
    pub(super) catalog: Arc<Catalog>,
    settings: watch::Receiver<Arc<Settings>>,
    groups: Mutex<HashMap<Arc<str>, Arc<Mutex<Group>>>>,
    /// Whether all groups are read from storage. Before that requests get COORDINATOR_LOAD_IN_PROGRESS (14).
    loaded: AtomicBool,
    timers: Timers,
}

/// One group.
pub(super) struct Group {
    pub(super) machine: ClassicGroup<Waiter>,
    id: Arc<str>,
    /// States to be stored, in order.
    unstored: VecDeque<Persist>,
    /// Whether a task is storing them.
    storing: bool,
    /// The time that it is registered for with the timers.
    registered: Option<Instant>,
    /// Since when it is Empty, milliseconds since 1970.
    pub(super) empty_since_ms: Option<i64>,
    /// Out of the coordinator's map: whoever still has it looks for the group anew.
    removed: bool,
}

/// What to do about a group that there is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Make it.
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
        };
        Coordinator {
            shared: Arc::new(shared),
        }
    }

    /// Reads all groups from storage and then serves their timers, for as long as the broker runs.
    pub async fn run(self) {
        self.load().await;
        let expiry = tokio::spawn(self.clone().expire_regularly());
        loop {
            let group_id = self.shared.timers.next().await;
            let settings = self.classic_settings();
            let _ = self.with_group(&group_id, Missing::Skip, |group| {
                group.registered = None;
                group.machine.handle_timeout(&settings, now());
            });
            if expiry.is_finished() {
                return;
            }
        }
    }

    async fn load(&self) {
        loop {
            match self
                .shared
                .storage
                .load_groups(None, now() + limits::GROUP_STORAGE_PATIENCE)
                .await
            {
                Ok(stored) => {
                    stored.into_iter().for_each(|group| self.restore(&group));
                    self.shared.loaded.store(true, Ordering::Release);
                    return;
                }
                Err(StorageError::Unavailable) => return,
                Err(error) => {
                    tracing::warn!(%error, "consumer groups cannot be read yet");
                    tokio::time::sleep(limits::GROUP_RETRY_PAUSE).await;
                }
            }
        }
    }

    /// Takes over a group as it is stored, unless it is there.
    fn restore(&self, stored: &StoredGroup) {
        let id: Arc<str> = stored.group_id.as_str().into();
        let machine = match &stored.group {
            None => ClassicGroup::new(&id),
            Some(record) if record.group_type == GroupType::Classic => match from_records(record, &stored.members) {
                Ok(group) => {
                    let mut machine = ClassicGroup::restore(&id, group, now());
                    machine.shrink(&self.classic_settings(), now());
                    machine
                }
                Err(error) => {
                    tracing::error!(group = %id, %error, "a stored consumer group is damaged; its members have to join again");
                    ClassicGroup::new(&id)
                }
            },
            Some(_) => ClassicGroup::new(&id),
        };
        let empty = machine.state() == ClassicState::Empty;
        let group = Group {
            empty_since_ms: (empty && stored.group.is_some()).then_some(stored.changed_at_ms),
            ..Group::new(id.clone(), machine)
        };
        let group = Arc::new(Mutex::new(group));
        self.groups().entry(id).or_insert_with(|| group.clone());
        self.settle(&group, &mut lock(&group));
    }

    fn groups(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Mutex<Group>>>> {
        lock(&self.shared.groups)
    }

    /// The settings of the broker now.
    pub(super) fn settings(&self) -> Arc<Settings> {
        self.shared.settings.borrow().clone()
    }

    fn classic_settings(&self) -> ClassicSettings {
        let settings = self.settings();
        ClassicSettings {
            initial_rebalance_delay: settings.group_initial_rebalance_delay,
            min_session_timeout: settings.group_min_session_timeout,
            max_session_timeout: settings.group_max_session_timeout,
            max_size: settings.group_max_size,
        }
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

    fn find(&self, group_id: &str, missing: Missing) -> Result<Option<Arc<Mutex<Group>>>, ResponseError> {
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
        let group = Arc::new(Mutex::new(Group::new(id.clone(), ClassicGroup::new(group_id))));
        groups.insert(id, group.clone());
        Ok(Some(group))
    }

    /// Carries out what the machine asks for after an input.
    fn settle(&self, cell: &Arc<Mutex<Group>>, group: &mut Group) {
        while let Some((waiter, reply)) = group.machine.poll_reply() {
            let _ = waiter.send(reply);
        }
        while let Some(persist) = group.machine.poll_persist() {
            group.unstored.push_back(persist);
        }
        if !group.storing && !group.unstored.is_empty() {
            group.storing = true;
            tokio::spawn(self.clone().store(cell.clone()));
        }
        match (group.machine.state(), group.empty_since_ms) {
            (ClassicState::Empty, None) => group.empty_since_ms = Some(now_ms()),
            (ClassicState::Empty, Some(_)) | (_, None) => {}
            (_, Some(_)) => group.empty_since_ms = None,
        }
        if let Some(at) = group.machine.next_timeout() {
            if group.registered.is_none_or(|registered| at < registered) {
                self.shared.timers.register(&group.id, group.registered, at);
                group.registered = Some(at);
            }
        }
    }

    /// Stores what waits to be stored of a group, one state after the other. Of several that wait only the last counts.
    async fn store(self, cell: Arc<Mutex<Group>>) {
        loop {
            let (token, written) = {
                let mut group = lock(&cell);
                let Some(persist) = group.unstored.pop_back() else {
                    group.storing = false;
                    return;
                };
                group.unstored.clear();
                (persist.token, self.write(&group.id, &persist))
            };
            let outcome = match written {
                Some(written) => written.await,
                None => Err(StorageError::Unavailable),
            };
            let outcome = outcome.map_err(|error| coordinator_error(&error));
            let settings = self.classic_settings();
            let mut group = lock(&cell);
            group.machine.persisted(&settings, now(), token, outcome);
            self.settle(&cell, &mut group);
        }
    }

    /// `None` if the state cannot be written down.
    fn write(
        &self,
        group_id: &str,
        persist: &Persist,
    ) -> Option<impl std::future::Future<Output = Result<(), StorageError>> + Send + 'static> {
        match to_records(&persist.group) {
            Ok((record, members)) => {
                let change = GroupChange::Replace(record, members);
                let deadline = now() + limits::GROUP_STORAGE_PATIENCE;
                Some(self.shared.storage.write_group(group_id, change, deadline))
            }
            Err(error) => {
                tracing::error!(group = group_id, %error, "a consumer group cannot be stored");
                None
            }
        }
    }

    /// JoinGroup.
    ///
    /// # Errors
    /// Those of the coordinator; the group's own are in the answer.
    pub async fn join(&self, group_id: &str, request: JoinRequest) -> Result<Reply, ResponseError> {
        let missing = match request.member_id.is_empty() {
            true => Missing::Create,
            false => Missing::Skip,
        };
        let settings = self.classic_settings();
        self.park(group_id, missing, |group, waiter| {
            group.machine.join(&settings, now(), request, waiter)
        })
        .await
    }

    /// SyncGroup.
    ///
    /// # Errors
    /// Those of the coordinator, and UNKNOWN_MEMBER_ID (25) if there is no such group.
    pub async fn sync(&self, group_id: &str, request: SyncRequest) -> Result<Reply, ResponseError> {
        self.park(group_id, Missing::Skip, |group, waiter| group.machine.sync(request, waiter))
            .await
    }

    /// Gives `input` the group and where its answer goes, and waits for that.
    async fn park(
        &self,
        group_id: &str,
        missing: Missing,
        input: impl FnOnce(&mut Group, Waiter),
    ) -> Result<Reply, ResponseError> {
        let (waiter, reply) = oneshot::channel();
        self.with_group(group_id, missing, |group| input(group, waiter))?
            .ok_or(ResponseError::UnknownMemberId)?;
        reply.await.map_err(|_| ResponseError::CoordinatorNotAvailable)
    }

    /// Heartbeat.
    ///
    /// # Errors
    /// The group's, and UNKNOWN_MEMBER_ID (25) if there is no such group.
    pub fn heartbeat(&self, group_id: &str, member: &MemberRef) -> Result<(), ResponseError> {
        self.with_group(group_id, Missing::Skip, |group| group.machine.heartbeat(now(), member))?
            .ok_or(ResponseError::UnknownMemberId)?
    }

    /// LeaveGroup.
    ///
    /// # Errors
    /// As [`Coordinator::heartbeat`].
    pub fn leave(&self, group_id: &str, members: Vec<LeavingMember>) -> Result<Vec<LeaveOutcome>, ResponseError> {
        let settings = self.classic_settings();
        self.with_group(group_id, Missing::Skip, |group| {
            group.machine.leave(&settings, now(), members)
        })?
        .ok_or(ResponseError::UnknownMemberId)?
    }

    /// What is to be shown of a group; `None`: there is none.
    ///
    /// # Errors
    /// Those of the coordinator.
    pub fn describe(&self, group_id: &str) -> Result<Option<ClassicDescription>, ResponseError> {
        self.with_group(group_id, Missing::Skip, |group| group.machine.describe())
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
            group.machine.check_delete()?;
            Ok(self.close_and_delete(group))
        })?;
        begun.ok_or(ResponseError::GroupIdNotFound)??.await
    }

    /// Ends the group in memory and queues its deletion; the future ends when that is durable, or has the group back as it is stored.
    pub(super) fn close_and_delete(
        &self,
        group: &mut Group,
    ) -> impl std::future::Future<Output = Result<(), ResponseError>> + Send + 'static {
        group.machine.close(ResponseError::CoordinatorNotAvailable);
        group.unstored.clear();
        let deadline = now() + limits::GROUP_STORAGE_PATIENCE;
        let deleted = self.shared.storage.write_group(&group.id, GroupChange::Delete, deadline);
        let (coordinator, id) = (self.clone(), group.id.clone());
        async move {
            let outcome = deleted.await;
            coordinator.forget(&id);
            if let Err(error) = outcome {
                coordinator.reload(&id).await;
                return Err(coordinator_error(&error));
            }
            Ok(())
        }
    }

    /// Takes a group that is closed out of memory.
    fn forget(&self, group_id: &Arc<str>) {
        let cell = self.groups().remove(group_id);
        if let Some(cell) = cell {
            lock(&cell).removed = true;
        }
    }

    /// Reads a group from storage that is not in memory.
    async fn reload(&self, group_id: &Arc<str>) {
        let deadline = now() + limits::GROUP_STORAGE_PATIENCE;
        match self.shared.storage.load_groups(Some(group_id.to_string()), deadline).await {
            Ok(stored) => stored.iter().for_each(|group| self.restore(group)),
            Err(error) => {
                tracing::error!(group = %group_id, %error, "a consumer group cannot be read; it is there again after a restart")
            }
        }
    }
}

impl Group {
    fn new(id: Arc<str>, machine: ClassicGroup<Waiter>) -> Self {
        Group {
            machine,
            id,
            unstored: VecDeque::new(),
            storing: false,
            registered: None,
            empty_since_ms: None,
            removed: false,
        }
    }
}

/// What clients are told when storage fails (Kafka `CoordinatorRuntime` and `GroupCoordinatorService.handleOperationException`): to try
/// again, or to look for the coordinator again.
pub(super) fn coordinator_error(error: &StorageError) -> ResponseError {
    match error {
        StorageError::DiskFull | StorageError::Engine(_) => ResponseError::NotCoordinator,
        _ => ResponseError::CoordinatorNotAvailable,
    }
}

/// The clock of the runtime, which tests can stop.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
