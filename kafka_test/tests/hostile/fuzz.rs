//! Frames of real clients with random damage.
//!
//! `KAFKA_TEST_FUZZ_SECONDS` says for how long (default 10), `KAFKA_TEST_FUZZ_SEED` repeats a run's random numbers.

use crate::{Bystander, MIB};
use kafka_test::capture::{real_clients, Captured};
use kafka_test::compression::Codec;
use kafka_test::connection::Connection;
use kafka_test::server::{free_port, Server};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const THREADS: u64 = 4;

fn number_from(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |v| v.parse().unwrap_or_else(|e| panic!("{variable}: {e}")))
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// One to eight changes at random places.
fn damage(frame: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(8) {
        if frame.is_empty() {
            return;
        }
        let at = random.below(frame.len());
        match random.below(8) {
            0 => frame[at] ^= 1 << random.below(8),
            1 => frame[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
            2 => {
                let number = [0, 1, -1, i32::MAX, i32::MIN, 0x1_0000, 0x7fff][random.below(7)].to_be_bytes();
                let end = frame.len().min(at + 4);
                frame[at..end].copy_from_slice(&number[..end - at]);
            }
            3 => frame.truncate(at),
            4 => {
                let extra: Vec<u8> = (0..random.below(16)).map(|_| random.next() as u8).collect();
                frame.splice(at..at, extra);
            }
            5 => {
                let end = frame.len().min(at + random.below(32));
                let piece = frame[at..end].to_vec();
                let to = random.below(frame.len());
                frame.splice(to..to, piece);
            }
            6 => {
                frame.drain(at..frame.len().min(at + random.below(16)));
            }
            _ => {
                let header = frame.len().min(4);
                let number = [
                    0,
                    [0, 1, 2, 3, 10, 18, 19, 20, 21, 23, 32, 60][random.below(12)],
                    0,
                    random.below(20) as u8,
                ];
                frame[..header].copy_from_slice(&number[..header]);
            }
        }
    }
}

/// Sends damaged frames until the time is up; returns how many.
fn attack(server: &Server, seeds: &[Vec<u8>], mut random: Random, until: Instant) -> u64 {
    let mut sent = 0;
    while Instant::now() < until {
        let Ok(mut connection) = Connection::try_open(&server.bootstrap) else {
            continue;
        };
        for _ in 0..=random.below(20) {
            let mut frame = seeds[random.below(seeds.len())].clone();
            if random.below(10) > 0 {
                damage(&mut frame, &mut random);
            }
            // The server closes at the first frame that is none; what follows cannot be sent.
            if connection.try_send_frame(&frame).is_err() {
                break;
            }
            sent += 1;
        }
        connection.reacts_within(Duration::from_millis(20));
    }
    sent
}

/// Goal: random damage to the frames of real clients ends without panic, abort or growth, and a client beside it is served.
#[test]
fn damaged_frames_of_real_clients() {
    let seconds = number_from("KAFKA_TEST_FUZZ_SECONDS", 10);
    let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    let seed = number_from("KAFKA_TEST_FUZZ_SEED", u64::from(start));
    eprintln!("KAFKA_TEST_FUZZ_SEED={seed}");
    let proxy = free_port();
    let settings = [
        ("pg_kafka.advertised_port", &*proxy.to_string()),
        ("pg_kafka.queued_max_request_bytes", "64MB"),
        ("pg_kafka.queued_max_response_bytes", "64MB"),
        ("pg_kafka.tail_cache_bytes", "32MB"),
    ];
    let server = Server::start_pg_kafka(&settings);
    let captured = Captured::start(proxy, &server.bootstrap);
    real_clients(&server, &Codec::ALL.map(|_| server.topic("seeds", 1)));
    let seeds = captured.frames();
    assert!(seeds.len() > 40, "only {} frames were captured", seeds.len());
    let mut bystander = Bystander::of(&server);
    let until = Instant::now() + Duration::from_secs(seconds);
    let sent: u64 = std::thread::scope(|scope| {
        let attackers: Vec<_> = (0..THREADS)
            .map(|i| {
                let (server, seeds) = (&server, &seeds);
                scope.spawn(move || {
                    attack(
                        server,
                        seeds,
                        Random(seed.wrapping_mul(0x9e37_79b9).wrapping_add(i) | 1),
                        until,
                    )
                })
            })
            .collect();
        while Instant::now() < until {
            bystander.is_served(&server);
            std::thread::sleep(Duration::from_millis(200));
        }
        attackers.into_iter().map(|a| a.join().unwrap()).sum()
    });
    eprintln!("{sent} frames from {} seeds", seeds.len());
    assert!(sent > seconds * 100, "only {sent} frames were sent");
    bystander.finds_all_well(&server, 250 * MIB);
}
