//! Waiting until a Fetch has something to answer with. All its partitions are looked at when it comes, and once more when it has to wait;
//! from then on they count what arrives for it, and it wakes once.

use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::ResponseError;

use super::session::Cached;
use super::wanted::Wanted;
use super::{Refusal, Request};
use crate::log::epochs::check_epoch;
use crate::log::partition::Outlook;
use crate::log::waiters::Waiter;

/// The partitions of a Fetch.
pub enum Partitions {
    /// Those that the request names.
    Named {
        /// In its order.
        wanted: Vec<Wanted>,
        /// If its answer may begin a session: the version of the topics in which they were looked up.
        new_session: Option<u64>,
    },
    /// Those of its session.
    OfSession(Request),
}

/// For how long and for how many bytes a Fetch waits.
pub struct Patience {
    /// How long at most; nothing is waited for if it is 0.
    pub max_wait: Duration,
    /// For so many bytes; nothing is waited for if it is 0.
    pub min_bytes: usize,
}

/// Whether what is wanted can be read.
///
/// # Errors
/// The one of the leader epoch; UNKNOWN_TOPIC_OR_PARTITION (3) of a deleted topic; OFFSET_OUT_OF_RANGE (1).
pub fn check(wanted: &Wanted, outlook: &Outlook, leader_epoch: i32) -> Result<(), ResponseError> {
    check_epoch(wanted.current_leader_epoch, leader_epoch)?;
    if outlook.is_deleted {
        return Err(ResponseError::UnknownTopicOrPartition);
    }
    let bounds = &outlook.bounds;
    if wanted.fetch_offset < bounds.log_start_offset || wanted.fetch_offset > bounds.high_watermark {
        return Err(ResponseError::OffsetOutOfRange);
    }
    Ok(())
}

/// What a look at the partitions saw.
#[derive(Default)]
struct Sight {
    /// Bytes that can be read, about.
    readable: usize,
    /// Whether there is something that is answered at once: an error, or older data.
    at_once: bool,
    /// Whether any partition exists.
    any: bool,
    /// The places of the partitions that have something to say in an answer of the session.
    news: Vec<u32>,
}

struct Look<'a> {
    leader_epoch: i32,
    waiter: Option<&'a Arc<Waiter>>,
    sight: Sight,
}

impl Look<'_> {
    /// Looks at a partition, which counts for the waiter from then on.
    fn at(&mut self, place: usize, wanted: &Wanted, cached: Option<&Cached>) {
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        let Ok(partition) = &wanted.found else {
            if cached.is_some() {
                self.sight.news.push(place);
            }
            return;
        };
        self.sight.any = true;
        let (offset, max_bytes) = (wanted.fetch_offset, wanted.max_bytes());
        let outlook = match self.waiter {
            Some(waiter) => partition.wait(waiter, place, offset, max_bytes),
            None => partition.outlook(offset, max_bytes),
        };
        let readable = match check(wanted, &outlook, self.leader_epoch) {
            Ok(()) => outlook.readable,
            Err(_) => None,
        };
        // Of older data is only known that it is there.
        self.sight.at_once |= readable.is_none();
        self.sight.readable += readable.unwrap_or(0);
        if cached.is_some_and(|cached| readable != Some(0) || cached.is_news(&outlook.bounds)) {
            self.sight.news.push(place);
        }
    }
}

impl Partitions {
    fn look(&self, leader_epoch: i32, waiter: Option<&Arc<Waiter>>) -> Result<Sight, Refusal> {
        let mut look = Look {
            leader_epoch,
            waiter,
            sight: Sight::default(),
        };
        match self {
            Partitions::Named { wanted, .. } => {
                for (place, wanted) in wanted.iter().enumerate() {
                    look.at(place, wanted, None);
                }
            }
            Partitions::OfSession(request) => {
                let mut inside = request.lock()?;
                if let Some(waiter) = waiter {
                    inside.set_waiter(waiter);
                }
                for (place, cached) in inside.session.partitions().iter().enumerate() {
                    look.at(place, &cached.wanted, Some(cached));
                }
            }
        }
        Ok(look.sight)
    }

    /// Waits until there is something to answer with. Returns the places of the partitions of the session that are to be looked at for
    /// the answer, in no order, some perhaps twice; nothing for partitions that the request names.
    ///
    /// # Errors
    /// INVALID_FETCH_SESSION_EPOCH (71): another request of the session has begun.
    pub async fn wait(&self, leader_epoch: i32, patience: &Patience) -> Result<Vec<u32>, Refusal> {
        let enough = |sight: &Sight| sight.at_once || !sight.any || sight.readable >= patience.min_bytes;
        let sight = self.look(leader_epoch, None)?;
        if enough(&sight) || patience.max_wait.is_zero() {
            return Ok(sight.news);
        }
        let waiter = Waiter::new(patience.min_bytes);
        let mut sight = self.look(leader_epoch, Some(&waiter))?;
        if !enough(&sight) {
            waiter.count_here(sight.readable);
            // Whether its time is up or not, what has come is answered.
            let _ = tokio::time::timeout(patience.max_wait, waiter.enough()).await;
        }
        sight.news.append(&mut waiter.take_changed());
        Ok(sight.news)
    }
}
