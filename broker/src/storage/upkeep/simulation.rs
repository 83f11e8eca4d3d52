//! Goal: the disk stays within what retention allows over seven days, and nothing live is lost. A clock of its own, the engine in memory,
//! batches of which only the headers are kept: their size is accounted.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use uuid::Uuid;

use super::{in_transaction, Surroundings, Upkeep};
use crate::catalog::configs::TopicDefaults;
use crate::storage::engine::{Engine, EngineError, NewTopic, PlacedBatch, SegmentId, TopicRecord};
use crate::storage::model::{ModelDatabase, ModelEngine};
use crate::storage::parts::segments_from;
use crate::storage::stretch::Stretch;
use crate::wire::batch::BatchHeader;

const MIB: u64 = 1 << 20;
const SEGMENT_BYTES: u64 = 16 * MIB;
const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
const CHECK_INTERVAL_MS: i64 = 5 * MINUTE_MS;

/// The header of a batch of one record and `size` bytes.
fn hollow(size: u64, timestamp_ms: i64) -> Bytes {
    let mut bytes = vec![0; 61];
    bytes[8..12].copy_from_slice(&(size as i32 - 12).to_be_bytes());
    bytes[16] = 2;
    bytes[35..43].copy_from_slice(&timestamp_ms.to_be_bytes());
    bytes[43..57].fill(0xff);
    bytes[57..61].copy_from_slice(&1_i32.to_be_bytes());
    bytes.into()
}

struct Quiet;

impl Surroundings for Quiet {
    fn between(&mut self) {}
    fn changed(&mut self) {}
    fn failed(&mut self, what: &str, error: &EngineError) {
        panic!("failed to {what}: {error}");
    }
}

/// A broker that does nothing but append, and the upkeep beside it.
struct World {
    engine: ModelEngine,
    upkeep: Upkeep,
    now_ms: i64,
    stretches: Vec<(i64, Stretch)>,
    written_bytes: u64,
}

impl World {
    fn new(partitions: i32, configs: &[(&str, i64)]) -> Self {
        let mut engine = ModelDatabase::default().open();
        let configs = configs.iter().map(|(key, value)| ((*key).to_owned(), value.to_string()));
        let segment = ("segment.bytes".to_owned(), SEGMENT_BYTES.to_string());
        let new = NewTopic {
            id: Uuid::from_u128(1),
            name: "t".to_owned(),
            partitions,
            configs: configs.chain([segment]).collect::<BTreeMap<_, _>>(),
        };
        in_transaction(&mut engine, |engine| engine.create_topic(&new)).unwrap();
        World {
            engine,
            upkeep: Upkeep::new(0),
            now_ms: 1_700_000_000_000,
            stretches: vec![(0, Stretch::at(0)); partitions as usize],
            written_bytes: 0,
        }
    }

    fn record(&mut self) -> TopicRecord {
        in_transaction(&mut self.engine, |engine| engine.load_topics())
            .unwrap()
            .remove(0)
    }

    fn disk_bytes(&mut self) -> u64 {
        self.record().segments.iter().map(|segment| segment.bytes).sum()
    }

    fn append(&mut self, partition: i32, size: u64) {
        let record = self.record();
        let active = record
            .segments
            .iter()
            .rev()
            .find(|segment| segment.base_offsets.is_some())
            .unwrap();
        let ready = record.segments.last().filter(|segment| segment.base_offsets.is_none());
        let id = |number| SegmentId {
            topic: record.number,
            number,
        };
        let rolled = ready.filter(|_| active.bytes > 0 && active.bytes + size > SEGMENT_BYTES);
        let segment = id(rolled.unwrap_or(active).number);
        let bases: Vec<_> = self.stretches.iter().map(|(next, _)| *next).collect();
        let base = match rolled {
            Some(_) => bases[partition as usize],
            None => active.base_offset(partition).unwrap(),
        };
        let (stretches, now_ms) = (&mut self.stretches, self.now_ms);
        let append = |engine: &mut ModelEngine| {
            if rolled.is_some() {
                let entries: Vec<_> = (0..)
                    .zip(&*stretches)
                    .filter_map(|(index, (next, open))| open.entry(index, *next))
                    .collect();
                engine.activate_segment(segment, &bases)?;
                engine.add_time_index(id(active.number), &entries)?;
                stretches.iter_mut().for_each(|(next, open)| *open = Stretch::at(*next));
            }
            let (next, open) = &mut stretches[partition as usize];
            let batch = PlacedBatch {
                partition,
                base_offset: *next,
                relative_offset: (*next - base) as i32,
                leader_epoch: 1,
                bytes: hollow(size, now_ms),
            };
            engine.lock_segment(segment)?;
            engine.append(segment, &[batch])?;
            *next += 1;
            open.add(size as usize, now_ms);
            if open.is_due() {
                engine.add_time_index(segment, &Vec::from_iter(open.entry(partition, *next)))?;
                *open = Stretch::at(*next);
            }
            Ok(())
        };
        in_transaction(&mut self.engine, append).unwrap();
        self.written_bytes += size;
        if rolled.is_none() && active.bytes > SEGMENT_BYTES / 2 && ready.is_none() {
            self.round();
        }
    }

