//! Scripts for sessions and their cache.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kafka_protocol::ResponseError;
use uuid::Uuid;

use super::cache::SessionCache;
use super::session::{Outcome, Session};
use super::wanted::{TopicKey, Wanted};
use super::Size;
use crate::catalog::configs::TopicConfigs;
use crate::catalog::{Catalog, Topic};
use crate::limits::{FETCH_SESSIONS_BYTES, FETCH_SESSION_BYTES, FETCH_SESSION_EVICTION};
use crate::log::partition::{Bounds, Partition};
use crate::storage::engine::TopicNumber;

/// A catalog with a topic of this name and number.
fn add_topic(catalog: &Catalog, name: &str, number: i32, partitions: i32) {
    let number = TopicNumber(number);
    let partition = |index| Arc::new(Partition::new(number, index, 0, 0, &[], 1));
    let topic = Topic {
        number,
        id: Uuid::from_u128(number.0 as u128),
        name: name.into(),
        configs: TopicConfigs::default(),
        partitions: (0..partitions).map(partition).collect(),
    };
    catalog.update(|topics| topics.insert(Arc::new(topic)));
}

fn key(name: &str) -> TopicKey {
    TopicKey::Name(name.into())
}

fn wanted(catalog: &Catalog, topic: TopicKey, partition: i32, fetch_offset: i64) -> Wanted {
    let topics = catalog.topics();
    let found = super::wanted::find_partition(topic.find(&topics), partition);
    Wanted {
        topic,
        partition,
        fetch_offset,
        partition_max_bytes: 100,
        current_leader_epoch: -1,
        found,
    }
}

fn at(high_watermark: i64) -> Outcome {
    Outcome {
        high_watermark,
        log_start_offset: 0,
        is_error: false,
        has_records: false,
    }
}

fn records(high_watermark: i64) -> Outcome {
    Outcome {
        has_records: true,
        ..at(high_watermark)
    }
}

const ERROR: Outcome = Outcome {
    high_watermark: -1,
    log_start_offset: -1,
    is_error: true,
    has_records: false,
};

/// A session of partitions of topic `t` after its first answer, in which all were empty, and the catalog.
fn session(partitions: i32) -> (Session, Catalog) {
    let catalog = Catalog::new(String::new(), 1);
    add_topic(&catalog, "t", 1, partitions);
    let answered = (0..partitions).map(|partition| (wanted(&catalog, key("t"), partition, 0), at(0)));
    let session = Session::new(false, catalog.topics().version(), answered);
    (session, catalog)
}

/// The partitions in the order of an answer, as (partition, offset).
fn order(session: &Session) -> Vec<(i32, i64)> {
    let mut places = (0..session.partitions().len() as u32).rev().collect();
    session.in_turn(&mut places);
    let of = |place: u32| &session.partitions()[place as usize].wanted;
    places
        .iter()
        .map(|place| (of(*place).partition, of(*place).fetch_offset))
        .collect()
}

/// Where a partition of `t` is.
fn place(session: &Session, partition: i32) -> usize {
    let is = |wanted: &Wanted| wanted.topic == key("t") && wanted.partition == partition;
    session.partitions().iter().position(|cached| is(&cached.wanted)).unwrap()
}

/// Goal: a request must name the next epoch and the kind of topic names of the session; what is refused changes nothing.
#[test]
fn epochs_and_kinds_of_names() {
    let (mut session, catalog) = session(1);
    let topics = catalog.topics();
    let added = [wanted(&catalog, key("u"), 0, 0)];
    for (epoch, by_id, error) in [
        (2, false, ResponseError::InvalidFetchSessionEpoch),
        (-2, false, ResponseError::InvalidFetchSessionEpoch),
        (2, true, ResponseError::InvalidFetchSessionEpoch),
        (1, true, ResponseError::FetchSessionTopicIdError),
    ] {
        assert_eq!(session.begin(epoch, by_id, &added, &[], &topics), Err(error), "epoch {epoch}");
        assert_eq!(session.partitions().len(), 1);
    }
    for epoch in 1..5 {
        assert!(session.is_current(epoch));
        assert_eq!(session.begin(epoch, false, &[], &[], &topics), Ok(Some(epoch + 1)));
        assert!(!session.is_current(epoch) && session.is_current(epoch + 1));
    }
    session.close();
    assert!(!session.is_current(5));
    let closed = session.begin(5, false, &[], &[], &topics);
    assert_eq!(closed, Err(ResponseError::FetchSessionIdNotFound));
}

