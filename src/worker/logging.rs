//! `tracing` into the server log. Other threads may not call Postgres, so events become lines in a bounded queue, which the main
//! thread writes out.

use std::collections::VecDeque;
use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use broker::log_rate::LogRate;
use pgrx::pg_sys::elog::PgLogLevel;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

use crate::ffi::process::log_min_messages;
use crate::ffi::report;
use crate::ffi::wait::Waker;

/// Lines that may wait; further ones are counted and dropped.
const QUEUED_LINES: usize = 1024;
/// Warnings and errors of one place in the code that are written per [`broker::limits::LOG_INTERVAL`]; further ones are counted in the next.
const LINES_PER_PLACE: u64 = 10;
/// Bytes of one line; what is longer is cut.
const LINE_BYTES: usize = 4096;

#[derive(Default)]
struct Queue {
    lines: VecDeque<(Level, String)>,
    dropped: usize,
}

/// The subscriber, and the queue that the main thread drains.
pub struct Log {
    queue: Mutex<Queue>,
    /// `log_min_messages`, which only the main thread can read.
    min_level: AtomicI32,
    rate: LogRate<Identifier>,
    waker: Arc<Waker>,
}

/// The end of it on the main thread.
pub struct LogDrain(Arc<Log>);

struct Handle(Arc<Log>);

impl LogDrain {
    /// Takes over all `tracing` of this process.
    pub fn install(waker: Arc<Waker>) -> Self {
        let log = Arc::new(Log {
            queue: Mutex::default(),
            min_level: AtomicI32::new(log_min_messages()),
            rate: LogRate::new(LINES_PER_PLACE),
            waker,
        });
        // It can only fail if there is a subscriber already, which then goes on.
        let _ = tracing::subscriber::set_global_default(Handle(log.clone()));
        LogDrain(log)
    }

    /// The same queue for the exit callback.
    pub fn share(&self) -> LogDrain {
        LogDrain(self.0.clone())
    }

    /// Takes over a changed `log_min_messages`.
    pub fn reload(&self) {
        self.0.min_level.store(log_min_messages(), Ordering::Relaxed);
    }

    /// Writes what waits to the server log.
    pub fn drain(&self) {
        let Queue { lines, dropped } = std::mem::take(&mut *self.0.queue.lock().unwrap_or_else(PoisonError::into_inner));
        for (level, line) in lines {
            report::write(postgres_level(level), format_args!("pg_kafka: {line}"));
        }
        if dropped > 0 {
            report::warning(format_args!(
                "pg_kafka: {dropped} messages were dropped because more came than could be written"
            ));
        }
    }
}

/// An error of ours ends no transaction, so it is a WARNING.
fn postgres_level(level: Level) -> PgLogLevel {
    match level {
        Level::ERROR | Level::WARN => PgLogLevel::WARNING,
        Level::INFO => PgLogLevel::LOG,
        Level::DEBUG => PgLogLevel::DEBUG1,
        Level::TRACE => PgLogLevel::DEBUG2,
    }
}

impl Subscriber for Handle {
    /// The answer is kept for each place in the code, so what a reload may change is asked again each time.
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        let ours = metadata.target().starts_with("broker") || metadata.target().starts_with("pg_kafka");
        // LOG is written whatever log_min_messages says, below PANIC.
        if *metadata.level() <= Level::INFO {
            Interest::always()
        } else if ours {
            Interest::sometimes()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let level = *metadata.level();
        level <= Level::INFO || postgres_level(level) as i32 >= self.0.min_level.load(Ordering::Relaxed)
    }

    fn event(&self, event: &Event<'_>) {
        let level = *event.metadata().level();
        // What clients can cause is a warning; what is said of each connection was asked for by the operator.
        let suppressed = match level {
            Level::ERROR | Level::WARN => self.0.rate.admit(event.metadata().callsite()),
            _ => Some(0),
        };
        let Some(suppressed) = suppressed else { return };
        let mut line = Line::default();
        event.record(&mut line);
        if suppressed > 0 {
            // Writing to a String does not fail.
            let _ = write!(line.fields, " ({suppressed} more like this were not written)");
        }
        let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.lines.len() < QUEUED_LINES {
            queue.lines.push_back((level, line.finish()));
        } else {
            queue.dropped += 1;
        }
        drop(queue);
        self.0.waker.wake();
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

/// The message, then the fields as `name=value`.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Line {
    fn finish(self) -> String {
        let mut line = self.message + &self.fields;
        if line.len() > LINE_BYTES {
            let cut = (0..=LINE_BYTES).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
            line.truncate(cut);
            line.push_str("...");
        }
        line
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a String does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message.push_str(value),
            name => self.fields.extend([" ", name, "=", value]),
        }
    }
}
