//! Topics, segments and the bookkeeping of partitions.

use std::collections::BTreeMap;

use super::batches::{append, assert_log, assert_refused, in_transaction, load, make_topic, new_topic, run_of};
use crate::storage::engine::{Engine, EngineError, NewTopic, PartitionRecord, SegmentId, TimeIndexEntry, TopicNumber};

/// Name, id, configs and partitions survive a restart; segment 1 begins at offset 0.
pub(super) fn a_topic_comes_back_as_it_was_made<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let configs = [
        ("retention.ms", "-1"),
        ("cleanup.policy", "compact,delete"),
        ("x", ""),
        ("y", "it's \"{\\}, ü"),
    ];
    let configs: BTreeMap<_, _> = configs.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let topic = NewTopic { configs, ..new_topic(4) };
    let segment = make_topic(&mut engine, &topic);
    drop(engine);
    let stored = load(&mut open(), segment.topic).expect("the topic is there");
    assert_eq!(
        (stored.id, &stored.name, &stored.configs),
        (topic.id, &topic.name, &topic.configs)
    );
    assert_eq!(
        stored.partitions,
        vec![
            PartitionRecord {
                log_start_offset: 0,
                epochs: vec![]
            };
            4
        ]
    );
    assert_eq!(stored.segments.len(), 1);
    assert_eq!(
        (stored.segments[0].number, stored.segments[0].base_offsets.as_deref()),
        (1, Some(&[0, 0, 0, 0][..]))
    );
}

/// A second topic of a name is refused.
pub(super) fn topic_names_are_unique<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let topic = new_topic(1);
    make_topic(&mut engine, &topic);
    engine.begin().unwrap();
    assert_refused(engine.create_topic(&NewTopic {
        name: topic.name,
        ..new_topic(1)
    }));
    engine.rollback();
}

/// Nothing of it is left, its name is free, its number is not used again.
pub(super) fn a_deleted_topic_is_gone<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let topic = new_topic(2);
    let first = make_topic(&mut engine, &topic);
    append(&mut engine, first, &run_of(1, 0, 3, 1, 10_000));
    let second = SegmentId { number: 2, ..first };
    in_transaction(&mut engine, |engine| engine.create_segment(second).unwrap());
    in_transaction(&mut engine, |engine| engine.delete_topic(first.topic).unwrap());
    assert!(load(&mut engine, first.topic).is_none());
    for segment in [first, second] {
        engine.begin().unwrap();
        assert!(matches!(engine.lock_segment(segment), Err(EngineError::Busy(_))));
        engine.rollback();
    }
    engine.begin().unwrap();
    assert_refused(engine.delete_topic(first.topic));
    engine.rollback();
    let again = make_topic(
        &mut engine,
        &NewTopic {
            id: new_topic(1).id,
            ..topic
        },
    );
    assert_ne!(again.topic, first.topic);
    assert_log(&mut engine, again, 1, &[]);
}

/// Neither the topic nor its name is kept by a rollback.
pub(super) fn a_rolled_back_topic_was_never_there<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let topic = new_topic(1);
    engine.begin().unwrap();
    let number = engine.create_topic(&topic).unwrap();
    engine.rollback();
    assert!(load(&mut engine, number).is_none());
    make_topic(&mut engine, &topic);
}

/// Keys are added, changed and taken away, for this topic alone; a rollback undoes it.
pub(super) fn configs_are_replaced<E: Engine>(open: &mut dyn FnMut() -> E) {
    let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(pair).collect()
    };
    let mut engine = open();
    let configs = map(&[("kept", "1"), ("changed", "2"), ("gone", "3")]);
    let new = |configs: &BTreeMap<String, String>| NewTopic {
        configs: configs.clone(),
        ..new_topic(1)
    };
    let topic = make_topic(&mut engine, &new(&configs)).topic;
    let other = make_topic(&mut engine, &new(&configs)).topic;
    let changed = map(&[("kept", "1"), ("changed", ""), ("added", "it's \"{\\}, ü")]);
    in_transaction(&mut engine, |engine| {
        assert_eq!(engine.topic_configs(topic).unwrap().as_ref(), Some(&configs));
        engine.set_topic_configs(topic, &changed).unwrap();
        assert_eq!(engine.topic_configs(topic).unwrap().as_ref(), Some(&changed));
    });
    engine.begin().unwrap();
    engine.set_topic_configs(topic, &BTreeMap::new()).unwrap();
    engine.rollback();
    drop(engine);
    let mut engine = open();
    assert_eq!(load(&mut engine, topic).unwrap().configs, changed);
    assert_eq!(load(&mut engine, other).unwrap().configs, configs);
    in_transaction(&mut engine, |engine| {
        engine.set_topic_configs(topic, &BTreeMap::new()).unwrap()
    });
    assert_eq!(load(&mut engine, topic).unwrap().configs, BTreeMap::new());
}