/// Goal: partitions are added, changed and forgotten, and the list stays whole; without any left the session is over.
#[test]
fn partitions_come_and_go() {
    let (mut session, catalog) = session(3);
    add_topic(&catalog, "u", 2, 1);
    let topics = catalog.topics();
    let empty = session.size();
    let changes = [
        wanted(&catalog, key("t"), 1, 7),
        wanted(&catalog, key("u"), 0, 5),
        wanted(&catalog, key("u"), 0, 6),
    ];
    let forgotten = [(key("t"), vec![0, 0, 9]), (key("nothing"), vec![0])];
    assert_eq!(session.begin(1, false, &changes, &forgotten, &topics), Ok(Some(2)));
    assert_eq!(order(&session), [(1, 7), (2, 0), (0, 6)]);
    let back = [wanted(&catalog, key("t"), 0, 1)];
    let forgotten = [(key("u"), vec![0])];
    assert_eq!(session.begin(2, false, &back, &forgotten, &topics), Ok(Some(3)));
    assert_eq!(order(&session), [(1, 7), (2, 0), (0, 1)]);
    assert_eq!(session.size(), empty);
    let all = [(key("t"), vec![0, 1, 2])];
    assert_eq!(session.begin(3, false, &[], &all, &topics), Ok(None));
}

/// Goal: an answer has a partition with records or an error always, with other bounds than told before, and after an error once more.
#[test]
fn the_client_is_told_what_is_new() {
    let (mut session, _catalog) = session(1);
    for (outcome, expected) in [
        (at(0), false),
        (at(5), true),
        (at(5), false),
        (
            Outcome {
                log_start_offset: 2,
                ..at(5)
            },
            true,
        ),
        (
            Outcome {
                log_start_offset: 2,
                ..at(5)
            },
            false,
        ),
        (at(5), true),
        (records(5), true),
        (records(5), true),
        (at(5), false),
        (ERROR, true),
        (ERROR, true),
        (at(5), true),
        (at(5), false),
    ] {
        assert_eq!(session.tell(0, outcome), expected, "{outcome:?}");
    }
    let bounds = |high_watermark| Bounds {
        log_start_offset: 0,
        high_watermark,
        last_stable_offset: high_watermark,
    };
    assert!(!session.partitions()[0].is_news(&bounds(5)));
    assert!(session.partitions()[0].is_news(&bounds(6)));
}

/// Goal: a partition that was added is told whatever its bounds.
#[test]
fn an_added_partition_is_new() {
    let (mut session, catalog) = session(1);
    add_topic(&catalog, "u", 2, 1);
    let added = [wanted(&catalog, key("u"), 0, 0)];
    session.begin(1, false, &added, &[], &catalog.topics()).unwrap();
    assert!(session.tell(1, at(0)));
}

/// Goal: a partition that had records goes behind the others, so that every partition with records is the first of some answer; what does
/// not exist comes last.
#[test]
fn every_partition_has_its_turn() {
    let (mut session, catalog) = session(4);
    let unknown = [wanted(&catalog, key("unknown"), 9, 0)];
    session.begin(1, false, &unknown, &[], &catalog.topics()).unwrap();
    let partitions = |session: &Session| order(session).iter().map(|(partition, _)| *partition).collect::<Vec<_>>();
    assert_eq!(partitions(&session), [0, 1, 2, 3, 9]);
    for (had_records, expected) in [
        (0, [1, 2, 3, 0, 9]),
        (2, [1, 3, 0, 2, 9]),
        (1, [3, 0, 2, 1, 9]),
        (3, [0, 2, 1, 3, 9]),
    ] {
        let place = place(&session, had_records);
        session.tell(place, records(1));
        assert_eq!(partitions(&session), expected);
    }
    let mut places = vec![3, 99, 0, 3];
    session.in_turn(&mut places);
    assert_eq!(places, [0, 3], "each once, and only what is there");
}

