//! Requests start and are answered in the order they came.

use super::*;

/// Goal: eager requests start while earlier eager ones are unanswered; one in turn starts when all before it are written, and what
/// comes after it waits for it.
#[tokio::test]
async fn mixed_requests_keep_their_order() {
    let broker = Broker::start(small_settings());
    let mut client = broker.connect().await;
    let requests = ["Eh1", "Ee2", "Te3", "Ee4", "Te5", "Te6"];
    let all: Vec<u8> = requests.iter().flat_map(|request| framed(request.as_bytes())).collect();
    client.send_raw(&all).await;
    until("everything received", || broker.bytes_in() == all.len() as u64).await;
    until("two started", || broker.started().len() == 2).await;
    assert_eq!(broker.started(), ["Eh1", "Ee2"]);
    broker.open_gate();
    for request in requests {
        assert_eq!(client.receive().await, request.as_bytes());
    }
    assert_eq!(broker.started(), requests);
    let bytes_out: Vec<u64> = broker
        .script
        .started
        .lock()
        .expect("lock")
        .iter()
        .map(|started| started.bytes_out)
        .collect();
    assert_eq!(bytes_out[2], 14);
    assert!(bytes_out[3] >= 21);
    assert_eq!(bytes_out[4..], [28, 35]);
    broker.at_rest().await;
}

/// Goal: a connection has at most 64 unanswered requests, then it is not read; nothing is lost.
#[tokio::test]
async fn pipelining_stops_at_the_limit() {
    let broker = Broker::start(small_settings());
    let mut client = broker.connect().await;
    let all: Vec<u8> = (0..200u8).flat_map(|number| framed(&[b'E', b'h', number])).collect();
    client.send_raw(&all).await;
    until("64 started", || broker.started().len() == 64).await;
    until("everything received", || broker.bytes_in() == all.len() as u64).await;
    assert_eq!(broker.started().len(), 64);
    assert_eq!(broker.service.connections().list()[0].unanswered, 64);
    broker.open_gate();
    for number in 0..200u8 {
        assert_eq!(client.receive().await, [b'E', b'h', number]);
    }
    broker.at_rest().await;
}

/// Goal: the bodies of requests that must wait for an unanswered one in turn are left in the socket.
#[tokio::test]
async fn nothing_is_received_behind_a_request_in_turn() {
    let broker = Broker::start(small_settings());
    let mut client = broker.connect().await;
    client.send("Th").await;
    until("started", || broker.started().len() == 1).await;
    let free = broker.service.requests().free();
    let mut large = vec![0; 1_000_000];
    large[..2].copy_from_slice(b"Ee");
    let (mut read, mut write) = client.0.split();
    let sent = framed(&large);
    let check = async {
        until("a part received", || broker.bytes_in() > 6).await;
        assert_eq!(broker.service.requests().free(), free);
        assert!(broker.bytes_in() <= 6 + crate::limits::RECEIVE_CHUNK_BYTES as u64);
        broker.open_gate();
        let mut replies = vec![0; 6 + sent.len()];
        read.read_exact(&mut replies).await.expect("replies");
        assert!(replies[6..] == sent[..]);
    };
    let (result, ()) = tokio::join!(write.write_all(&sent), check);
    result.expect("sent");
    broker.at_rest().await;
}

/// Goal: acks=0 gets no bytes, and does not disturb the replies around it.
#[tokio::test]
async fn no_reply_is_no_bytes() {
    let broker = Broker::start(small_settings());
    let mut client = broker.connect().await;
    for request in ["En1", "Ee2", "En3", "Tn4", "Te5"] {
        client.send(request).await;
    }
    assert_eq!(client.receive().await, b"Ee2");
    assert_eq!(client.receive().await, b"Te5");
    broker.at_rest().await;
}