/// A topic that never was has no configs and gets none.
pub(super) fn configs_of_no_topic<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let never = TopicNumber(i32::MAX);
    assert_eq!(
        in_transaction(&mut engine, |engine| engine.topic_configs(never).unwrap()),
        None
    );
    engine.begin().unwrap();
    assert_refused(engine.set_topic_configs(never, &BTreeMap::from([("a".to_owned(), "1".to_owned())])));
    engine.rollback();
}

/// Added partitions are empty, begin at 0 in the segment that is being filled, and take records there; the others stay as they are.
pub(super) fn partitions_are_added<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let segment = make_topic(&mut engine, &new_topic(1));
    let topic = segment.topic;
    let old = run_of(0, 0, 3, 1, 100);
    append(&mut engine, segment, &old);
    in_transaction(&mut engine, |engine| {
        engine.add_epoch_starts(topic, 65_537, &[(0, 0)]).unwrap();
        engine.set_log_starts(topic, &[(0, 2)]).unwrap();
    });
    engine.begin().unwrap();
    assert_eq!(engine.add_partitions(topic, 2), Ok(1));
    engine.rollback();
    assert_eq!(in_transaction(&mut engine, |engine| engine.add_partitions(topic, 3)), Ok(1));
    for count in [3, 2, 0, -1] {
        assert_eq!(
            in_transaction(&mut engine, |engine| engine.add_partitions(topic, count)),
            Ok(3)
        );
    }
    let new = run_of(2, 0, 2, 1, 100);
    append(&mut engine, segment, &new);
    drop(engine);
    let mut engine = open();
    let stored = load(&mut engine, topic).unwrap();
    let empty = PartitionRecord {
        log_start_offset: 0,
        epochs: vec![],
    };
    let first = PartitionRecord {
        log_start_offset: 2,
        epochs: vec![(65_537, 0)],
    };
    assert_eq!(stored.partitions, [first, empty.clone(), empty]);
    assert_eq!(stored.segments[0].base_offsets.as_deref(), Some(&[0][..]));
    assert_log(&mut engine, segment, 0, &old);
    assert_log(&mut engine, segment, 1, &[]);
    assert_log(&mut engine, segment, 2, &new);
    in_transaction(&mut engine, |engine| engine.set_log_starts(topic, &[(2, 1)]).unwrap());
    assert_eq!(load(&mut engine, topic).unwrap().partitions[2].log_start_offset, 1);
    engine.begin().unwrap();
    assert_refused(engine.add_partitions(TopicNumber(i32::MAX), 9));
    engine.rollback();
}

/// The life of a segment: made ahead, activated, filled, dropped.
pub(super) fn segments_are_made_activated_and_dropped<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let first = make_topic(&mut engine, &new_topic(2));
    let second = SegmentId { number: 2, ..first };
    in_transaction(&mut engine, |engine| engine.create_segment(second).unwrap());
    let segments = load(&mut engine, first.topic).unwrap().segments;
    assert_eq!(segments.iter().map(|segment| segment.number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(segments[1].base_offsets, None);
    assert_eq!(segments[1].bytes, 0);
    let bytes = in_transaction(&mut engine, |engine| {
        engine.activate_segment(second, &[6_000_000_000, 9]).unwrap();
        engine.lock_segment(second).unwrap();
        engine.append(second, &run_of(0, 0, 3, 1, 10_000)).unwrap().segment_bytes
    });
    let segments = load(&mut engine, first.topic).unwrap().segments;
    assert_eq!(segments[1].base_offsets.as_deref(), Some(&[6_000_000_000, 9][..]));
    assert_eq!(segments[1].bytes, bytes);
    assert!(bytes >= 30_000);
    in_transaction(&mut engine, |engine| engine.drop_segment(first).unwrap());
    let segments = load(&mut engine, first.topic).unwrap().segments;
    assert_eq!(segments.iter().map(|segment| segment.number).collect::<Vec<_>>(), [2]);
    engine.begin().unwrap();
    assert_refused(engine.create_segment(second));
    engine.rollback();
}

/// Base offsets never change once something can be stored under them.
pub(super) fn a_segment_is_activated_once<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let segment = make_topic(&mut engine, &new_topic(1));
    engine.begin().unwrap();
    assert_refused(engine.activate_segment(segment, &[5]));
    engine.rollback();
}

