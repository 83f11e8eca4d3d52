//! The sending side of a connection: replies in order, gathered into vectored writes.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::Poll;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::budget::Charge;
use super::close::CloseReason;
use super::connections::Entry;
use super::order::Order;
use super::{PendingReply, Reply};
use crate::limits;

/// Sends the replies of one connection.
pub(super) struct Writer<'a, W> {
    io: W,
    entry: &'a Entry,
    batch: Batch,
}

/// Replies that are ready and not written.
#[derive(Default)]
struct Batch {
    slices: VecDeque<Bytes>,
    bytes: usize,
    replies: usize,
    charges: Vec<Charge>,
}

impl<'a, W: AsyncWrite + Unpin> Writer<'a, W> {
    pub(super) fn new(io: W, entry: &'a Entry) -> Self {
        Writer {
            io,
            entry,
            batch: Batch::default(),
        }
    }

    /// Writes replies until a request asks for the end of the connection or there are no more to come.
    pub(super) async fn run(&mut self, order: &Order) -> CloseReason {
        let mut next = None;
        loop {
            let head = match next.take() {
                Some(head) => head,
                None => match order.next().await {
                    Some(head) => head,
                    None => break,
                },
            };
            let close = self.batch.add(head.await).err();
            let close = match close {
                Some(reason) => Some(reason),
                None => self.gather(order, &mut next).await,
            };
            if let Err(error) = self.write().await {
                return CloseReason::Io(error);
            }
            order.answered(std::mem::take(&mut self.batch.replies));
            if let Some(reason) = close {
                return self.finish(reason).await;
            }
        }
        self.finish(CloseReason::Client).await
    }

    /// Adds further replies that are ready; the first that is not stays in `next`. Some: the connection is to be closed after them.
    async fn gather(&mut self, order: &Order, next: &mut Option<PendingReply>) -> Option<CloseReason> {
        while self.batch.bytes < limits::REPLY_BATCH_BYTES {
            let mut reply = order.try_next()?;
            match poll_fn(|cx| Poll::Ready(reply.as_mut().poll(cx))).await {
                Poll::Ready(reply) => {
                    if let Err(reason) = self.batch.add(reply) {
                        return Some(reason);
                    }
                }
                Poll::Pending => {
                    *next = Some(reply);
                    return None;
                }
            }
        }
        None
    }

    async fn write(&mut self) -> io::Result<()> {
        if self.batch.bytes > 0 {
            self.entry.sending(self.batch.bytes);
        }
        while self.batch.bytes > 0 {
            let written = poll_fn(|cx| {
                let mut slices = [IoSlice::new(&[]); limits::SLICES_PER_WRITE];
                let count = self.batch.fill(&mut slices);
                Pin::new(&mut self.io).poll_write_vectored(cx, &slices[..count])
            })
            .await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.batch.advance(written);
            self.entry.sent(written);
        }
        self.batch.charges.clear();
        self.io.flush().await
    }

    async fn finish(&mut self, reason: CloseReason) -> CloseReason {
        // The connection is over either way; what was written has been handed to the kernel.
        let _ = self.io.shutdown().await;
        reason
    }
}

impl Batch {
    fn add(&mut self, reply: Reply) -> Result<(), CloseReason> {
        match reply {
            Reply::Frame { chunks, charge } => {
                let length: usize = chunks.iter().map(Bytes::len).sum();
                let prefix = i32::try_from(length)
                    .map_err(|_| CloseReason::Protocol(format!("a reply of {length} bytes does not fit a frame")))?;
                self.slices.push_back(Bytes::copy_from_slice(&prefix.to_be_bytes()));
                self.slices.extend(chunks.into_iter().filter(|chunk| !chunk.is_empty()));
                self.bytes += size_of::<i32>() + length;
                self.charges.extend(charge);
            }
            Reply::Nothing => {}
            Reply::Close(reason) => return Err(CloseReason::Protocol(reason)),
        }
        self.replies += 1;
        Ok(())
    }

    fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let count = slices.len().min(self.slices.len());
        for (slice, bytes) in slices.iter_mut().zip(&self.slices) {
            *slice = IoSlice::new(bytes);
        }
        count
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(first) = self.slices.front_mut() {
            if first.len() > written {
                first.advance(written);
                return;
            }
            written -= first.len();
            self.slices.pop_front();
        }
    }
}
