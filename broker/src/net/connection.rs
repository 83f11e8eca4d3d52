//! One connection from its admission to its end.

use std::future::{pending, poll_fn, Future};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::pin::{pin, Pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::close::CloseReason;
use super::connections::{Entry, Ticket};
use super::order::Order;
use super::reader::Reader;
use super::writer::Writer;
use super::{Protocol, Service};
use crate::limits;

/// Serves one client until it or the broker ends the connection. A panic in a request ends this connection only.
pub(super) async fn run<P, R, W>(service: &Service<P>, ticket: Ticket, read: R, write: W, shutdown: watch::Receiver<bool>)
where
    P: Protocol,
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let entry = Arc::clone(ticket.entry());
    let log_connections = service.settings().log_connections;
    if log_connections {
        tracing::info!(client = %entry.peer().client, local = %entry.peer().local, "connection received");
    }
    let reason = {
        let mut work = pin!(serve(service, &entry, read, write, shutdown));
        poll_fn(|cx| poll_caught(work.as_mut(), cx)).await
    };
    drop(ticket);
    service.log().closed(entry.peer(), &reason);
    if log_connections {
        let info = entry.info();
        tracing::info!(client = %info.client, requests = info.requests, bytes_in = info.bytes_in, bytes_out = info.bytes_out,
            "disconnection: {reason}");
    }
}

async fn serve<P, R, W>(
    service: &Service<P>,
    entry: &Arc<Entry>,
    read: R,
    write: W,
    mut shutdown: watch::Receiver<bool>,
) -> CloseReason
where
    P: Protocol,
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let order = Order::new(Arc::clone(entry));
    let mut reader = Reader::new(read, entry, service.frames());
    let mut writer = Writer::new(write, entry);
    let reading = async {
        match reader
            .run(service.protocol(), &order, || service.settings().max_request_bytes)
            .await
        {
            Ok(()) => {
                order.end();
                pending().await
            }
            Err(reason) => reason,
        }
    };
    let mut writing = pin!(writer.run(&order));
    tokio::select! {
        // What ends the connection is looked at first: a client that never pauses uses up the task's turn in what follows.
        biased;
        () = stopped(&mut shutdown) => {}
        reason = entry.closed() => return reason,
        reason = &mut writing => return reason,
        reason = reading => return reason,
    }
    order.end();
    if order.all_eager() || entry.unsent() > 0 {
        // Long polls are not waited for: their clients ask again elsewhere or later.
        let _ = tokio::time::timeout(limits::SHUTDOWN_GRACE, writing).await;
    }
    CloseReason::Shutdown
}

/// Waits for the sign to stop; a dropped sender is one too.
pub(super) async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

fn poll_caught(work: Pin<&mut impl Future<Output = CloseReason>>, cx: &mut Context<'_>) -> Poll<CloseReason> {
    // What the panic left half done belongs to this connection, which is dropped.
    catch_unwind(AssertUnwindSafe(|| work.poll(cx))).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<&str>().map(|message| (*message).to_owned());
        let message = message.or_else(|| panic.downcast_ref::<String>().cloned());
        Poll::Ready(CloseReason::Panic(message.unwrap_or_else(|| "panic".to_owned())))
    })
}
