//! Reads of older data beside locks of other sessions and beside appends.

use super::*;
use crate::limits::READ_BYTES_BESIDE_OTHERS;

/// Goal: reads that stand behind one of a locked segment are answered.
#[test]
fn a_read_of_a_locked_segment_delays_no_other() {
    let database = ModelDatabase::default();
    let mut bench = Bench::open(&database);
    let (a, b) = (bench.create("a", 1, MIB), bench.create("b", 1, MIB));
    for topic in [a, b] {
        bench.append(topic, 0, batch(1, 100, 0)).unwrap();
    }
    let segment = SegmentId { topic: a, number: 1 };
    database.hold_segment(segment);
    let (storage, deadline) = (bench.runner.storage(), bench.later());
    let mut locked = [0, 1].map(|_| Box::pin(storage.read(a, 0, 0, 1 << 20, deadline)));
    let mut context = Context::from_waker(Waker::noop());
    for read in &mut locked {
        assert!(read.as_mut().poll(&mut context).is_pending());
    }
    assert_eq!(bench.stored(b, 0, 0), [0]);
    database.release_segment(segment);
    for read in locked {
        assert_eq!(bench.run(read).unwrap().len(), 1);
    }
}

/// Goal: an append that comes while reads are answered waits for a moment of them, not for all, be they large or small.
#[test]
fn reads_do_not_delay_appends() {
    for (size, at_once) in [(READ_BYTES_BESIDE_OTHERS, 1), (READ_BYTES_BESIDE_OTHERS / 4, 4)] {
        let database = ModelDatabase::default();
        let mut bench = Bench::open(&database);
        let topic = bench.create("a", 1, MIB);
        bench.append(topic, 0, batch(1, size, 0)).unwrap();
        let (storage, deadline) = (bench.runner.storage(), bench.later());
        let mut reads = [0; 6].map(|offset| Box::pin(storage.read(topic, 0, offset, size, deadline)));
        let mut context = Context::from_waker(Waker::noop());
        let mut answered_reads = || {
            let polled = reads.iter_mut().map(|read| read.as_mut().poll(&mut context));
            polled.filter(Poll::is_ready).count()
        };
        assert_eq!(answered_reads(), 0);
        bench.runner.sort_jobs();
        let mut append = bench.submit(topic, 0, batch(1, 100, 0));
        assert!(bench.runner.run_reads(), "more reads wait");
        assert_eq!(answered_reads(), at_once, "reads of {size} bytes");
        bench.turn();
        assert!(answered(&mut append).unwrap().is_ok());
    }
}
