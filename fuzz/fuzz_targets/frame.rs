//! A connection's bytes: lengths, headers, requests of any API, one after the other.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pg_kafka_fuzz::{peer, run, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

fuzz_target!(|data: &[u8]| {
    run(async {
        let world = World::new().await;
        let service = world.service();
        let (mut client, server) = tokio::io::duplex(1 << 16);
        let (_stop, stopping) = watch::channel(false);
        let talk = async {
            let (mut read, mut write) = tokio::io::split(&mut client);
            let send = async {
                // The broker may have closed already.
                let _ = write.write_all(data).await;
                let _ = write.shutdown().await;
            };
            let mut replies = Vec::new();
            let receive = read.read_to_end(&mut replies);
            let _ = tokio::join!(send, receive);
            check(&replies);
        };
        world
            .serve(async { tokio::join!(service.serve_stream(server, peer(), stopping), talk) })
            .await;
    });
});

/// Whole frames, each with a correlation id.
fn check(mut replies: &[u8]) {
    while let Some((length, rest)) = replies.split_first_chunk() {
        let length = u32::from_be_bytes(*length) as usize;
        assert!(
            (4..=rest.len()).contains(&length),
            "a reply of {length} bytes, {} are there",
            rest.len()
        );
        replies = &rest[length..];
    }
    assert!(replies.is_empty(), "half a length");
}
