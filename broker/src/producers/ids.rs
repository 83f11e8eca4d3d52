//! Producer ids: taken from the database in blocks and given out one by one (Kafka's `RPCProducerIdManager`). No id is given out twice,
//! also across restarts, restores to a point in time and promotions.

use std::ops::Range;
use std::time::Instant;

use tokio::sync::Mutex;

use crate::limits::PRODUCER_IDS_PER_BLOCK;
use crate::storage::{Storage, StorageError};

/// Gives out producer ids; one per running broker. Of several requests that wait for a block one asks for it.
pub struct ProducerIds {
    storage: Storage,
    /// What is left of the last block, which is durably taken.
    block: Mutex<Range<i64>>,
}

impl ProducerIds {
    /// With no block taken yet.
    pub fn new(storage: Storage) -> Self {
        ProducerIds {
            storage,
            block: Mutex::new(0..0),
        }
    }

    /// An id that nobody has, not negative.
    ///
    /// # Errors
    /// [`StorageError::TimedOut`] at `deadline`, while another session has a lock in the way; any other: the database failed.
    pub async fn next(&self, deadline: Instant) -> Result<i64, StorageError> {
        tokio::time::timeout_at(deadline.into(), self.take(deadline))
            .await
            .unwrap_or(Err(StorageError::TimedOut))
    }

    async fn take(&self, deadline: Instant) -> Result<i64, StorageError> {
        let mut block = self.block.lock().await;
        if block.is_empty() {
            let first = self.storage.allocate_producer_ids(PRODUCER_IDS_PER_BLOCK, deadline).await?;
            *block = first..first + PRODUCER_IDS_PER_BLOCK;
        }
        block.next().ok_or(StorageError::Unavailable)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::settings::Settings;
    use crate::storage::model::{Call, ModelDatabase};
    use crate::storage::running::RunningModel;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test]
    async fn no_id_is_given_twice_and_a_block_is_asked_for_once() {
        let database = ModelDatabase::default();
        let mut given = BTreeSet::new();
        for start in 0..3 {
            let model = RunningModel::start(&database, &Settings::default());
            let ids = Arc::new(ProducerIds::new(model.storage.clone()));
            database.take_calls();
            let requests: Vec<_> = (0..1500)
                .map(|_| {
                    let ids = ids.clone();
                    tokio::spawn(async move { ids.next(soon()).await })
                })
                .collect();
            for request in requests {
                let id = request.await.unwrap().unwrap();
                assert!(given.insert(id), "{id} again");
            }
            let asked = database
                .take_calls()
                .into_iter()
                .filter(|call| *call == Call::AllocateProducerIds);
            assert_eq!(asked.count(), 2, "start {start}");
            drop(model);
            database.crash();
        }
        assert_eq!(given.first(), Some(&0));
    }

    #[tokio::test]
    async fn no_id_is_given_before_its_block_is_durable() {
        let model = RunningModel::start(&ModelDatabase::default(), &Settings::default());
        let ids = ProducerIds::new(model.storage.clone());
        model.database.hold_durability(true);
        let soon = Instant::now() + Duration::from_millis(100);
        assert_eq!(ids.next(soon).await, Err(StorageError::TimedOut));
        model.database.hold_durability(false);
        assert_eq!(
            ids.next(self::soon()).await,
            Ok(PRODUCER_IDS_PER_BLOCK),
            "the first block is lost"
        );
    }

    #[tokio::test]
    async fn a_new_timeline_begins_beyond_all_ids_of_the_old() {
        let database = ModelDatabase::default();
        let first = |database: &ModelDatabase| {
            let model = RunningModel::start(database, &Settings::default());
            async move { ProducerIds::new(model.storage.clone()).next(soon()).await }
        };
        assert_eq!(first(&database).await, Ok(0));
        database.promote();
        assert_eq!(first(&database).await, Ok(1 << 32));
        assert_eq!(first(&database).await, Ok((1 << 32) + PRODUCER_IDS_PER_BLOCK));
    }
}
