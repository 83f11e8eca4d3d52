//! The extension's part of shared memory: counters, and the latches of its workers, by which sessions and workers wake each other.

use std::mem::size_of;
use std::sync::atomic::{fence, AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use pgrx::pg_sys;
use pgrx::prelude::*;

/// What all processes of the cluster see. Zero is the initial value of every field.
#[repr(C)]
pub struct Shared {
    /// Counts commits that may have created, dropped or updated an extension.
    pub extension_changes: AtomicU64,
    /// Counts commits that changed topics, segments or configs behind the broker's back.
    pub catalog_changes: AtomicU64,
    /// Whether a transaction with such changes was ever prepared: nobody is told of COMMIT PREPARED, so the broker then looks from
    /// time to time.
    pub changes_prepared: AtomicBool,
    /// How the broker's connection to its database went.
    pub connection: Connection,
    /// The broker's latch, null while it does not run.
    pub broker: LatchSlot,
    /// The maintenance worker's latch, null while it does not run.
    pub maintenance: LatchSlot,
    /// The flusher's latch, null while it does not run.
    pub flusher: LatchSlot,
    /// Up to where the broker wants the write-ahead log to be flushed.
    pub flush_target: AtomicU64,
    /// Topics whose next segment the broker wants to be made.
    pub wanted_segments: WantedSegments,
}

/// Topics whose next segment the broker wants to be made, written by the broker for the maintenance worker. Those that find no room come
/// when others are done.
#[repr(C)]
pub struct WantedSegments([AtomicI32; WANTED_SEGMENTS]);

const WANTED_SEGMENTS: usize = 64;

impl WantedSegments {
    /// Puts down the numbers of these topics in the place of what was there. They are above 0.
    pub fn set(&self, topics: impl Iterator<Item = i32>) {
        let topics = topics.chain(std::iter::repeat(0));
        for (place, topic) in self.0.iter().zip(topics) {
            place.store(topic, Ordering::Relaxed);
        }
    }

    /// What was put down last.
    pub fn get(&self) -> impl Iterator<Item = i32> + '_ {
        self.0
            .iter()
            .map(|place| place.load(Ordering::Relaxed))
            .filter(|topic| *topic > 0)
    }
}

/// How the broker's connection to its database went, for the processes that come after: one that fails is gone without a word.
#[repr(C)]
pub struct Connection(AtomicU32);

/// A stage of [`Connection`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Nothing is known.
    Unknown = 0,
    /// A process began to connect; if it is gone, it failed.
    Begun = 1,
    /// The last one that tried was connected.
    Connected = 2,
}

impl Connection {
    /// The broker's process begins to connect; returns what was known before.
    pub fn begin(&self) -> Stage {
        stage(self.0.swap(Stage::Begun as u32, Ordering::AcqRel))
    }

    /// Puts down what is known now.
    pub fn set(&self, stage: Stage) {
        self.0.store(stage as u32, Ordering::Release);
    }

    /// What is known.
    pub fn get(&self) -> Stage {
        stage(self.0.load(Ordering::Acquire))
    }
}

fn stage(number: u32) -> Stage {
    [Stage::Unknown, Stage::Begun, Stage::Connected]
        .into_iter()
        .find(|stage| *stage as u32 == number)
        .unwrap_or(Stage::Unknown)
}

/// A worker's latch. The latch of a PGPROC stays valid when its process is gone (it is the next one's then), so that setting it
/// late wakes a stranger for nothing, at worst.
///
/// Who wakes has written something before, and the worker looks for it after it has occupied the slot. The fences between let at
/// least one of them see what the other wrote: without them both could read what was there before, and the worker would sleep on.
#[repr(C)]
pub struct LatchSlot(AtomicPtr<pg_sys::Latch>);

impl LatchSlot {
    /// Makes this process the one to wake. What it looks for after this is there, or it is woken when it is.
    pub fn occupy(&self) {
        // SAFETY: MyProc is set in a process that is attached to shared memory.
        let latch = unsafe { &raw mut (*pg_sys::MyProc).procLatch };
        self.0.store(latch, Ordering::Release);
        fence(Ordering::SeqCst);
    }

    /// Nobody is to be woken any more.
    pub fn vacate(&self) {
        self.0.store(std::ptr::null_mut(), Ordering::Release);
    }

    /// Wakes whoever occupies it. Main thread only.
    pub fn wake(&self) {
        fence(Ordering::SeqCst);
        let latch = self.0.load(Ordering::Acquire);
        if !latch.is_null() {
            // SAFETY: it points to the procLatch of a PGPROC, shared memory that lives as long as the cluster runs and is mapped at
            // the same address in each of its processes, which are forked.
            unsafe { pg_sys::SetLatch(latch) };
        }
    }
}

static SHARED: AtomicPtr<Shared> = AtomicPtr::new(std::ptr::null_mut());

/// The shared part; `None` if the library was not preloaded.
pub fn shared() -> Option<&'static Shared> {
    // SAFETY: set once by `on_startup` to zeroed memory of the right size and alignment; all its fields are atomics.
    unsafe { SHARED.load(Ordering::Acquire).as_ref() }
}

static PREVIOUS: std::sync::OnceLock<(pg_sys::shmem_request_hook_type, pg_sys::shmem_startup_hook_type)> =
    std::sync::OnceLock::new();

/// Asks for the memory, in `_PG_init` of the postmaster.
pub fn install() {
    // SAFETY: the postmaster runs _PG_init alone, before it looks at these hooks; earlier ones are called by ours.
    unsafe {
        PREVIOUS.get_or_init(|| (pg_sys::shmem_request_hook, pg_sys::shmem_startup_hook));
        pg_sys::shmem_request_hook = Some(on_request);
        pg_sys::shmem_startup_hook = Some(on_startup);
    }
}

#[pg_guard]
extern "C-unwind" fn on_request() {
    // SAFETY: the hook is the place where RequestAddinShmemSpace is allowed; the previous hook is called as Postgres would.
    unsafe {
        if let Some((Some(previous), _)) = PREVIOUS.get() {
            previous();
        }
        pg_sys::RequestAddinShmemSpace(size_of::<Shared>());
    }
}

#[pg_guard]
extern "C-unwind" fn on_startup() {
    // SAFETY: the postmaster calls it while no other process exists, so no lock is needed; ShmemInitStruct gives MAXALIGNed memory
    // of the size that was requested, and zeros are valid for every field.
    unsafe {
        if let Some((_, Some(previous))) = PREVIOUS.get() {
            previous();
        }
        let mut found = false;
        let memory = pg_sys::ShmemInitStruct(c"pg_kafka".as_ptr(), size_of::<Shared>(), &mut found) as *mut Shared;
        std::ptr::write_bytes(memory, 0, 1);
        SHARED.store(memory, Ordering::Release);
    }
}
