//! Bytes become frames, whatever their pieces and whatever length was announced.

use super::*;

/// Goal: frames arrive whole from any pieces: a stream of one, three and seven bytes at a time.
#[tokio::test]
async fn frames_in_pieces() {
    let broker = Broker::start(small_settings());
    for buffer in [1, 3, 7] {
        let mut client = broker.connect_in_memory(buffer);
        for length in [1, 2, 7, 8, 9, 100] {
            let request: Vec<u8> = [b'T'].into_iter().chain((1..length).map(|byte| byte + 128)).collect();
            let reply = tokio::time::timeout(PATIENCE, client.ask(&request)).await.expect("in time");
            assert_eq!(reply, request);
        }
    }
    broker.at_rest().await;
}

/// Goal: frames of sizes around the steps of the receive buffer arrive unchanged, pipelined.
#[tokio::test]
async fn frames_of_all_sizes() {
    use crate::limits::{
        RECEIVE_BEYOND_BYTES as BEYOND, RECEIVE_CHARGE_FIRST_BYTES as FIRST, RECEIVE_CHARGE_STEP_BYTES as STEP,
        RECEIVE_CHUNK_BYTES as CHUNK,
    };
    let broker = Broker::start(small_settings());
    let (mut read, mut write) = broker.connect().await.0.into_split();
    let sizes = [
        CHUNK - 5,
        CHUNK - 4,
        CHUNK,
        CHUNK + 1,
        2 * CHUNK,
        BEYOND - 4,
        FIRST - 4,
        BEYOND - 5,
        FIRST,
        BEYOND - 3,
        FIRST + 1,
        5 * FIRST,
        STEP - 1,
        STEP,
        STEP + 1,
        5 * STEP + 3,
        20 * STEP,
        1,
        1,
    ];
    let mut sent = Vec::new();
    for (index, size) in sizes.into_iter().enumerate() {
        let mut frame: Vec<u8> = (0..size).map(|at| (at * 31 + index) as u8).collect();
        frame[0] = b'E';
        if size > 1 {
            frame[1] = b'e';
        }
        sent.extend(framed(&frame));
    }
    let mut received = vec![0; sent.len()];
    let (written, read) = tokio::join!(write.write_all(&sent), read.read_exact(&mut received));
    written.expect("sent");
    read.expect("received");
    assert!(sent == received);
    broker.at_rest().await;
}

/// Goal: a length that cannot be is answered by the end of the connection, before anything is reserved for it.
#[tokio::test]
async fn impossible_lengths_close() {
    let settings = Settings {
        max_request_bytes: 1000,
        queued_max_request_bytes: 900,
        ..small_settings()
    };
    let broker = Broker::start(settings);
    for length in [0, -1, i32::MIN, i32::MAX, 1001, 901] {
        let mut client = broker.connect().await;
        client.send_raw(&length.to_be_bytes()).await;
        client.closed().await;
    }
    let mut client = broker.connect().await;
    assert_eq!(client.ask(vec![b'T'; 900]).await.len(), 900);
    broker.at_rest().await;
}

/// Goal: 100 MiB announced and not sent reserve next to nothing, and end with the idle limit; a begun header too.
#[tokio::test(start_paused = true)]
async fn announced_bytes_are_not_reserved() {
    let broker = Broker::start(small_settings());
    let announced = (100 * 1024 * 1024u32).to_be_bytes();
    let begun = tokio::time::Instant::now();
    let limit = small_settings().connections_max_idle;
    for (bytes, charged) in [
        (&announced[..], 0),
        (&announced[..2], 0),
        (
            &[&announced[..], &[b'E'; 20]].concat()[..],
            crate::limits::RECEIVE_CHARGE_FIRST_BYTES,
        ),
    ] {
        let mut client = broker.connect_in_memory(1024);
        client.send_raw(bytes).await;
        until("received", || broker.bytes_in() == bytes.len() as u64).await;
        let requests = broker.service.requests();
        assert_eq!(requests.total() - requests.free(), charged);
        let mut byte = [0];
        assert!(
            tokio::time::timeout(limit - Duration::from_secs(5), client.0.read(&mut byte))
                .await
                .is_err(),
            "closed too early"
        );
        assert_eq!(client.0.read(&mut byte).await.expect("end"), 0);
        until("gone", || broker.count() == 0).await;
    }
    assert!(begun.elapsed() < limit * 3 + Duration::from_secs(30));
    broker.at_rest().await;
}

/// Goal: a frame that goes on, however slowly, is received while nobody waits for memory.
#[tokio::test(start_paused = true)]
async fn a_slow_frame_is_received() {
    let broker = Broker::start(small_settings());
    let mut client = broker.connect_in_memory(1024);
    for byte in framed(b"Te slow") {
        client.send_raw(&[byte]).await;
        tokio::time::advance(small_settings().connections_max_idle / 2).await;
    }
    assert_eq!(client.receive().await, b"Te slow");
}
