//! How many connections there may be, what they cost, and what happens when there is no room.

use std::process::Command;

use super::*;
use crate::limits;

const CHILD: &str = "PG_KAFKA_NET_TEST_CHILD";

/// Runs the named test alone in a process of its own under `ulimit -n`; true if this is that process.
fn in_child(test: &str, descriptors: usize) -> bool {
    if std::env::var_os(CHILD).is_some() {
        return true;
    }
    let script = format!("ulimit -n {descriptors} && exec \"$0\" --exact net::tests::caps::{test} --nocapture --test-threads=1");
    let program = std::env::current_exe().expect("own path");
    let output = Command::new("sh")
        .arg("-c")
        .arg(script)
        .arg(program)
        .env(CHILD, "1")
        .output()
        .expect("child");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "the child ran no test: {said}");
    false
}

/// Goal: at the cap the longest idle connection makes room; busy ones never do, and then the new one is closed.
#[tokio::test]
async fn the_longest_idle_makes_room() {
    let broker = Broker::start(Settings {
        max_connections: 3,
        ..small_settings()
    });
    let mut busy = broker.connect().await;
    busy.send("Th").await;
    until("started", || broker.started().len() == 1).await;
    let mut first = broker.connect().await;
    assert_eq!(first.ask("Te").await, b"Te");
    let mut second = broker.connect().await;
    assert_eq!(second.ask("Te").await, b"Te");
    let idle = |info: &ConnectionInfo| info.idle >= Duration::from_millis(2);
    until("time passed", || broker.service.connections().list().iter().all(idle)).await;
    assert_eq!(first.ask("Te").await, b"Te");
    let mut third = broker.connect().await;
    assert_eq!(third.ask("Te").await, b"Te");
    second.closed().await;
    assert_eq!(first.ask("Te").await, b"Te");
    for client in [&mut first, &mut third] {
        client.send("Eh").await;
    }
    until("all busy", || {
        broker.started().iter().filter(|frame| frame[1] == b'h').count() == 3
    })
    .await;
    broker.connect().await.closed().await;
    assert_eq!(broker.count(), 3);
    broker.open_gate();
    for client in [&mut busy, &mut first, &mut third] {
        assert_eq!(client.receive().await[1], b'h');
    }
}

/// Goal: one address cannot take the places of others, and its places come back.
#[tokio::test]
async fn one_address_has_its_own_cap() {
    let broker = Broker::start(Settings {
        max_connections_per_address: 2,
        ..small_settings()
    });
    let mut first = broker.connect().await;
    assert_eq!(first.ask("Te").await, b"Te");
    let mut second = broker.connect().await;
    assert_eq!(second.ask("Te").await, b"Te");
    broker.connect().await.closed().await;
    let elsewhere = tokio::net::TcpSocket::new_v4().expect("socket");
    elsewhere.bind(([127, 0, 0, 2], 0).into()).expect("bind");
    let mut other = Client(elsewhere.connect(broker.address).await.expect("connect"));
    assert_eq!(other.ask("Te").await, b"Te");
    drop(first);
    until("a place", || broker.count() == 2).await;
    let mut third = broker.connect().await;
    assert_eq!(third.ask("Te").await, b"Te");
    assert_eq!(second.ask("Te").await, b"Te");
}

/// Goal: the list says what each connection did.
#[tokio::test]
async fn the_list_tells_what_happened() {
    let broker = Broker::start(small_settings());
    let mut client = broker.connect().await;
    assert_eq!(client.ask("Te").await, b"Te");
    assert_eq!(client.ask("Te").await, b"Te");
    until("answered", || broker.service.connections().list()[0].unanswered == 0).await;
    let list = broker.service.connections().list();
    assert_eq!(list.len(), 1);
    assert_eq!((list[0].requests, list[0].bytes_in, list[0].bytes_out), (2, 12, 12));
    assert_eq!(list[0].client, client.0.local_addr().expect("address"));
    assert_eq!(list[0].local, broker.address);
}

/// Goal: 5,000 connections that have been used and are idle cost little memory each, and a client beside them is served.
#[tokio::test]
async fn idle_connections_cost_little() {
    if !in_child("idle_connections_cost_little", 256) {
        return;
    }
    let settings = Settings {
        max_connections: 6000,
        max_connections_per_address: 6000,
        ..small_settings()
    };
    let broker = Broker::start(settings);
    let request = vec![b'T'; 2000];
    let mut warm = broker.connect_in_memory(256);
    assert_eq!(warm.ask(&request).await, request);
    let before = resident_bytes();
    let mut clients = Vec::new();
    for _ in 0..5000 {
        let mut client = broker.connect_in_memory(256);
        assert_eq!(client.ask(&request).await, request);
        broker.script.started.lock().expect("lock").clear();
        clients.push(client);
    }
    let each = resident_bytes().saturating_sub(before) / clients.len();
    assert!(each < 5 * 1024, "{each} bytes each");
    assert_eq!(broker.count(), 5001);
    assert_eq!(broker.connect().await.ask("Te").await, b"Te");
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<usize>().ok())
        .expect("a number")
        * 1024
}

