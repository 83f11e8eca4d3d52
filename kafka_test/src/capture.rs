//! A proxy between clients and a broker that keeps the request frames which pass: what real clients send.

use crate::clients::{consume, consumer, flush, producer, send};
use crate::compression::Codec;
use crate::kcat::kcat;
use crate::patience::PATIENCE;
use crate::server::Server;
use crate::topic::Topic;
use rdkafka::producer::BaseRecord;
use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Frames kept, without their lengths; equal ones once.
#[derive(Clone, Default)]
pub struct Captured(Arc<Mutex<HashSet<Vec<u8>>>>);

/// Larger frames are not kept: seeds of a fuzzer should be small.
const LARGEST_KEPT: usize = 8 * 1024;

impl Captured {
    /// Listens on `port` of loopback and passes everything to `broker`, until the process ends.
    pub fn start(port: u16, broker: &str) -> Captured {
        let captured = Captured::default();
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap_or_else(|e| panic!("listen on {port}: {e}"));
        let (kept, broker) = (captured.clone(), broker.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&broker) else { continue };
                kept.pass(client, server);
            }
        });
        captured
    }

    /// The frames seen so far.
    pub fn frames(&self) -> Vec<Vec<u8>> {
        let mut frames: Vec<Vec<u8>> = self.0.lock().unwrap().iter().cloned().collect();
        frames.sort();
        frames
    }

    fn pass(&self, client: TcpStream, server: TcpStream) {
        let (mut from_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from_server, &mut to_client);
            let _ = to_client.shutdown(std::net::Shutdown::Both);
        });
        let kept = self.clone();
        std::thread::spawn(move || {
            let _ = kept.pass_requests(client, &server);
            let _ = server.shutdown(std::net::Shutdown::Both);
        });
    }

    fn pass_requests(&self, mut client: TcpStream, mut server: &TcpStream) -> std::io::Result<()> {
        loop {
            let mut length = [0u8; 4];
            client.read_exact(&mut length)?;
            let mut frame = vec![0u8; u32::from_be_bytes(length) as usize];
            client.read_exact(&mut frame)?;
            server.write_all(&length)?;
            server.write_all(&frame)?;
            if frame.len() <= LARGEST_KEPT {
                self.0.lock().unwrap().insert(frame);
            }
        }
    }
}

/// Lets librdkafka and kcat produce and consume in every codec, in one of these topics after the other; their partition 0 is empty, or
/// holds what this wrote before.
pub fn real_clients(server: &Server, topics: &[Topic]) {
    for (number, codec) in Codec::ALL.into_iter().enumerate() {
        let topic = &topics[number % topics.len()];
        let (producer, _) = producer(server, &[("compression.codec", codec.name()), ("linger.ms", "10")]);
        for i in 0..20u64 {
            let value = format!("value {i} ").repeat(10);
            send(
                &producer,
                BaseRecord::with_opaque_to(&topic.name, Box::new(i))
                    .partition(0)
                    .payload(value.as_bytes())
                    .key(&b"k"[..]),
            );
        }
        flush(&producer, PATIENCE);
        consume(&consumer(server, &topic.name, 0), 20, |_| {});
        kcat(
            server,
            &["-P", "-t", &topic.name, "-p", "0", "-z", codec.name()],
            b"a line\nanother line\n",
        );
        kcat(server, &["-C", "-q", "-e", "-t", &topic.name, "-p", "0", "-o", "s@1"], b"");
    }
    kcat(server, &["-L"], b"");
}
