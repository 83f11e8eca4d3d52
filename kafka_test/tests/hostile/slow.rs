//! Clients that are slow, half gone, or gone.

use crate::{Bystander, MIB};
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse, FetchRequest, MetadataRequest, ResponseHeader};
use kafka_protocol::protocol::Decodable;
use kafka_test::batch::Batch;
use kafka_test::connection::{encode_frame, Connection};
use kafka_test::patience::eventually;
use kafka_test::process::open_sockets;
use kafka_test::requests::{append, fetch_request, latest, produce_request, Reading, FETCH, PRODUCE};
use kafka_test::server::Server;
use std::io::Write;
use std::net::Shutdown;
use std::time::{Duration, Instant};

fn framed(frame: &[u8]) -> Vec<u8> {
    let mut framed = (frame.len() as u32).to_be_bytes().to_vec();
    framed.extend(frame);
    framed
}

/// Goal: frames that come byte by byte are answered when they are whole, and meanwhile cost little and keep nobody waiting.
#[test]
fn frames_byte_by_byte() {
    let server = Server::shared();
    let topic = server.topic("slow", 1);
    let mut bystander = Bystander::of(server);
    let request = framed(&encode_frame(
        PRODUCE,
        PRODUCE,
        1,
        &produce_request(PRODUCE, &topic, 0, -1, &Batch::of(["slow"]).encode()),
    ));
    let mut clients: Vec<_> = (0..200).map(|_| server.connect()).collect();
    for byte in &request {
        for client in &mut clients {
            client.send_bytes(&[*byte]);
        }
    }
    bystander.is_served(server);
    for client in &mut clients {
        assert!(client.read_frame().is_some(), "a slow client gets its answer");
    }
    assert_eq!(latest(&mut server.connect(), &topic, 0), 200);
    bystander.finds_all_well(server, 50 * MIB);
}

/// Goal: clients that send a byte now and then, and never a whole request, cannot hold all connections against others.
#[test]
fn slow_clients_give_up_their_places() {
    let settings = [
        ("pg_kafka.max_connections", "50"),
        ("pg_kafka.max_connections_per_address", "50"),
    ];
    let server = Server::start_pg_kafka(&settings);
    let mut bystander = Bystander::of(&server);
    let request = framed(&encode_frame(12, 12, 1, &MetadataRequest::default()));
    let mut clients = Vec::new();
    eventually("all places are taken", || {
        let mut client = Connection::try_open(&server.bootstrap).ok()?;
        client.send_bytes(&request[..3]);
        clients.push(client);
        (clients.len() >= 60).then_some(())
    });
    let began = Instant::now();
    let mut sent = 3;
    // Within the time after which a request without progress counts as stalled, and a little.
    let served = loop {
        if sent < request.len() - 1 {
            for client in &mut clients {
                let _ = client.stream().write_all(&request[sent..=sent]);
            }
            sent += 1;
        }
        let reply = Connection::try_open(&server.bootstrap)
            .ok()
            .and_then(|mut client| client.try_call(0, &ApiVersionsRequest::default()));
        if reply.is_some() {
            break began.elapsed();
        }
        assert!(began.elapsed() < Duration::from_secs(20), "others are kept out");
        std::thread::sleep(Duration::from_millis(500));
    };
    eprintln!("served after {served:?}");
    bystander.finds_all_well(&server, 50 * MIB);
}

/// Goal: a client that has closed its sending half gets the answers to all it had asked before, and then the close.
#[test]
fn half_closed_sockets() {
    let server = Server::shared();
    let topic = server.topic("half", 1);
    let mut bystander = Bystander::of(server);
    for round in 0..50 {
        let mut client = server.connect();
        let produced: Vec<_> = (0..10)
            .map(|_| client.send(PRODUCE, &produce_request(PRODUCE, &topic, 0, -1, &Batch::of(["x"]).encode())))
            .collect();
        let asked = client.send(0, &ApiVersionsRequest::default());
        // And half a request, of which nothing comes any more.
        client.send_bytes(&[0, 0, 1]);
        client.stream().shutdown(Shutdown::Write).unwrap();
        for sent in produced {
            let reply = client.receive::<kafka_protocol::messages::ProduceRequest>(sent);
            assert_eq!(reply.responses[0].partition_responses[0].error_code, 0);
        }
        client.receive::<ApiVersionsRequest>(asked);
        client.assert_closed_within(Duration::from_secs(10), "a half-closed connection");
        assert_eq!(latest(&mut server.connect(), &topic, 0), (round + 1) * 10);
    }
    bystander.finds_all_well(server, 50 * MIB);
}