/// Goal: without descriptors the listener neither spins nor dies: a new client takes the place of an idle one, or is closed while all
/// are busy, and those who are there are served on.
#[tokio::test]
async fn running_out_of_descriptors() {
    if !in_child("running_out_of_descriptors", 40) {
        return;
    }
    let broker = Broker::start(small_settings());
    let mut kept = broker.connect().await;
    kept.send("Th").await;
    until("started", || broker.started().len() == 1).await;
    let mut fill = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        fill.push(file);
    }
    // One for the client's end, none for the server's.
    fill.pop();
    let refused = std::net::TcpStream::connect(broker.address).expect("the kernel connects");
    let mut refused = from_std(refused);
    refused.closed().await;
    drop(refused);
    fill.pop();
    let mut idle = from_std(std::net::TcpStream::connect(broker.address).expect("the kernel connects"));
    assert_eq!(idle.ask("Te").await, b"Te");
    while let Ok(file) = std::fs::File::open("/dev/null") {
        fill.push(file);
    }
    fill.pop();
    let mut new = from_std(std::net::TcpStream::connect(broker.address).expect("the kernel connects"));
    assert_eq!(new.ask("Te").await, b"Te");
    idle.closed().await;
    broker.open_gate();
    assert_eq!(kept.receive().await, b"Th");
}

fn from_std(stream: std::net::TcpStream) -> Client<TcpStream> {
    stream.set_nonblocking(true).expect("nonblocking");
    Client(TcpStream::from_std(stream).expect("register"))
}

/// Goal: what cannot be listened on is named in the error.
#[tokio::test]
async fn errors_of_the_listener_name_the_address() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = taken.local_addr().expect("address").port();
    let error = Listeners::bind(&["127.0.0.1".to_owned()], port).expect_err("in use");
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert!(
        error.to_string().contains(&format!("\"127.0.0.1\" (127.0.0.1:{port})")),
        "{error}"
    );
    let error = Listeners::bind(&["no-such-host.invalid".to_owned()], 0).expect_err("unknown");
    assert!(error.to_string().contains("no-such-host.invalid"), "{error}");
    let error = Listeners::bind(&["192.0.2.1".to_owned()], 0).expect_err("not ours");
    assert!(error.to_string().contains("192.0.2.1"), "{error}");
    assert!(Listeners::bind(&[], 0).is_err());
}

/// Goal: `*` and an address it covers make sockets that serve.
#[tokio::test]
async fn all_addresses() {
    let broker = Broker::start(Settings {
        listen_addresses: vec!["*".to_owned()],
        ..small_settings()
    });
    let port = broker.address.port();
    let mut client = Client(TcpStream::connect(("127.0.0.1", port)).await.expect("connect"));
    assert_eq!(client.ask("Te").await, b"Te");
}

/// Goal: an address that has all connections there may be gives up its idle ones for its new ones; and those that let requests stand
/// still, if none is idle.
#[tokio::test(start_paused = true)]
async fn one_address_may_have_all() {
    let broker = Broker::start(Settings {
        max_connections: 2,
        max_connections_per_address: 2,
        connections_max_idle: Duration::from_secs(600),
        ..small_settings()
    });
    let mut first = broker.connect_in_memory(1024);
    let mut second = broker.connect_in_memory(1024);
    assert_eq!(first.ask(b"Te1").await, b"Te1");
    assert_eq!(second.ask(b"Te2").await, b"Te2");
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(second.ask(b"Te2").await, b"Te2");
    let mut third = broker.connect_in_memory(1024);
    assert_eq!(third.ask(b"Te3").await, b"Te3");
    first.closed().await;
    // Both that are left begin a request and do not go on.
    let before = broker.bytes_in();
    second.send_raw(&[0, 0]).await;
    third.send_raw(&[0]).await;
    until("both have begun", || broker.bytes_in() >= before + 3).await;
    let mut refused = broker.connect_in_memory(1024);
    refused.closed().await;
    tokio::time::sleep(limits::STALL_UNDER_PRESSURE).await;
    let mut fourth = broker.connect_in_memory(1024);
    assert_eq!(fourth.ask(b"Te4").await, b"Te4");
}
