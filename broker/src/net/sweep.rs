//! Closes connections that are idle, stalled, or in the way of others while a byte budget is exhausted.

use std::sync::Arc;
use std::time::Duration;

use super::budget::Budget;
use super::close::CloseReason;
use super::connections::Entry;
use super::{Protocol, Service};
use crate::limits;
use crate::settings::Settings;

/// The part of a budget that one sweep frees at most, if the first victim's is not more: others get their chance to move on.
const FREED_PER_SWEEP: usize = 8;

/// Looks at all connections again and again; ends when it is dropped.
pub(super) async fn run<P: Protocol>(service: Service<P>) {
    loop {
        tokio::time::sleep(interval(&service.settings())).await;
        sweep(&service);
    }
}

fn interval(settings: &Settings) -> Duration {
    (stall_limit(settings) / 4).clamp(Duration::from_millis(10), limits::SWEEP_INTERVAL)
}

fn stall_limit(settings: &Settings) -> Duration {
    settings.connections_max_idle.min(limits::STALL_UNDER_PRESSURE)
}

fn sweep<P: Protocol>(service: &Service<P>) {
    let settings = service.settings();
    let entries = service.connections().entries();
    for entry in &entries {
        if let Some(reason) = entry.overdue(settings.connections_max_idle) {
            entry.close(reason);
        }
    }
    let limit = stall_limit(&settings);
    let frames = stalled(&entries, limit, Entry::frame_stalled_for);
    relieve(service.frames().budget(), frames, Entry::held, || CloseReason::FramePressure);
    let replies = stalled(&entries, limit, Entry::reply_stalled_for);
    relieve(service.replies(), replies, Entry::unsent, || CloseReason::ReplyPressure);
}

/// The connections that have stalled for `limit`, longest first.
fn stalled(entries: &[Arc<Entry>], limit: Duration, stalled_for: impl Fn(&Entry) -> Option<Duration>) -> Vec<&Entry> {
    let mut stalled: Vec<_> = entries
        .iter()
        .filter_map(|entry| Some((stalled_for(entry)?, entry.as_ref())))
        .filter(|(duration, _)| *duration >= limit)
        .collect();
    stalled.sort_unstable_by_key(|(duration, _)| std::cmp::Reverse(*duration));
    stalled.into_iter().map(|(_, entry)| entry).collect()
}

/// If somebody waits for `budget`, closes the first of `stalled` until a part of it is free.
fn relieve(budget: &Budget, stalled: Vec<&Entry>, held: impl Fn(&Entry) -> usize, reason: impl Fn() -> CloseReason) {
    if budget.waiting() == 0 {
        return;
    }
    let mut freed = 0;
    for entry in stalled {
        if freed > budget.total() / FREED_PER_SWEEP {
            break;
        }
        freed += held(entry);
        entry.close(reason());
    }
}
