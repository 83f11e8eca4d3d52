//! Topic administration: each job a transaction of its own, because DDL never shares one with appends (design I2).

use super::topic_log::TopicLog;
use super::{AdminJob, Completion, InFlight, Runner};
use crate::catalog::configs::TopicConfigs;
use crate::catalog::deletion::new_log_start;
use crate::storage::engine::{
    CommitMode, Engine, EngineError, EngineResult, LogPosition, NewTopic, PartitionRecord, SegmentRecord, TopicNumber,
    TopicRecord,
};
use crate::storage::jobs::{AddPartitionsJob, AlterConfigsJob, CreateJob, DeleteJob, DeleteRecordsJob, StorageError};

/// SQLSTATE unique_violation: the name was taken by a session that has committed.
const UNIQUE_VIOLATION: &str = "23505";
/// SQLSTATE undefined_object: the topic was dropped by a session that has committed.
const UNDEFINED_OBJECT: &str = "42704";

impl<E: Engine> Runner<E> {
    /// Tries each waiting job once; what needs a lock that another session holds stays, in order.
    pub(super) fn run_admin(&mut self) {
        for _ in 0..self.admin.len() {
            let Some(job) = self.admin.pop_front() else { return };
            let kept = match job {
                AdminJob::Create(job) => self.create(job).map(AdminJob::Create),
                AdminJob::AlterConfigs(job) => self.alter_configs(job).map(AdminJob::AlterConfigs),
                AdminJob::AddPartitions(job) => self.add_partitions(job).map(AdminJob::AddPartitions),
                AdminJob::Delete(job) => self.delete(job).map(AdminJob::Delete),
                AdminJob::DeleteRecords(job) => self.delete_records(job).map(AdminJob::DeleteRecords),
                AdminJob::AllocateProducerIds(job) => self.allocate_producer_ids(job).map(AdminJob::AllocateProducerIds),
            };
            self.admin.extend(kept);
        }
    }

    /// Runs `work` in a transaction and commits it; rolls back if it fails.
    pub(super) fn transaction<T>(&mut self, work: impl FnOnce(&mut E) -> EngineResult<T>) -> EngineResult<(LogPosition, T)> {
        let result = self.engine.begin().and_then(|()| work(&mut self.engine));
        match result {
            Ok(value) => Ok((self.engine.commit(CommitMode::Flush)?, value)),
            Err(error) => {
                self.engine.rollback();
                Err(error)
            }
        }
    }

    /// Makes the next segment of topics that run out of offsets in the one that is being filled, which the tables do not tell the
    /// maintenance worker. It is DDL on the database thread, once in 2^30 records of a partition.
    pub(super) fn make_crowded_segments(&mut self) {
        let logs = self.filling.iter().filter_map(|number| self.logs.get(number));
        let crowded: Vec<_> = logs.filter_map(TopicLog::crowded_out).collect();
        for segment in crowded {
            match self.transaction(|engine| engine.create_segment(segment)) {
                Ok(_) => self.reload = true,
                Err(EngineError::Busy(_)) => {}
                Err(error) => tracing::warn!(%error, ?segment, "the next segment cannot be made"),
            }
        }
    }

    /// Looks whether nothing is left in the segment that a topic fills: then the next one is to be made, and begun without an append.
    pub(super) fn look_for_death(&mut self, number: TopicNumber) {
        let Some(log) = self.logs.get(&number).filter(|log| log.is_dead()) else {
            self.dead.remove(&number);
            return;
        };
        self.dead.insert(number);
        if log.ready().is_none() {
            self.filling.insert(number);
        }
    }

    /// Begins the next segment of topics of which nothing is left in the one that is being filled, so that this one can be dropped
    /// (Kafka rolls when it deletes the active segment).
    pub(super) fn leave_dead_segments(&mut self) {
        for number in self.dead.clone() {
            self.look_for_death(number);
            if self.dead.contains(&number) && !self.busy.contains(&number) {
                match self.leave_segment(number) {
                    Ok(()) | Err(EngineError::Busy(_)) => {}
                    Err(error) => tracing::warn!(topic = number.0, %error, "the next segment cannot be begun"),
                }
            }
        }
    }

