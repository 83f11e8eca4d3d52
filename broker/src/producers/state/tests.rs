//! The machine by examples of Kafka's rules, and against a model: a producer that retries over a channel which loses requests and replies.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::producers::snapshot::{decode, encode};

const NEVER: Idle = Idle { since_ms: i64::MIN };
const PRODUCER: i64 = 7;

fn batch(epoch: i16, base_sequence: i32, records: i32) -> ProducerBatch {
    ProducerBatch {
        producer_id: PRODUCER,
        epoch,
        base_sequence,
        last_offset_delta: records - 1,
        max_timestamp_ms: 1000 + i64::from(base_sequence),
    }
}

/// A partition's log, as far as its producers go.
#[derive(Default)]
struct Log {
    producers: Producers,
    end: i64,
}

impl Log {
    /// What is appended is appended; the answer is a base offset or an error code.
    fn offer(&mut self, batch: ProducerBatch) -> Result<i64, i16> {
        match self.producers.check(&batch, NEVER) {
            Ok(Verdict::Append) => {
                let base_offset = self.end;
                self.producers.replay(&batch, base_offset, 0);
                self.end += i64::from(batch.last_offset_delta) + 1;
                Ok(base_offset)
            }
            Ok(Verdict::Duplicate(written)) => Ok(written.base_offset),
            Err(SequenceError::OutOfOrder { .. }) => Err(45),
            Err(SequenceError::InvalidEpoch { .. }) => Err(47),
        }
    }
}

#[test]
fn any_of_the_last_five_is_answered_with_its_offset_and_an_older_one_is_out_of_order() {
    let mut log = Log::default();
    for number in 0..7 {
        assert_eq!(log.offer(batch(0, 10 * number, 10)), Ok(10 * i64::from(number)));
    }
    for number in 2..7 {
        assert_eq!(
            log.offer(batch(0, 10 * number, 10)),
            Ok(10 * i64::from(number)),
            "batch {number}"
        );
    }
    for number in 0..2 {
        assert_eq!(log.offer(batch(0, 10 * number, 10)), Err(45), "batch {number}");
    }
    assert_eq!(log.end, 70);
}

#[test]
fn a_gap_an_overlap_and_another_cut_are_out_of_order() {
    let mut log = Log::default();
    log.offer(batch(0, 0, 10)).unwrap();
    for (base_sequence, records) in [(11, 1), (5, 10), (0, 5), (0, 20), (9, 1)] {
        assert_eq!(
            log.offer(batch(0, base_sequence, records)),
            Err(45),
            "{base_sequence} {records}"
        );
    }
    assert_eq!(log.offer(batch(0, 10, 1)), Ok(10));
}

#[test]
fn after_the_last_sequence_comes_zero() {
    for (base_sequence, records, next) in [(i32::MAX, 1, 0), (i32::MAX - 1, 1, i32::MAX), (i32::MAX - 1, 5, 3)] {
        let mut log = Log::default();
        assert_eq!(log.offer(batch(0, base_sequence, records)), Ok(0));
        assert_eq!(log.offer(batch(0, base_sequence, records)), Ok(0));
        assert_eq!(log.offer(batch(0, next.wrapping_add(7) & i32::MAX, 1)), Err(45));
        assert_eq!(log.offer(batch(0, next, 1)), Ok(i64::from(records)));
    }
}

#[test]
fn a_new_epoch_begins_at_zero_and_ends_the_old_one() {
    let mut log = Log::default();
    log.offer(batch(3, 0, 2)).unwrap();
    assert_eq!(log.offer(batch(4, 2, 1)), Err(45));
    assert_eq!(log.offer(batch(4, 0, 2)), Ok(2));
    assert_eq!(log.offer(batch(3, 0, 2)), Err(47));
    assert_eq!(log.offer(batch(4, 0, 2)), Ok(2));
}

#[test]
fn a_producer_that_is_not_known_may_begin_anywhere() {
    let mut log = Log::default();
    assert_eq!(log.offer(batch(9, 123, 2)), Ok(0));
    assert_eq!(log.offer(batch(9, 125, 1)), Ok(2));
}

/// As Kafka's arithmetic has it: -1 is a producer whose epoch is not known yet, and less is below any.
#[test]
fn without_an_epoch_every_sequence_is_next() {
    let mut log = Log::default();
    assert_eq!(log.offer(batch(-1, 5, 1)), Ok(0));
    assert_eq!(log.offer(batch(-1, 5, 1)), Ok(0));
    assert_eq!(log.offer(batch(-1, 100, 1)), Ok(1));
    assert_eq!(log.offer(batch(0, 7, 1)), Ok(2));
    assert_eq!(log.offer(batch(-1, 101, 1)), Err(47));
    assert_eq!(Log::default().offer(batch(-2, 0, 1)), Err(47));
}

#[test]
fn a_duplicate_tells_what_was_written() {
    let mut log = Log::default();
    log.offer(batch(0, 0, 4)).unwrap();
    log.offer(batch(0, 4, 6)).unwrap();
    let written = WrittenBatch {
        base_sequence: 4,
        last_offset_delta: 5,
        base_offset: 4,
        max_timestamp_ms: 1004,
    };
    assert_eq!(log.producers.check(&batch(0, 4, 6), NEVER), Ok(Verdict::Duplicate(written)));
    assert_eq!(written.last_offset(), 9);
}