/// Goal: a topic that is made, or deleted, after a session began is found, or not, at the next request.
#[test]
fn topics_are_looked_up_again() {
    let (mut session, catalog) = session(1);
    let later = [wanted(&catalog, key("later"), 0, 0)];
    session.begin(1, false, &later, &[], &catalog.topics()).unwrap();
    let found = |session: &Session| -> Vec<_> {
        session
            .partitions()
            .iter()
            .map(|cached| {
                cached
                    .wanted
                    .found
                    .as_ref()
                    .map(|partition| partition.topic.0)
                    .map_err(|error| *error)
            })
            .collect()
    };
    let unknown = Err(ResponseError::UnknownTopicOrPartition);
    assert_eq!(found(&session), [Ok(1), unknown]);
    add_topic(&catalog, "later", 2, 1);
    catalog.update(|topics| drop(topics.remove(&Uuid::from_u128(1))));
    session.begin(2, false, &[], &[], &catalog.topics()).unwrap();
    assert_eq!(found(&session), [unknown, Ok(2)]);
    add_topic(&catalog, "t", 3, 1);
    session.begin(3, false, &[], &[], &catalog.topics()).unwrap();
    assert_eq!(found(&session), [Ok(3), Ok(2)]);
}

/// Goal: the same name that many requests bring is kept once, and its bytes are given back with its last partition.
#[test]
fn names_are_counted_once() {
    let (mut session, catalog) = session(1);
    let name = "n".repeat(1000);
    let before = session.size().bytes;
    for partition in 0..3 {
        let added = [wanted(&catalog, key(&name), partition, 0)];
        session.begin(1 + partition, false, &added, &[], &catalog.topics()).unwrap();
    }
    let grown = session.size().bytes - before;
    assert!(
        (1000..2500).contains(&grown),
        "{grown} bytes for three partitions of one name"
    );
    let names: Vec<_> = session.partitions()[1..].iter().map(|cached| &cached.wanted.topic).collect();
    let same = |one: &TopicKey, other: &TopicKey| match (one, other) {
        (TopicKey::Name(one), TopicKey::Name(other)) => Arc::ptr_eq(one, other),
        _ => false,
    };
    assert!(names.windows(2).all(|pair| same(pair[0], pair[1])));
    let forgotten = [(key(&name), vec![0, 1, 2])];
    session.begin(4, false, &[], &forgotten, &catalog.topics()).unwrap();
    assert_eq!(session.size().bytes, before);
}

/// A cache of names with a clock and ids that count up.
struct Cache {
    cache: SessionCache<&'static str>,
    now: Instant,
    next_id: i32,
}

impl Cache {
    fn new() -> Self {
        Cache {
            cache: SessionCache::default(),
            now: Instant::now(),
            next_id: 0,
        }
    }

    fn later(&mut self, time: Duration) {
        self.now += time;
    }

    /// Makes a session in a cache of two slots: its id, and who made room.
    fn create(&mut self, name: &'static str, partitions: usize) -> (Option<i32>, Vec<&'static str>) {
        self.create_sized(name, Size { partitions, bytes: 1 })
    }

    fn create_sized(&mut self, name: &'static str, size: Size) -> (Option<i32>, Vec<&'static str>) {
        let draw = || {
            self.next_id += 1;
            self.next_id
        };
        let created = self.cache.create(self.now, 2, size, || name, draw);
        (created.id, created.evicted)
    }

    fn touch(&mut self, id: i32, partitions: usize) {
        assert_eq!(self.cache.touch(self.now, id, Size { partitions, bytes: 1 }), None);
    }
}

const A_WHILE: Duration = Duration::from_secs(1);

