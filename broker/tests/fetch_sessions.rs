//! What a request in a large fetch session costs. The allocator counts for the whole process, so this is a test binary of its own.
#![allow(clippy::unwrap_used)]

use std::alloc::System;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::catalog::configs::TopicConfigs;
use broker::catalog::{Catalog, Topic};
use broker::fetch::session::{Outcome, Session};
use broker::fetch::wait::{Partitions, Patience};
use broker::fetch::wanted::{TopicKey, Wanted};
use broker::fetch::{FetchSessions, Opened, Opening, Size};
use broker::log::partition::Partition;
use broker::settings::Settings;
use broker::storage::engine::TopicNumber;
use stats_alloc::{Region, StatsAlloc, INSTRUMENTED_SYSTEM};
use tokio::sync::watch;
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const PARTITIONS: i32 = 1000;
const EPOCH: i32 = 7;

/// A catalog with one topic.
fn catalog() -> Catalog {
    let partition = |index| Arc::new(Partition::new(TopicNumber(1), index, 0, 5, &[], EPOCH));
    let topic = Topic {
        number: TopicNumber(1),
        id: Uuid::from_u128(1),
        name: "t".into(),
        configs: TopicConfigs::default(),
        partitions: (0..PARTITIONS).map(partition).collect(),
    };
    let catalog = Catalog::new(String::new(), EPOCH);
    catalog.update(|topics| topics.insert(Arc::new(topic)));
    catalog
}

/// A session of all its partitions, whose client knows everything.
fn session(catalog: &Catalog) -> (Size, Session) {
    let topics = catalog.topics();
    let topic = topics.by_name("t").unwrap();
    let wanted = topic.partitions.iter().map(|partition| Wanted {
        topic: TopicKey::Name("t".into()),
        partition: partition.index,
        fetch_offset: 5,
        partition_max_bytes: 1 << 20,
        current_leader_epoch: EPOCH,
        found: Ok(partition.clone()),
    });
    let told = Outcome {
        high_watermark: 5,
        log_start_offset: 0,
        is_error: false,
        has_records: false,
    };
    let session = Session::new(false, topics.version(), wanted.map(|wanted| (wanted, told)));
    (session.size(), session)
}

/// Goal: a request that changes nothing in a session of 1,000 partitions, and its wait in vain for news, allocate a handful of times and not
/// once for each partition.
#[tokio::test(start_paused = true)]
async fn a_request_without_news_allocates_nothing_for_a_partition() {
    let catalog = catalog();
    let (_sender, settings) = watch::channel(Arc::new(Settings::default()));
    let sessions = FetchSessions::new(settings);
    let (size, session) = session(&catalog);
    let id = sessions.create(Instant::now(), size, || session);
    let patience = Patience {
        max_wait: Duration::from_millis(500),
        min_bytes: 1,
    };
    let mut allocations = Vec::new();
    for epoch in 1..100 {
        let region = Region::new(ALLOCATOR);
        let topics = catalog.topics();
        let opening = Opening {
            id,
            epoch,
            by_id: false,
            wanted: &[],
            forgotten: &[],
            topics: &topics,
        };
        let Ok(Opened::Incremental(request)) = sessions.open(Instant::now(), &opening) else {
            panic!("not a request of the session");
        };
        let news = Partitions::OfSession(request).wait(EPOCH, &patience).await;
        assert_eq!(news, Ok(vec![]));
        allocations.push(region.change().allocations);
    }
    // The lists of waiters grow to their size in the first rounds.
    let settled = &allocations[50..];
    assert!(
        settled.iter().all(|count| *count < 20),
        "allocations of a request each: {settled:?}"
    );
}