    fn leave_segment(&mut self, number: TopicNumber) -> EngineResult<()> {
        let Some(log) = self.logs.get(&number) else { return Ok(()) };
        let (Some(active), Some(ready)) = (log.active(), log.ready()) else {
            return Ok(());
        };
        let (active, ready) = (log.id_of(active), log.id_of(ready));
        let (base_offsets, stretches, snapshots) = (log.next_offsets(), log.open_stretches(), log.producer_snapshots());
        self.transaction(|engine| {
            engine.lock_bookkeeping()?;
            engine.lock_segment(active)?;
            engine.activate_segment(ready, &base_offsets)?;
            engine.add_time_index(active, &stretches)?;
            engine.store_producer_snapshots(number, &snapshots)
        })?;
        let now_ms = self.clock().now_ms;
        if let Some(log) = self.logs.get_mut(&number) {
            log.begin_segment(ready.number, base_offsets, now_ms);
            log.partitions
                .iter_mut()
                .for_each(|partition| partition.unsnapshotted_bytes = 0);
        }
        self.dead.remove(&number);
        Ok(())
    }

    pub(super) fn when_durable(&mut self, position: LogPosition, completion: Completion) {
        self.in_flight.push_back(InFlight {
            position,
            completions: vec![completion],
        });
    }

    fn create(&mut self, job: CreateJob) -> Option<CreateJob> {
        if self.catalog.topics().by_name(&job.topic.name).is_some() {
            let _ = job.reply.send(Err(StorageError::TopicExists));
            return None;
        }
        let result = self.transaction(|engine| {
            engine.lock_topic_name(&job.topic.name)?;
            engine.lock_bookkeeping()?;
            engine.create_topic(&job.topic)
        });
        match result {
            Ok((position, number)) => {
                let record = Box::new(first_record(number, job.topic));
                self.when_durable(
                    position,
                    Completion::Created {
                        record,
                        reply: job.reply,
                    },
                );
                None
            }
            Err(EngineError::Busy(_)) => Some(job),
            Err(EngineError::Database { sqlstate, .. }) if sqlstate == UNIQUE_VIOLATION => {
                let _ = job.reply.send(Err(StorageError::TopicExists));
                None
            }
            Err(error) => {
                tracing::error!(topic = %job.topic.name, %error, "topic not created");
                let _ = job.reply.send(Err(StorageError::Engine(error)));
                None
            }
        }
    }

    /// The change is made to what the tables say, under the lock that every changer takes, so that of two changes none is lost.
    fn alter_configs(&mut self, job: AlterConfigsJob) -> Option<AlterConfigsJob> {
        let Some(topic) = self.catalog.topics().by_id(&job.id).cloned() else {
            let _ = job.reply.send(Err(StorageError::UnknownPartition));
            return None;
        };
        let result = self.transaction(|engine| {
            engine.lock_topic_name(&topic.name)?;
            engine.lock_bookkeeping()?;
            let Some(current) = engine.topic_configs(topic.number)? else {
                return Ok(Err(StorageError::UnknownPartition));
            };
            let changed = match job.change.apply(&current) {
                Ok(changed) => changed,
                Err(refusal) => return Ok(Err(StorageError::Configs(refusal))),
            };
            if changed != current {
                engine.set_topic_configs(topic.number, &changed)?;
            }
            Ok(Ok(changed))
        });
        match result {
            Ok((position, Ok(changed))) => {
                let configs = Box::new(TopicConfigs::new(changed, &self.defaults));
                self.when_durable(
                    position,
                    Completion::Configured {
                        topic: topic.number,
                        configs,
                        loads: self.loads,
                        reply: job.reply,
                    },
                );
                None
            }
            Ok((_, Err(refusal))) => {
                let _ = job.reply.send(Err(refusal));
                None
            }
            Err(EngineError::Busy(_)) => Some(job),
            Err(error) => {
                tracing::error!(topic = %topic.name, %error, "configs not changed");
                let _ = job.reply.send(Err(StorageError::Engine(error)));
                None
            }
        }
    }

