//! What connections cost that do nothing.

use std::time::Duration;

use kafka_protocol::messages::ApiVersionsRequest;

use crate::connection::Connection;
use crate::error::Error;
use crate::processes::memory_bytes;
use crate::target::{runtime, Target};

/// So many connections, each of which has asked once for ApiVersions, left alone for `window`: millions of bytes of memory of the broker (all
/// of Postgres, all of the JVM), and its CPU seconds a minute.
///
/// # Errors
/// A connection is refused, or the broker's processes may not be looked into.
pub fn run(target: &Target, connections: usize, window: Duration) -> Result<(f64, f64), Error> {
    let pid = target
        .pid
        .ok_or_else(|| Error::Usage("the broker's process is not known".to_owned()))?;
    runtime()?.block_on(async {
        let mut open = Vec::new();
        for _ in 0..connections {
            let mut connection = Connection::open(&target.brokers).await?;
            connection.call(0, &ApiVersionsRequest::default()).await?;
            open.push(connection);
        }
        let before = target.cpu_seconds()?.unwrap_or(0.0);
        tokio::time::sleep(window).await;
        let used = target.cpu_seconds()?.unwrap_or(0.0) - before;
        let bytes = memory_bytes(pid)?;
        Ok((bytes as f64 / 1e6, used * 60.0 / window.as_secs_f64()))
    })
}
