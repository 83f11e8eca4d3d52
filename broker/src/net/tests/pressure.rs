//! Limits of time and memory: who waits, and who goes.

use super::*;
use crate::limits;

const KIB: usize = 1024;

fn tight_settings() -> Settings {
    Settings {
        max_request_bytes: 1024 * KIB,
        queued_max_request_bytes: 1024 * KIB,
        queued_max_response_bytes: 1024 * KIB,
        ..small_settings()
    }
}

fn request(fate: &[u8; 2], size: usize) -> Vec<u8> {
    let mut request = vec![1; size];
    request[..2].copy_from_slice(fate);
    request
}

/// Goal: while requests hold the whole budget, others wait and are not started beyond it and the one overdraft; then all are served.
#[tokio::test]
async fn an_exhausted_budget_recovers() {
    let broker = Broker::start(tight_settings());
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let mut client = broker.connect().await;
        clients.spawn(async move {
            let request = request(b"Eh", 500 * KIB);
            assert!(client.ask(&request).await == request);
        });
    }
    let requests = broker.service.requests();
    until("waiters", || requests.waiting() >= 5 && !broker.started().is_empty()).await;
    assert!(broker.started().len() <= 3, "two fit, a third may exceed");
    broker.open_gate();
    while let Some(client) = clients.join_next().await {
        client.expect("client");
    }
    assert_eq!(requests.waiting(), 0);
    broker.at_rest().await;
}

/// Goal: frames that fill the budget with their beginnings are all finished, without anybody being closed.
#[tokio::test]
async fn large_frames_do_not_lock_each_other_out() {
    let broker = Broker::start(tight_settings());
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = broker.connect().await;
        client.send_raw(&framed(&request(b"Te", 900 * KIB))[..300 * KIB]).await;
        clients.push(client);
    }
    let requests = broker.service.requests();
    until("the budget is shared out", || requests.waiting() > 0).await;
    let mut tasks = JoinSet::new();
    for mut client in clients {
        tasks.spawn(async move {
            client.send_raw(&framed(&request(b"Te", 900 * KIB))[300 * KIB..]).await;
            assert_eq!(client.receive().await.len(), 900 * KIB);
        });
    }
    while let Some(client) = tasks.join_next().await {
        client.expect("served");
    }
    broker.at_rest().await;
}

/// Goal: clients that hold the budget with frames they do not finish go when others wait, after the stall limit; those others, who
/// wait without fault of theirs, stay and are served.
#[tokio::test(start_paused = true)]
async fn stalled_frames_make_room() {
    let broker = Broker::start(tight_settings());
    let begun = tokio::time::Instant::now();
    let mut stalled = Vec::new();
    for _ in 0..3 {
        let mut client = broker.connect_in_memory(2048 * KIB);
        client.send_raw(&framed(&request(b"Te", 1024 * KIB))[..512 * KIB + 100]).await;
        stalled.push(client);
    }
    until("the budget is exhausted", || broker.service.requests().waiting() > 0).await;
    let mut patient = broker.connect_in_memory(2048 * KIB);
    let asked = request(b"Te", 700 * KIB);
    patient.send(&asked).await;
    let reply = patient.try_receive().await.expect("served");
    assert!(reply == asked);
    let elapsed = begun.elapsed();
    assert!(elapsed >= limits::STALL_UNDER_PRESSURE, "{elapsed:?}");
    assert!(elapsed < limits::STALL_UNDER_PRESSURE * 4, "{elapsed:?}");
    assert!(stalled[0].try_receive().await.is_err());
}

/// Goal: single bytes are no progress while others wait.
#[tokio::test(start_paused = true)]
async fn dribbled_frames_make_room() {
    let broker = Broker::start(tight_settings());
    let mut dribblers = Vec::new();
    for _ in 0..3 {
        let mut client = broker.connect_in_memory(2048 * KIB);
        client.send_raw(&framed(&request(b"Te", 1024 * KIB))[..512 * KIB + 100]).await;
        dribblers.push(client);
    }
    until("the budget is exhausted", || broker.service.requests().waiting() > 0).await;
    let dribbling = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            for client in &mut dribblers {
                let _ = client.0.write_all(&[0]).await;
            }
        }
    };
    let mut patient = broker.connect_in_memory(2048 * KIB);
    let asked = request(b"Te", 700 * KIB);
    patient.send(&asked).await;
    let served = async { patient.try_receive().await.expect("served") };
    let reply = tokio::time::timeout(limits::STALL_UNDER_PRESSURE * 4, async {
        tokio::select! {
            () = dribbling => unreachable!("dribbles on"),
            reply = served => reply,
        }
    });
    assert!(reply.await.expect("in time") == asked);
}