    fn add_partitions(&mut self, job: AddPartitionsJob) -> Option<AddPartitionsJob> {
        let Some(topic) = self.catalog.topics().by_id(&job.id).cloned() else {
            let _ = job.reply.send(Err(StorageError::UnknownPartition));
            return None;
        };
        let result = self.transaction(|engine| {
            engine.lock_bookkeeping()?;
            engine.add_partitions(topic.number, job.count)
        });
        match result {
            Ok((_, before)) if before >= job.count => {
                let _ = job.reply.send(Err(StorageError::PartitionsExist(before)));
                None
            }
            Ok((position, _)) => {
                self.when_durable(
                    position,
                    Completion::PartitionsAdded {
                        topic: topic.number,
                        count: job.count,
                        reply: job.reply,
                    },
                );
                None
            }
            Err(EngineError::Busy(_)) => Some(job),
            Err(EngineError::Database { sqlstate, .. }) if sqlstate == UNDEFINED_OBJECT => {
                let _ = job.reply.send(Err(StorageError::UnknownPartition));
                None
            }
            Err(error) => {
                tracing::error!(topic = %topic.name, %error, "partitions not added");
                let _ = job.reply.send(Err(StorageError::Engine(error)));
                None
            }
        }
    }

    fn delete(&mut self, job: DeleteJob) -> Option<DeleteJob> {
        let Some(topic) = self.catalog.topics().by_id(&job.id).cloned() else {
            let _ = job.reply.send(Err(StorageError::UnknownPartition));
            return None;
        };
        let result = self.transaction(|engine| {
            engine.lock_topic_name(&topic.name)?;
            engine.lock_bookkeeping()?;
            engine.delete_topic(topic.number)
        });
        match result {
            Ok((position, ())) => {
                self.forget_topic(topic.number);
                self.when_durable(position, Completion::Deleted { reply: job.reply });
                None
            }
            Err(EngineError::Busy(_)) => Some(job),
            Err(error) => {
                tracing::error!(topic = %topic.name, %error, "topic not deleted");
                let _ = job.reply.send(Err(StorageError::Engine(error)));
                None
            }
        }
    }

    fn delete_records(&mut self, job: DeleteRecordsJob) -> Option<DeleteRecordsJob> {
        let partition = self
            .logs
            .get(&job.topic)
            .and_then(|log| log.topic.partition(job.partition).cloned());
        let Some(partition) = partition else {
            let _ = job.reply.send(Err(StorageError::UnknownPartition));
            return None;
        };
        let bounds = partition.bounds();
        let Ok(offset) = new_log_start(bounds.log_start_offset, bounds.high_watermark, job.before_offset) else {
            let _ = job.reply.send(Err(StorageError::OffsetOutOfRange));
            return None;
        };
        if offset == bounds.log_start_offset {
            let _ = job.reply.send(Ok(offset));
            return None;
        }
        let result = self.transaction(|engine| {
            engine.lock_bookkeeping()?;
            engine.set_log_starts(job.topic, &[(job.partition, offset)])
        });
        match result {
            Ok((position, ())) => {
                self.when_durable(
                    position,
                    Completion::LogStart {
                        partition,
                        offset,
                        reply: job.reply,
                    },
                );
                None
            }
            Err(EngineError::Busy(_)) => Some(job),
            Err(error) => {
                tracing::error!(topic = job.topic.0, partition = job.partition, %error, "records not deleted");
                let _ = job.reply.send(Err(StorageError::Engine(error)));
                None
            }
        }
    }
}

/// What is stored of a topic that was just made.
fn first_record(number: TopicNumber, topic: NewTopic) -> TopicRecord {
    let count = topic.partitions.max(0) as usize;
    TopicRecord {
        number,
        id: topic.id,
        name: topic.name,
        configs: topic.configs,
        partitions: vec![
            PartitionRecord {
                log_start_offset: 0,
                epochs: Vec::new()
            };
            count
        ],
        segments: vec![SegmentRecord {
            number: 1,
            base_offsets: Some(vec![0; count]),
            origins: None,
            bytes: 0,
        }],
    }
}
