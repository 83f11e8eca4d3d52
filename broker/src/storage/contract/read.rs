//! Where a read begins and where it ends.

use super::batches::{append, batch, in_transaction, make_topic, new_topic, placed, read, run_of, stored};
use crate::storage::engine::{Engine, SegmentId};
use crate::wire::BATCH_HEADER_BYTES;

/// The batch that contains the offset comes first; where none does, the one that follows.
pub(super) fn from_inside_a_batch<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let segment = make_topic(&mut engine, &new_topic(2));
    let mut batches = vec![
        placed(0, 0, batch(9_000, 10, 1)),
        placed(0, 10, batch(100, 5, 2)),
        placed(0, 40, batch(20_000, 10, 3)),
    ];
    append(&mut engine, segment, &batches);
    append(&mut engine, segment, &[placed(1, 0, batch(100, 1_000, 4))]);
    let first_after = |from| match from {
        ..=9 => 0,
        10..=14 => 1,
        _ => 2,
    };
    for from in [0, 1, 9, 10, 12, 14, 15, 39, 40, 49] {
        let expected: Vec<_> = batches[first_after(from)..].iter().map(stored).collect();
        assert!(read(&mut engine, segment, 0, from, usize::MAX) == expected, "from {from}");
    }
    assert!(read(&mut engine, segment, 0, 50, usize::MAX).is_empty());
    batches.truncate(1);
    assert!(read(&mut engine, segment, 0, 5, 100) == [stored(&batches[0])]);
}

/// Never more bytes than asked for, but for a first batch that is larger alone.
pub(super) fn up_to_a_number_of_bytes<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let segment = make_topic(&mut engine, &new_topic(1));
    append(&mut engine, segment, &run_of(0, 0, 10, 1, 10_000));
    for (max_bytes, count) in [
        (0, 1),
        (1, 1),
        (9_999, 1),
        (10_000, 1),
        (19_999, 1),
        (20_000, 2),
        (99_999, 9),
        (100_000, 10),
        (1 << 30, 10),
    ] {
        assert_eq!(
            read(&mut engine, segment, 0, 0, max_bytes).len(),
            count,
            "max_bytes {max_bytes}"
        );
    }
    assert_eq!(read(&mut engine, segment, 0, 8, 1 << 30).len(), 2);
}

/// Headers are the first bytes of the batches, in order.
pub(super) fn headers_up_to_a_number_of_batches<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let segment = make_topic(&mut engine, &new_topic(1));
    let batches = run_of(0, 0, 50, 4, 9_000);
    append(&mut engine, segment, &batches);
    for (from, max_batches, first, count) in [
        (0, 10, 0, 10),
        (5, 3, 1, 3),
        (196, 10, 49, 1),
        (199, 10, 49, 1),
        (200, 10, 0, 0),
        (0, 0, 0, 0),
    ] {
        let headers = in_transaction(&mut engine, |engine| {
            engine.read_headers(segment, 0, from, max_batches).unwrap()
        });
        let expected: Vec<_> = batches[first..first + count]
            .iter()
            .map(|batch| stored(batch).slice(..BATCH_HEADER_BYTES))
            .collect();
        assert_eq!(headers, expected, "from {from}, at most {max_batches}");
    }
}

/// The end of a partition is found by its last batch.
pub(super) fn the_last_header_of_each_partition<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let segment = make_topic(&mut engine, &new_topic(3));
    let long = run_of(0, 0, 30, 2, 20_000);
    let short = run_of(2, 0, 1, 9, 61);
    append(&mut engine, segment, &long);
    append(&mut engine, segment, &short);
    let mut last = |partition| in_transaction(&mut engine, |engine| engine.last_header(segment, partition).unwrap());
    assert_eq!(last(0), Some(stored(&long[29]).slice(..BATCH_HEADER_BYTES)));
    assert_eq!(last(1), None);
    assert_eq!(last(2), Some(stored(&short[0])));
}

/// An empty segment and a partition without batches are no errors.
pub(super) fn nothing_where_nothing_is<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let segment = make_topic(&mut engine, &new_topic(2));
    assert!(read(&mut engine, segment, 0, 0, usize::MAX).is_empty());
    append(&mut engine, segment, &run_of(1, 0, 1, 1, 100));
    assert!(read(&mut engine, segment, 0, 0, usize::MAX).is_empty());
    assert!(in_transaction(&mut engine, |engine| engine.read_headers(segment, 0, 0, 10).unwrap()).is_empty());
    assert!(in_transaction(&mut engine, |engine| engine.time_index(segment, 0).unwrap()).is_empty());
}

/// The size grows with what is appended, is known whoever holds the segment, and is 0 where there is none.
pub(super) fn a_segment_is_at_least_as_large_as_what_is_in_it<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let segment = make_topic(&mut engine, &new_topic(1));
    let size = |engine: &mut E, segment| in_transaction(engine, |engine| engine.segment_size(segment).unwrap());
    let empty = size(&mut engine, segment);
    append(&mut engine, segment, &run_of(0, 0, 10, 1, 10_000));
    let filled = size(&mut engine, segment);
    assert!(filled >= empty + 100_000, "{filled} after {empty}");
    let none = SegmentId { number: 99, ..segment };
    assert_eq!(size(&mut engine, none), 0);
    assert!(engine.directory().starts_with('/'));
}