/// Goal: a database that stands still closes nobody: those who wait for the budget wait without fault of theirs.
#[tokio::test(start_paused = true)]
async fn waiting_for_the_broker_closes_nobody() {
    let broker = Broker::start(tight_settings());
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = broker.connect_in_memory(2048 * KIB);
        client.send(request(b"Eh", 600 * KIB)).await;
        clients.push(client);
    }
    until("waiters", || broker.service.requests().waiting() > 0).await;
    tokio::time::sleep(small_settings().connections_max_idle * 3).await;
    assert_eq!(broker.count(), 4);
    broker.open_gate();
    for client in &mut clients {
        assert_eq!(client.try_receive().await.expect("served").len(), 600 * KIB);
    }
}

/// Goal: a client that does not read its reply holds up nobody else, and goes after the idle limit.
#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read() {
    let broker = Broker::start(small_settings());
    let mut slow = broker.connect_in_memory(KIB);
    slow.send(big('T', 10_000)).await;
    until("writing", || {
        broker.service.connections().list().iter().any(|info| info.bytes_out == 1024)
    })
    .await;
    let mut other = broker.connect_in_memory(KIB);
    assert_eq!(other.try_receive_after(b"Te").await, b"Te");
    tokio::time::sleep(small_settings().connections_max_idle - Duration::from_secs(5)).await;
    assert_eq!(broker.count(), 2);
    assert_eq!(other.try_receive_after(b"Te").await, b"Te");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(broker.count(), 1);
    assert_eq!(broker.service.replies().free(), broker.service.replies().total());
}

/// Goal: a client that reads slowly gets its reply whole.
#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly() {
    let broker = Broker::start(small_settings());
    let mut slow = broker.connect_in_memory(KIB);
    slow.send(big('T', 20)).await;
    let mut received = vec![0; 4 + 20 * KIB];
    for part in received.chunks_mut(KIB) {
        tokio::time::sleep(small_settings().connections_max_idle - Duration::from_secs(5)).await;
        slow.0.read_exact(part).await.expect("read");
    }
    assert!(received[4..].iter().all(|byte| *byte == 7));
}

/// Goal: replies that are not read make room for those of others when the budget of replies is exhausted.
#[tokio::test(start_paused = true)]
async fn unread_replies_make_room() {
    let broker = Broker::start(tight_settings());
    let mut slow = broker.connect_in_memory(KIB);
    slow.send(big('T', 1000)).await;
    until("writing", || broker.service.replies().free() < 100 * KIB).await;
    let mut other = broker.connect_in_memory(2048 * KIB);
    let begun = tokio::time::Instant::now();
    other.send(big('T', 500)).await;
    assert_eq!(other.try_receive().await.expect("served").len(), 500 * KIB);
    assert!(begun.elapsed() < limits::STALL_UNDER_PRESSURE * 2);
    until("the slow one is gone", || broker.count() == 1).await;
}

/// Goal: a connection without requests goes after the idle limit, one that waits for a reply does not.
#[tokio::test(start_paused = true)]
async fn idle_connections_go() {
    let broker = Broker::start(small_settings());
    let limit = small_settings().connections_max_idle;
    let mut waiting = broker.connect_in_memory(KIB);
    waiting.send("Th").await;
    let mut active = broker.connect_in_memory(KIB);
    let _silent = broker.connect_in_memory(KIB);
    until("three", || broker.count() == 3 && broker.started().len() == 1).await;
    for _ in 0..4 {
        tokio::time::sleep(limit - Duration::from_secs(10)).await;
        assert_eq!(active.try_receive_after(b"Te").await, b"Te");
    }
    assert_eq!(broker.count(), 2);
    broker.open_gate();
    assert_eq!(waiting.try_receive().await.expect("served"), b"Th");
    tokio::time::sleep(limit + Duration::from_secs(10)).await;
    assert_eq!(broker.count(), 0);
}

impl Client<DuplexStream> {
    /// As [`Client::ask`], but without a timer, which a paused clock would jump to.
    async fn try_receive_after(&mut self, frame: &[u8]) -> Vec<u8> {
        self.send(frame).await;
        self.try_receive().await.expect("reply")
    }
}