/// Only the named partitions move, and only forward.
pub(super) fn log_starts_are_kept<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let topic = make_topic(&mut engine, &new_topic(3)).topic;
    in_transaction(&mut engine, |engine| {
        engine.set_log_starts(topic, &[(2, 6_000_000_000), (0, 5)]).unwrap()
    });
    in_transaction(&mut engine, |engine| {
        engine.set_log_starts(topic, &[(2, 7_000_000_000), (0, 4)]).unwrap()
    });
    drop(engine);
    let partitions = load(&mut open(), topic).unwrap().partitions;
    assert_eq!(
        partitions
            .iter()
            .map(|partition| partition.log_start_offset)
            .collect::<Vec<_>>(),
        [5, 0, 7_000_000_000]
    );
}

/// Epochs come back per partition, ascending.
pub(super) fn epoch_starts_are_kept<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let topic = make_topic(&mut engine, &new_topic(2)).topic;
    in_transaction(&mut engine, |engine| {
        engine.add_epoch_starts(topic, 65_537, &[(0, 0), (1, 0)]).unwrap()
    });
    in_transaction(&mut engine, |engine| {
        engine.add_epoch_starts(topic, 65_538, &[(1, 6_000_000_000)]).unwrap()
    });
    drop(engine);
    let partitions = load(&mut open(), topic).unwrap().partitions;
    assert_eq!(partitions[0].epochs, [(65_537, 0)]);
    assert_eq!(partitions[1].epochs, [(65_537, 0), (65_538, 6_000_000_000)]);
}

/// Entries come back per partition, ascending, and go with their segment.
pub(super) fn the_time_index_is_kept<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let first = make_topic(&mut engine, &new_topic(2));
    let entry = |partition, start_offset, max_timestamp_ms| TimeIndexEntry {
        partition,
        start_offset,
        end_offset: start_offset + 10,
        bytes: 1 << 40,
        max_timestamp_ms,
    };
    let (a, b, c) = (
        entry(1, 0, 1_700_000_000_000),
        entry(1, 6_000_000_000, i64::MAX),
        entry(0, 0, -1),
    );
    in_transaction(&mut engine, |engine| engine.add_time_index(first, &[b, c]).unwrap());
    in_transaction(&mut engine, |engine| engine.add_time_index(first, &[a]).unwrap());
    let mut of = |partition| in_transaction(&mut engine, |engine| engine.time_index(first, partition).unwrap());
    assert_eq!(of(1), [a, b]);
    assert_eq!(of(0), [c]);
}

/// A segment that never was, or of a topic that never was; the transaction goes on.
pub(super) fn a_missing_segment_cannot_be_locked<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let first = make_topic(&mut engine, &new_topic(1));
    let never = SegmentId { number: 99, ..first };
    let nowhere = SegmentId {
        topic: TopicNumber(i32::MAX),
        number: 1,
    };
    let batches = run_of(0, 0, 1, 1, 100);
    in_transaction(&mut engine, |engine| {
        assert!(matches!(engine.lock_segment(never), Err(EngineError::Busy(_))));
        engine.lock_segment(first).unwrap();
        assert!(matches!(engine.lock_segment(nowhere), Err(EngineError::Busy(_))));
        engine.append(first, &batches).unwrap();
    });
    assert_log(&mut engine, first, 0, &batches);
}

/// 22 characters of base64url, the same for ever.
pub(super) fn the_cluster_id_stays<E: Engine>(open: &mut dyn FnMut() -> E) {
    let id = in_transaction(&mut open(), |engine| engine.cluster_id().unwrap());
    assert_eq!(id.len(), 22);
    assert!(
        id.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'),
        "{id}"
    );
    assert_eq!(in_transaction(&mut open(), |engine| engine.cluster_id().unwrap()), id);
}

/// Each start gets a larger epoch than any before it, and none below the timeline's.
pub(super) fn leader_epochs_rise<E: Engine>(open: &mut dyn FnMut() -> E) {
    let first = in_transaction(&mut open(), |engine| engine.next_leader_epoch().unwrap());
    assert!(first > 1 << 16);
    let second = in_transaction(&mut open(), |engine| engine.next_leader_epoch().unwrap());
    assert_eq!(second, first + 1);
}
