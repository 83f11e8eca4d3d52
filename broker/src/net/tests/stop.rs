//! The end of the broker.

use super::*;
use crate::limits;

/// Goal: at shutdown started eager requests are answered, long polls and idle connections are closed at once, and nobody can connect.
#[tokio::test]
async fn shutdown_answers_what_is_on_its_way() {
    let broker = Broker::start(small_settings());
    let mut eager = broker.connect().await;
    eager.send("Eh1").await;
    eager.send("Eh2").await;
    let mut polling = broker.connect().await;
    polling.send("Th").await;
    let mut idle = broker.connect().await;
    assert_eq!(idle.ask("Te").await, b"Te");
    until("started", || broker.started().len() == 4).await;
    broker.shutdown.send_replace(true);
    polling.closed().await;
    idle.closed().await;
    until("listener closed", || std::net::TcpStream::connect(broker.address).is_err()).await;
    assert!(!broker.served.is_finished());
    broker.open_gate();
    assert_eq!(eager.receive().await, b"Eh1");
    assert_eq!(eager.receive().await, b"Eh2");
    eager.closed().await;
    tokio::time::timeout(PATIENCE, broker.served)
        .await
        .expect("in time")
        .expect("no panic")
        .expect("served");
    assert_eq!(broker.service.connections().count(), 0);
}

/// Goal: requests that are not answered hold the shutdown up for the grace time and no longer.
#[tokio::test(start_paused = true)]
async fn shutdown_does_not_wait_for_ever() {
    let broker = Broker::start(small_settings());
    let mut client = broker.connect_in_memory(1024);
    client.send("Eh").await;
    until("started", || broker.started().len() == 1).await;
    let begun = tokio::time::Instant::now();
    broker.shutdown.send_replace(true);
    assert!(client.try_receive().await.is_err());
    assert_eq!(begun.elapsed().as_secs(), limits::SHUTDOWN_GRACE.as_secs());
    assert_eq!(broker.script.unfinished.load(Ordering::SeqCst), 0);
}

/// Goal: dropping the future of the server closes everything.
#[tokio::test]
async fn dropping_the_server_closes_everything() {
    let broker = Broker::start(small_settings());
    let mut client = broker.connect().await;
    client.send("Eh").await;
    until("started", || broker.started().len() == 1).await;
    broker.served.abort();
    client.closed().await;
    until("listener closed", || std::net::TcpStream::connect(broker.address).is_err()).await;
    broker.at_rest().await;
}
