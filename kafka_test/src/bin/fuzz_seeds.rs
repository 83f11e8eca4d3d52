//! Writes the seeds of `make fuzz`, fuzz/seeds, from what real clients send: the smallest requests of each API and version, the
//! streams they make up, and the record batches and compressed sections in them. To be run when APIs or clients change:
//! `cargo run --release -p kafka_test --bin fuzz_seeds`.
#![allow(clippy::unwrap_used, reason = "it fails by panicking")]

use bytes::Bytes;
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, CreateTopicsRequest, ProduceRequest, RequestHeader};
use kafka_protocol::protocol::Decodable;
use kafka_test::batch::HEADER_BYTES;
use kafka_test::capture::{real_clients, Captured};
use kafka_test::compression::Codec;
use kafka_test::server::{free_port, Server};
use kafka_test::topic::creatable;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Seeds kept for each kind.
const KEPT: usize = 2;
/// Larger ones are not kept.
const LARGEST: usize = 1500;
/// Name and id of the topic in the fuzzer's broker.
const TOPIC: &str = "t";
const TOPIC_ID: [u8; 16] = [7; 16];

/// Seeds by target and kind.
type Seeds = BTreeMap<(String, String), Vec<Vec<u8>>>;

fn main() {
    let proxy = free_port();
    let server = Server::start_pg_kafka(&[("pg_kafka.advertised_port", &proxy.to_string())]);
    let mut connection = server.connect();
    let request = CreateTopicsRequest::default()
        .with_timeout_ms(30_000)
        .with_topics(vec![creatable(TOPIC, 2, &[])]);
    connection.call(7, &request);
    let topic = server.ready(&mut connection, TOPIC);
    let served: BTreeMap<i16, i16> = connection
        .call(0, &ApiVersionsRequest::default())
        .api_keys
        .iter()
        .map(|api| (api.api_key, api.min_version))
        .collect();
    let captured = Captured::start(proxy, &server.bootstrap);
    real_clients(&server, std::slice::from_ref(&topic));

    let mut seeds = Seeds::new();
    let frames = captured.frames();
    println!("{} frames were captured", frames.len());
    for frame in frames {
        let frame = replaced(&frame, topic.id.as_bytes(), &TOPIC_ID);
        add(&mut seeds, &frame, &served);
    }
    write(seeds);
}

fn add(seeds: &mut Seeds, frame: &[u8], served: &BTreeMap<i16, i16>) {
    let (key, version) = (
        i16::from_be_bytes([frame[0], frame[1]]),
        i16::from_be_bytes([frame[2], frame[3]]),
    );
    let (Ok(api), Some(first)) = (ApiKey::try_from(key), served.get(&key)) else {
        return;
    };
    // Versions 0 to 2 of Produce are advertised and not served.
    let first = if api == ApiKey::Produce { 3 } else { *first };
    let mut body = Bytes::copy_from_slice(frame);
    RequestHeader::decode(&mut body, api.request_header_version(version)).unwrap();
    let kind = format!("v{version}");
    let mut push = |target: String, kind: &str, seed: Vec<u8>| seeds.entry((target, kind.to_owned())).or_default().push(seed);
    push(
        format!("request-{api:?}"),
        &kind,
        [&[(version - first) as u8][..], &body].concat(),
    );
    let stream = [&(frame.len() as u32).to_be_bytes()[..], frame].concat();
    push("frame".to_owned(), &format!("{api:?}-{kind}"), stream);
    if api != ApiKey::Produce {
        return;
    }
    let request = ProduceRequest::decode(&mut body, version).unwrap();
    for records in request
        .topic_data
        .iter()
        .flat_map(|t| &t.partition_data)
        .filter_map(|p| p.records.clone())
    {
        let codec = Codec::of_attributes(i16::from_be_bytes([records[21], records[22]]));
        push("batch".to_owned(), codec.name(), [&[0, 0][..], &records].concat());
        if codec != Codec::None {
            push(format!("codec-{}", codec.name()), "section", records[HEADER_BYTES..].to_vec());
        }
    }
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for at in 0..out.len().saturating_sub(from.len() - 1) {
        if &out[at..at + from.len()] == from {
            out[at..at + to.len()].copy_from_slice(to);
        }
    }
    out
}

fn write(seeds: Seeds) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
    let _ = std::fs::remove_dir_all(&root);
    let mut total = 0;
    for ((target, kind), mut found) in seeds {
        found.retain(|seed| seed.len() <= LARGEST);
        found.sort_by_key(|seed| (seed.len(), seed.clone()));
        found.dedup();
        let folder = root.join(&target);
        std::fs::create_dir_all(&folder).unwrap();
        for (number, seed) in found.iter().take(KEPT).enumerate() {
            total += seed.len();
            std::fs::write(folder.join(format!("{kind}-{number}")), seed).unwrap();
        }
    }
    assert!(total > 0, "nothing was kept");
    println!("{total} bytes of seeds in {}", root.display());
}
