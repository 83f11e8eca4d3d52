//! The broker over the storage model, without Postgres and without durability: to try a client or the protocol.
//!
//! `cargo run -p broker --features contract --example in_memory -- 9092 3` listens on port 9092 and gives new topics 3 partitions.

use std::sync::mpsc::channel;
use std::sync::Arc;
use std::time::Instant;

use broker::server::Server;
use broker::settings::Settings;
use broker::storage::model::ModelDatabase;
use broker::storage::runner::{Next, Runner};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let argument = |n, default: &str| std::env::args().nth(n).unwrap_or_else(|| default.to_owned());
    let settings = Settings {
        port: argument(1, "9092").parse()?,
        default_partitions: argument(2, "1").parse()?,
        ..Settings::default()
    };
    let (wake, woken) = channel::<()>();
    let mut runner = Runner::open(
        ModelDatabase::default().open(),
        Arc::new(move || {
            let _ = wake.send(());
        }),
        &settings,
    )?;
    let _server = Server::start(settings, &runner)?;
    loop {
        match runner.turn(Instant::now()) {
            Next::Again => {}
            Next::Sleep(pause) => {
                let _ = woken.recv_timeout(pause);
            }
            Next::Idle => woken.recv()?,
        }
    }
}