#[test]
fn an_idle_producer_is_forgotten() {
    let mut producers = Producers::default();
    producers.replay(&batch(5, 0, 1), 0, 1_000);
    let idle = |since_ms| Idle { since_ms };
    assert!(producers.check(&batch(5, 7, 1), idle(999)).is_err());
    assert_eq!(producers.check(&batch(5, 7, 1), idle(1_000)), Ok(Verdict::Append));
    assert_eq!(producers.check(&batch(2, 7, 1), idle(1_000)), Ok(Verdict::Append));
    producers.forget(idle(999));
    assert_eq!(producers.len(), 1);
    producers.forget(idle(1_000));
    assert!(producers.is_empty());
}

#[test]
fn after_a_refused_first_batch_nothing_may_come_before_it() {
    let mut producers = Producers::default();
    assert!(producers.refuse(&batch(0, 3, 2), NEVER, 0));
    assert!(!producers.refuse(&batch(0, 5, 2), NEVER, 0), "the first one counts");
    let code = |base_sequence| producers.check(&batch(0, base_sequence, 1), NEVER);
    assert!(matches!(code(5), Err(SequenceError::OutOfOrder { expected: 3, .. })));
    assert_eq!(code(3), Ok(Verdict::Append));
    assert_eq!(code(0), Ok(Verdict::Append), "one that was on its way longer");
    assert_eq!(producers.check(&batch(1, 0, 1), NEVER), Ok(Verdict::Append));
    assert!(producers.check(&batch(1, 4, 1), NEVER).is_err());
    let mut log = Log { producers, end: 0 };
    assert_eq!(log.offer(batch(0, 3, 2)), Ok(0));
    assert_eq!(log.offer(batch(0, 5, 2)), Ok(2));
}

#[test]
fn what_comes_before_a_refused_batch_may_be_across_the_wrap() {
    let mut producers = Producers::default();
    assert!(producers.refuse(&batch(0, 0, 2), NEVER, 0));
    assert_eq!(producers.check(&batch(0, i32::MAX - 1, 2), NEVER), Ok(Verdict::Append));
    assert!(producers.check(&batch(0, 2, 1), NEVER).is_err());
}

#[test]
fn a_refused_batch_of_a_known_producer_changes_nothing() {
    let mut log = Log::default();
    log.offer(batch(0, 0, 2)).unwrap();
    assert!(!log.producers.refuse(&batch(0, 2, 2), NEVER, 0));
    assert_eq!(log.offer(batch(0, 4, 2)), Err(45));
    assert_eq!(log.offer(batch(0, 2, 2)), Ok(2));
}

/// What happens to a request of the producer.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// It is lost on its way, with all behind it on the connection.
    RequestLost,
    /// The broker refuses it for reasons of its own.
    Refused,
    /// It is handled, and the reply is lost with the connection.
    ReplyLost,
    /// It is handled and answered.
    Answered,
    /// It is handled and answered, and the broker is restarted after it.
    Restart,
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        1 => Just(Fate::RequestLost),
        1 => Just(Fate::Refused),
        1 => Just(Fate::ReplyLost),
        4 => Just(Fate::Answered),
        1 => Just(Fate::Restart),
    ];
    prop::collection::vec(fate, 0..400)
}

proptest! {
    /// Goal: a producer with up to five batches in flight that sends again, in order, what was not answered, has each batch in the
    /// log exactly once and in order, and is never told that a batch which it sends first is out of order.
    #[test]
    fn retries_make_neither_duplicates_nor_gaps(
        fates in fates(),
        sizes in prop::collection::vec(1..4i32, 20..60),
        begin in prop_oneof![Just(0), Just(i32::MAX - 9), 0..=i32::MAX],
    ) {
        let mut sequence = begin;
        let mut waiting: VecDeque<ProducerBatch> = sizes.iter().map(|records| {
            let next = batch(0, sequence, *records);
            sequence = sequence.wrapping_add(*records) & i32::MAX;
            next
        }).collect();
        let mut log = Log::default();
        let mut written = Vec::new();
        let mut fates = fates.into_iter().chain(std::iter::repeat(Fate::Answered));
        let mut acknowledged = 0;
        while !waiting.is_empty() {
            let mut answers = Vec::new();
            for (place, sent) in waiting.iter().take(BATCHES_PER_PRODUCER).enumerate() {
                let fate = fates.next().unwrap_or(Fate::Answered);
                match fate {
                    Fate::RequestLost => break,
                    Fate::Refused if log.producers.check(sent, NEVER) == Ok(Verdict::Append) => {
                        log.producers.refuse(sent, NEVER, 0);
                        answers.push(None);
                        continue;
                    }
                    _ => {}
                }
                let before = log.end;
                let answer = log.offer(*sent);
                if log.end > before {
                    written.push(*sent);
                }
                if answers.iter().all(Option::is_some) {
                    prop_assert!(answer.is_ok(), "batch {place} in line: {answer:?}");
                }
                if matches!(fate, Fate::ReplyLost) {
                    break;
                }
                answers.push(answer.ok());
                if matches!(fate, Fate::Restart) {
                    log.producers = decode(&encode(&log.producers)).unwrap();
                    break;
                }
            }
            for answer in answers.iter().map_while(|answer| *answer) {
                prop_assert_eq!(answer, acknowledged, "the offset at which it is");
                acknowledged += i64::from(waiting[0].last_offset_delta) + 1;
                waiting.pop_front();
            }
        }
        prop_assert_eq!(written.len(), sizes.len());
        let mut sequence = begin;
        for (found, records) in written.iter().zip(&sizes) {
            prop_assert_eq!((found.base_sequence, found.last_offset_delta + 1), (sequence, *records));
            sequence = sequence.wrapping_add(*records) & i32::MAX;
        }
    }
}