/// Goal: a request that ends the connection does so after the replies before it, and nothing after it is answered.
#[tokio::test]
async fn close_comes_after_earlier_replies() {
    let broker = Broker::start(small_settings());
    let mut client = broker.connect().await;
    let all: Vec<u8> = ["Eh1", "Ee2", "Ec3", "Ee4"]
        .iter()
        .flat_map(|request| framed(request.as_bytes()))
        .collect();
    client.send_raw(&all).await;
    until("all started", || broker.started().len() == 4).await;
    broker.open_gate();
    assert_eq!(client.receive().await, b"Eh1");
    assert_eq!(client.receive().await, b"Ee2");
    client.closed().await;
    broker.at_rest().await;
    assert_eq!(broker.count(), 0);
}

/// Goal: a client that ends its stream after its requests (kcat through a pipe does) gets all replies, as from Kafka.
#[tokio::test]
async fn a_half_closed_client_is_answered() {
    let broker = Broker::start(small_settings());
    let mut client = broker.connect().await;
    let mut all: Vec<u8> = ["Eh1", "Te2", "Ee3"]
        .iter()
        .flat_map(|request| framed(request.as_bytes()))
        .collect();
    all.extend([0, 0, 0, 9, b'E']);
    client.send_raw(&all).await;
    client.0.shutdown().await.expect("half close");
    until("started", || broker.started().len() == 1).await;
    broker.open_gate();
    for request in ["Eh1", "Te2", "Ee3"] {
        assert_eq!(client.receive().await, request.as_bytes());
    }
    client.closed().await;
    until("gone", || broker.count() == 0).await;
    broker.at_rest().await;
}

/// Goal: when the client is gone, what waits for its replies is dropped; what was started stays started.
#[tokio::test]
async fn pending_replies_of_a_vanished_client_are_dropped() {
    let broker = Broker::start(small_settings());
    let mut client = broker.connect().await;
    client.send("Eh1").await;
    client.send("Eh2").await;
    until("started", || broker.started().len() == 2).await;
    socket2::SockRef::from(&client.0)
        .set_linger(Some(Duration::ZERO))
        .expect("linger");
    drop(client);
    until("gone", || broker.count() == 0).await;
    broker.at_rest().await;
    assert_eq!(broker.started(), ["Eh1", "Eh2"]);
}

/// Goal: a panic, at start or later, ends its own connection and nothing else.
#[tokio::test]
async fn a_panic_ends_one_connection() {
    let broker = Broker::start(small_settings());
    let mut other = broker.connect().await;
    other.send("Eh").await;
    until("started", || broker.started().len() == 1).await;
    for request in ["Ep", "EP", "Tp", "TP"] {
        let mut client = broker.connect().await;
        assert_eq!(client.ask("Te").await, b"Te");
        client.send(request).await;
        client.closed().await;
        until("gone", || broker.count() == 1).await;
    }
    broker.open_gate();
    assert_eq!(other.receive().await, b"Eh");
    broker.at_rest().await;
}

/// Goal: many clients, each with many requests in flight, all get their own replies (on several threads).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_at_once() {
    let broker = Arc::new(Broker::start(small_settings()));
    broker.open_gate();
    let mut clients = JoinSet::new();
    for id in 0..20u32 {
        let broker = Arc::clone(&broker);
        clients.spawn(async move {
            let (mut read, mut write) = broker.connect().await.0.into_split();
            let requests: Vec<Vec<u8>> = (0..500u32)
                .map(|number| {
                    let mut request = vec![
                        if number % 7 == 0 { b'T' } else { b'E' },
                        if number % 3 == 0 { b'h' } else { b'e' },
                    ];
                    request.extend(id.to_be_bytes());
                    request.extend(number.to_be_bytes());
                    request.resize(10 + (number as usize * 37) % 5000, 1);
                    request
                })
                .collect();
            let sent: Vec<u8> = requests.iter().flat_map(|request| framed(request)).collect();
            let expected = sent.clone();
            let sending = async { write.write_all(&sent).await.expect("sent") };
            let receiving = async {
                let mut received = vec![0; expected.len()];
                read.read_exact(&mut received).await.expect("received");
                assert!(received == expected);
            };
            tokio::time::timeout(PATIENCE, async { tokio::join!(sending, receiving) })
                .await
                .expect("in time");
        });
    }
    while let Some(client) = clients.join_next().await {
        client.expect("client");
    }
    broker.at_rest().await;
}