    /// What is in the open stretches in memory is lost: a restart.
    fn restart(&mut self) {
        self.stretches.iter_mut().for_each(|(next, open)| *open = Stretch::at(*next));
        self.upkeep = Upkeep::new(self.now_ms);
    }

    fn round(&mut self) {
        let wanted = BTreeSet::new();
        let defaults = TopicDefaults::default();
        self.upkeep
            .round(
                &mut self.engine,
                &mut Quiet,
                &defaults,
                CHECK_INTERVAL_MS,
                &wanted,
                self.now_ms,
            )
            .unwrap();
    }

    /// All from each log start to each end is there.
    fn assert_nothing_is_lost(&mut self) {
        let record = self.record();
        for (index, partition) in (0..).zip(&record.partitions) {
            let mut at = partition.log_start_offset;
            for part in segments_from(record.number, &record.segments, index, at) {
                let relative = part.relative(at).unwrap();
                let batches = in_transaction(&mut self.engine, |engine| {
                    engine.read(part.segment, index, relative, usize::MAX)
                });
                for batch in batches.unwrap() {
                    let header = BatchHeader::parse(&batch).unwrap();
                    assert_eq!(header.base_offset, at, "partition {index}");
                    at = header.next_offset();
                }
            }
            assert_eq!(at, self.stretches[index as usize].0, "the end of partition {index}");
        }
    }

    /// Seven days of appends, one each `interval_ms`, with a look at the disk at each retention check; `largest` of what it saw.
    fn seven_days(&mut self, interval_ms: i64, mut write: impl FnMut(&mut World, i64)) -> u64 {
        let (mut largest, end_ms) = (0, self.now_ms + 7 * DAY_MS);
        let mut checked_ms = self.now_ms;
        for step in 0.. {
            if self.now_ms >= end_ms {
                break;
            }
            self.now_ms += interval_ms;
            write(self, step);
            if self.now_ms - checked_ms >= MINUTE_MS {
                checked_ms = self.now_ms;
                self.round();
                largest = largest.max(self.disk_bytes());
            }
            if step % 10_007 == 10_006 {
                self.restart();
            }
        }
        self.assert_nothing_is_lost();
        largest
    }
}

#[test]
fn a_day_of_records_takes_a_day_of_disk() {
    const BATCH: u64 = MIB;
    const INTERVAL_MS: i64 = 25_000;
    let mut world = World::new(4, &[("retention.ms", DAY_MS)]);
    let largest = world.seven_days(INTERVAL_MS, |world, step| world.append((step % 4) as i32, BATCH));
    assert!(world.written_bytes >= 20_000_000_000, "{} bytes written", world.written_bytes);
    let allowed = (DAY_MS / INTERVAL_MS) as u64 * BATCH;
    assert!(largest * 5 <= allowed * 6, "{largest} bytes of disk for {allowed}");
    assert!(
        largest >= allowed,
        "{largest} bytes of disk for {allowed}: too much was deleted"
    );
}

#[test]
fn each_partition_takes_retention_bytes() {
    const LIMIT: u64 = 192 * MIB;
    let mut world = World::new(4, &[("retention.bytes", LIMIT as i64), ("retention.ms", -1)]);
    let largest = world.seven_days(12_500, |world, step| world.append((step % 4) as i32, MIB / 2));
    assert!(world.written_bytes >= 20_000_000_000, "{} bytes written", world.written_bytes);
    assert!(largest * 5 <= 4 * LIMIT * 6, "{largest} bytes of disk for 4 times {LIMIT}");
    assert!(
        largest >= 4 * LIMIT,
        "{largest} bytes of disk for 4 times {LIMIT}: too much was deleted"
    );
}

#[test]
fn idle_partitions_do_not_keep_what_a_hot_one_has_deleted() {
    const LIMIT: u64 = 256 * MIB;
    let mut world = World::new(12, &[("retention.bytes", LIMIT as i64), ("retention.ms", -1)]);
    let largest = world.seven_days(25_000, |world, step| {
        world.append(0, MIB);
        if step % 24 == 0 {
            (1..12).for_each(|idle| world.append(idle, 4096));
        }
    });
    assert!(world.written_bytes >= 20_000_000_000, "{} bytes written", world.written_bytes);
    assert!(largest * 2 <= LIMIT * 3, "{largest} bytes of disk for {LIMIT}");
    assert!(largest >= LIMIT, "{largest} bytes of disk for {LIMIT}: too much was deleted");
    let record = world.record();
    assert!(record.segments.iter().all(|segment| segment.bytes <= SEGMENT_BYTES + MIB));
    assert!(record.partitions[1..].iter().all(|idle| idle.log_start_offset == 0));
    assert!(record.segments.len() < 64, "{} segments", record.segments.len());
}