/// Goal: a full cache takes no session while the others are young, and then the longest unused one makes room for any.
#[test]
fn stale_sessions_make_room() {
    let mut cache = Cache::new();
    assert_eq!(cache.create("a", 5), (Some(1), vec![]));
    assert_eq!(cache.create("b", 5), (Some(2), vec![]));
    assert_eq!(cache.create("c", 50), (None, vec![]));
    cache.later(A_WHILE);
    cache.touch(1, 5);
    cache.later(FETCH_SESSION_EVICTION - A_WHILE);
    assert_eq!(cache.create("c", 1), (None, vec![]), "not longer ago than that");
    cache.later(Duration::from_millis(1));
    assert_eq!(cache.create("c", 1), (Some(3), vec!["b"]));
    assert_eq!(
        (cache.cache.get(1), cache.cache.get(2), cache.cache.get(3)),
        (Some(&"a"), None, Some(&"c"))
    );
}

/// Goal: of old sessions that are in use the one with the fewest partitions makes room, for one with more of them only.
#[test]
fn small_sessions_make_room_for_larger_ones() {
    let mut cache = Cache::new();
    cache.create("a", 3);
    cache.create("b", 2);
    cache.later(FETCH_SESSION_EVICTION);
    cache.touch(1, 3);
    cache.touch(2, 2);
    assert_eq!(cache.create("c", 9), (None, vec![]), "not old enough");
    cache.later(A_WHILE);
    cache.touch(1, 3);
    cache.touch(2, 4);
    assert_eq!(cache.create("c", 3), (None, vec![]), "no more than the smallest");
    assert_eq!(cache.create("c", 4), (Some(3), vec!["a"]));
    cache.touch(3, 1);
    assert_eq!(cache.create("d", 3), (None, vec![]), "the small one is young");
    assert_eq!(cache.cache.remove(2), Some("b"));
    assert_eq!(cache.cache.remove(2), None);
    assert_eq!(cache.create("d", 1), (Some(4), vec![]));
}

/// Goal: bytes are a bound as slots are: of one session, of all together, and when one grows.
#[test]
fn bytes_are_bounded() {
    let mut cache = Cache::new();
    let of_bytes = |bytes| Size { partitions: 5, bytes };
    assert_eq!(cache.create_sized("a", of_bytes(FETCH_SESSION_BYTES + 1)), (None, vec![]));
    let mut cache = SessionCache::default();
    let now = Instant::now();
    let mut next_id = 0;
    let mut draw = || {
        next_id += 1;
        next_id
    };
    let whole = FETCH_SESSIONS_BYTES / FETCH_SESSION_BYTES;
    for number in 0..whole {
        let created = cache.create(now, 100, of_bytes(FETCH_SESSION_BYTES), || number, &mut draw);
        assert_eq!(created.id, Some(number as i32 + 1));
    }
    assert_eq!(cache.create(now, 100, of_bytes(1), || 99, &mut draw).id, None);
    assert_eq!(cache.touch(now, 1, of_bytes(FETCH_SESSION_BYTES)), None);
    assert_eq!(
        cache.touch(now, 1, of_bytes(FETCH_SESSION_BYTES + 1)),
        Some(0),
        "too large for one"
    );
    assert_eq!(cache.touch(now, 1, of_bytes(1)), None, "it is gone");
    let later = now + FETCH_SESSION_EVICTION + A_WHILE;
    let created = cache.create(later, 100, of_bytes(FETCH_SESSION_BYTES), || 98, &mut draw);
    assert_eq!(
        (created.id, created.evicted.len()),
        (Some(whole as i32 + 1), 0),
        "there was room"
    );
    let created = cache.create(later, 100, of_bytes(1), || 97, &mut draw);
    assert_eq!((created.id, created.evicted), (Some(whole as i32 + 2), vec![1]));
}

/// Goal: ids are positive and those of no other session; without slots there is no session.
#[test]
fn ids_are_positive_and_unique() {
    let mut cache = SessionCache::default();
    let size = Size { partitions: 1, bytes: 1 };
    let now = Instant::now();
    let mut drawn = [0, i32::MIN, 7, 7, -1, i32::MAX, 3].into_iter();
    let mut draw = || drawn.next().unwrap();
    for expected in [7, i32::MAX, 3] {
        assert_eq!(cache.create(now, 10, size, || (), &mut draw).id, Some(expected));
    }
    assert_eq!(cache.create(now, 0, size, || (), draw).id, None);
}