/// Goal: clients that ask for very much and read nothing: what waits for them is bounded, they are closed when they are in the way,
/// and others are served.
#[test]
fn clients_that_never_read() {
    let settings = [
        ("pg_kafka.queued_max_response_bytes", "32MB"),
        ("pg_kafka.queued_max_request_bytes", "128MB"),
        ("pg_kafka.tail_cache_bytes", "16MB"),
    ];
    let server = Server::start_pg_kafka(&settings);
    let topic = server.topic("unread", 1);
    let mut producer = server.connect();
    for _ in 0..40 {
        append(&mut producer, &topic, 0, &Batch::of([vec![7; 900 * 1024]]));
    }
    let mut bystander = Bystander::of(&server);
    let fetch = fetch_request(FETCH, &topic, Reading::from(0));
    let deaf: Vec<_> = (0..40)
        .map(|_| {
            let mut client = server.connect();
            for _ in 0..200 {
                client.send(FETCH, &fetch);
            }
            client
        })
        .collect();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(25) {
        bystander.is_served(&server);
        std::thread::sleep(Duration::from_millis(200));
    }
    bystander.finds_all_well(&server, 300 * MIB);
    drop(deaf);
    bystander.finds_all_well(&server, 300 * MIB);
}

/// Goal: a million requests on one connection, sent without waiting for a reply, are all answered in order; while nothing is read, nothing
/// piles up.
#[test]
fn a_million_pipelined_requests() {
    const REQUESTS: i32 = 1_000_000;
    let server = Server::shared();
    let mut bystander = Bystander::of(server);
    let client = server.connect();
    let mut sending = client.stream().try_clone().unwrap();
    sending.set_write_timeout(Some(Duration::from_secs(120))).unwrap();
    let writer = std::thread::spawn(move || {
        let mut chunk = Vec::new();
        for id in 0..REQUESTS {
            chunk.extend(framed(&encode_frame(0, 0, id, &ApiVersionsRequest::default())));
            if chunk.len() > 1 << 20 || id == REQUESTS - 1 {
                sending.write_all(&chunk).unwrap();
                chunk.clear();
            }
        }
    });
    // Until it reads, the server stands still with this client, and with no other.
    for _ in 0..10 {
        bystander.is_served(server);
        std::thread::sleep(Duration::from_millis(100));
    }
    bystander.finds_all_well(server, 50 * MIB);
    let mut replies = Connection::over(client.stream().try_clone().unwrap());
    for id in 0..REQUESTS {
        let mut frame = bytes::Bytes::from(replies.read_frame().expect("a reply"));
        assert_eq!(ResponseHeader::decode(&mut frame, 0).unwrap().correlation_id, id);
        if id == 0 {
            assert_eq!(ApiVersionsResponse::decode(&mut frame, 0).unwrap().error_code, 0);
        }
    }
    writer.join().unwrap();
    bystander.finds_all_well(server, 50 * MIB);
}

/// Goal: clients that vanish while a request is received, is worked on or is answered leave nothing behind: no descriptor, no memory,
/// no reply to somebody else.
#[test]
fn clients_that_vanish() {
    let server = Server::start_pg_kafka(&[]);
    let topic = server.topic("vanish", 1);
    append(&mut server.connect(), &topic, 0, &Batch::of([vec![7; 900 * 1024]]));
    let mut bystander = Bystander::of(&server);
    let files = open_sockets(server.broker_pid());
    let produce = framed(&encode_frame(
        PRODUCE,
        PRODUCE,
        1,
        &produce_request(PRODUCE, &topic, 0, -1, &Batch::of([vec![7; 100 * 1024]]).encode()),
    ));
    let wait = Reading {
        max_wait_ms: 5_000,
        min_bytes: i32::MAX,
        ..Reading::from(0)
    };
    for round in 0..300 {
        let mut client = server.connect();
        match round % 4 {
            // In the middle of a request, at another place each time.
            0 => client.send_bytes(&produce[..1 + round * 331 % (produce.len() - 1)]),
            // While it is written.
            1 => client.send_bytes(&produce),
            // While it waits for more to come.
            2 => drop(client.send::<FetchRequest>(FETCH, &fetch_request(FETCH, &topic, wait))),
            // While replies are on their way.
            _ => {
                for _ in 0..20 {
                    client.send(FETCH, &fetch_request(FETCH, &topic, Reading::from(0)));
                }
            }
        }
        if round % 8 < 4 {
            // With a reset instead of an orderly end.
            rustix::net::sockopt::set_socket_linger(client.stream(), Some(Duration::ZERO)).unwrap();
        }
        drop(client);
    }
    bystander.finds_all_well(&server, 100 * MIB);
    eventually("their descriptors are closed", || {
        (open_sockets(server.broker_pid()) <= files + 5).then_some(())
    });
    bystander.finds_all_well(&server, 100 * MIB);
}
