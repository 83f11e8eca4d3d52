//! Starts of both brokers: how long until the first answer, what memory they take at rest, and reading a log that no cache holds.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use kafka_protocol::messages::ApiVersionsRequest;

use crate::connection::frame;
use crate::error::Error;
use crate::processes::{age_seconds, memory_bytes, uptime_seconds};
use crate::server::Server;
use crate::target::PATIENCE;

/// How long a broker is left alone before its memory is measured.
const REST: Duration = Duration::from_secs(3);

/// Between two attempts to get the first answer.
const ATTEMPT: Duration = Duration::from_millis(2);

/// Starts a broker that was stopped: seconds from the start of its first process to its first answer, in steps of 0.01 s.
///
/// # Errors
/// It does not start, or answers nothing.
pub fn start(server: &mut Server, settings: &[(&str, &str)]) -> Result<f64, Error> {
    let address = server.target.brokers.clone();
    let answered_s = std::thread::scope(|scope| {
        let waiting = scope.spawn(move || first_answer(&address));
        server.start_again(settings)?;
        waiting.join().map_err(|_| Error::Incomplete("waiting panicked".to_owned()))?
    })?;
    let pid = server
        .target
        .pid
        .ok_or_else(|| Error::Incomplete("no process id".to_owned()))?;
    age_seconds(pid, answered_s)
}

/// Asks for ApiVersions until there is an answer: when that was, in seconds since the start of the machine.
///
/// # Errors
/// None comes.
pub fn first_answer(address: &str) -> Result<f64, Error> {
    let request = frame(0, &ApiVersionsRequest::default())?;
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if answers(address, &request).is_ok() {
            return uptime_seconds();
        }
        std::thread::sleep(ATTEMPT);
    }
    Err(Error::Incomplete(format!("{address} did not answer within {PATIENCE:?}")))
}

fn answers(address: &str, request: &[u8]) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(request)?;
    stream.read_exact(&mut [0u8; 10])
}

/// Starts a broker anew and leaves it alone: seconds to its first answer, and millions of bytes of memory that it then takes. Ours are
/// those beyond the same Postgres without the extension's library.
///
/// # Errors
/// It does not start, or its processes may not be looked into.
pub fn rest(server: &mut Server) -> Result<(f64, f64), Error> {
    let mut without = 0;
    if server.is_pg_kafka() {
        server.stop()?;
        server.start_again(&[("shared_preload_libraries", "")])?;
        without = at_rest(server)?;
    }
    server.stop()?;
    let settings: &[(&str, &str)] = if server.is_pg_kafka() {
        &[("shared_preload_libraries", "pg_kafka")]
    } else {
        &[]
    };
    let seconds = start(server, settings)?;
    let bytes = at_rest(server)?.saturating_sub(without);
    Ok((seconds, bytes as f64 / 1e6))
}

fn at_rest(server: &Server) -> Result<u64, Error> {
    std::thread::sleep(REST);
    let pid = server
        .target
        .pid
        .ok_or_else(|| Error::Incomplete("no process id".to_owned()))?;
    memory_bytes(pid)
}

/// Stops a broker, has the system forget what it holds of the broker's files, and starts it again.
///
/// # Errors
/// It does not stop or start.
pub fn restart_cold(server: &mut Server) -> Result<(), Error> {
    server.stop()?;
    sync();
    server.forget_files()?;
    server.settle()?;
    start(server, &[])?;
    Ok(())
}

/// Has the system write what it has not yet written, so that one measurement does not pay for what another left.
pub fn sync() {
    // Without the program the next measurement is only less even.
    let _ = std::process::Command::new("sync").status();
}
