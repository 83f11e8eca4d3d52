//! The receiving side of a connection: bytes to frames, at the pace of budget and order.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{ready, Poll};

use bytes::{Buf, BufMut, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::budget::{Charge, FrameBudget};
use super::close::CloseReason;
use super::connections::{Entry, Phase};
use super::order::Order;
use super::{Protocol, HEAD_BYTES};
use crate::limits;

const LENGTH_BYTES: usize = 4;

/// Reads the frames of one connection. Holds no memory while it waits for a request.
pub(super) struct Reader<'a, R> {
    io: R,
    ahead: Bytes,
    entry: &'a Entry,
    frames: &'a FrameBudget,
}

impl<'a, R: AsyncRead + Unpin> Reader<'a, R> {
    pub(super) fn new(io: R, entry: &'a Entry, frames: &'a FrameBudget) -> Self {
        Reader {
            io,
            ahead: Bytes::new(),
            entry,
            frames,
        }
    }

    /// Starts each request when it is its turn, until the client ends the stream (inside of a frame too: the rest of it cannot
    /// come). `max_request_bytes` is asked for each frame.
    pub(super) async fn run<P: Protocol>(
        &mut self,
        protocol: &Arc<P>,
        order: &Order,
        max_request_bytes: impl Fn() -> usize,
    ) -> Result<(), CloseReason> {
        while let Some(length) = self.length(max_request_bytes()).await? {
            if !self.need(length.min(HEAD_BYTES), Phase::Partial).await? {
                break;
            }
            let execution = protocol.execution(&self.ahead.slice(..length.min(HEAD_BYTES)));
            order.turn(execution).await;
            let Some((frame, charge)) = self.body(length).await? else {
                break;
            };
            order.push(execution, Arc::clone(protocol).start(self.entry.peer(), frame, charge));
        }
        Ok(())
    }

    /// The length of the next frame, checked; `None` at the end of the stream.
    async fn length(&mut self, max_request_bytes: usize) -> Result<Option<usize>, CloseReason> {
        if !self.need(LENGTH_BYTES, Phase::Between).await? {
            return Ok(None);
        }
        let announced = self.ahead.get_i32();
        let length = usize::try_from(announced)
            .ok()
            .filter(|length| *length > 0)
            .ok_or(CloseReason::FrameLength(announced))?;
        // A frame above the whole budget could only be received by exceeding it.
        let limit = max_request_bytes.min(self.frames.budget().total());
        if length > limit {
            return Err(CloseReason::FrameTooLarge { length, limit });
        }
        Ok(Some(length))
    }

    /// Receives a frame's bytes into one buffer. The buffer is charged before it is filled and grows with what has come, whatever
    /// length was announced; `None` at the end of the stream.
    async fn body(&mut self, length: usize) -> Result<Option<(Bytes, Charge)>, CloseReason> {
        let mut charge = Charge::none();
        self.entry.restart_input();
        let frame = if length <= limits::RECEIVE_CHUNK_BYTES {
            self.extend(&mut charge, length, 0).await;
            match self.need(length, Phase::Partial).await? {
                true => Some(Bytes::copy_from_slice(&self.ahead.split_to(length))),
                false => None,
            }
        } else {
            self.large(length, &mut charge).await?
        };
        if self.ahead.is_empty() {
            self.ahead = Bytes::new();
        }
        self.entry.set_held(0);
        Ok(frame.map(|frame| (frame, charge)))
    }

    /// Receives a frame that is longer than what is read ahead, each byte to its place.
    async fn large(&mut self, length: usize, charge: &mut Charge) -> Result<Option<Bytes>, CloseReason> {
        let mut frame = Vec::new();
        let mut room = 0;
        while frame.len() < length {
            if frame.len() == room {
                room += self.extend(charge, length, room).await;
                grow(&mut frame, room, length);
            }
            if self.ahead.is_empty() {
                self.entry.set_phase(Phase::Partial);
                let beyond = if room == length { limits::RECEIVE_BEYOND_BYTES } else { 0 };
                let free = room + beyond - frame.len();
                let received = self
                    .io
                    .read_buf(&mut (&mut frame).limit(free))
                    .await
                    .map_err(CloseReason::Io)?;
                self.entry.set_phase(Phase::Busy);
                if received == 0 {
                    return Ok(None);
                }
                self.entry.received(received);
            } else {
                let part = self.ahead.split_to(self.ahead.len().min(room - frame.len()));
                frame.extend_from_slice(&part);
            }
        }
        if frame.len() > length {
            self.ahead = Bytes::copy_from_slice(&frame[length..]);
            frame.truncate(length);
        }
        Ok(Some(Bytes::from(frame)))
    }

    /// Charges for the next bytes of a frame of which `room` are charged; answers how many they are.
    async fn extend(&mut self, charge: &mut Charge, length: usize, room: usize) -> usize {
        let come = self.ahead.len().max(room);
        let step = (4 * come - room).clamp(limits::RECEIVE_CHARGE_FIRST_BYTES, limits::RECEIVE_CHARGE_STEP_BYTES);
        let wanted = step.min(length - room);
        if !self.frames.try_extend(charge, wanted) {
            self.entry.set_phase(Phase::Budget);
            self.frames.extend(charge, wanted).await;
            self.entry.restart_input();
            self.entry.set_phase(Phase::Busy);
        }
        self.entry.set_held(room + wanted);
        wanted
    }

    /// Waits until `count` bytes are ahead; `false` if the stream ends before. `phase` says what is waited for while none are.
    async fn need(&mut self, count: usize, phase: Phase) -> Result<bool, CloseReason> {
        while self.ahead.len() < count {
            let begins = self.ahead.is_empty();
            self.entry
                .set_phase(if self.ahead.is_empty() { phase } else { Phase::Partial });
            let received = self.receive().await.map_err(CloseReason::Io)?;
            self.entry.set_phase(Phase::Busy);
            if received == 0 {
                return Ok(false);
            }
            self.entry.received(received);
            if begins {
                self.entry.restart_input();
            }
        }
        Ok(true)
    }

    /// Adds what the socket has, up to a chunk, to the bytes ahead. The chunk is on the stack of the poll: a connection that waits
    /// has none.
    async fn receive(&mut self) -> std::io::Result<usize> {
        poll_fn(|cx| {
            let mut chunk = [const { MaybeUninit::<u8>::uninit() }; limits::RECEIVE_CHUNK_BYTES];
            let mut chunk = ReadBuf::uninit(&mut chunk);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut chunk))?;
            let received = chunk.filled();
            self.ahead = if self.ahead.is_empty() {
                Bytes::copy_from_slice(received)
            } else {
                [&self.ahead[..], received].concat().into()
            };
            Poll::Ready(Ok(received.len()))
        })
        .await
    }
}

/// Makes room for `room` bytes, and for all of a frame of usual size at once, so that none of its bytes is copied; a larger one grows by
/// four. Behind the whole frame there is room for what its last read takes beyond it. What has not been received is not touched, and so takes no
/// memory.
fn grow(frame: &mut Vec<u8>, room: usize, length: usize) {
    if frame.capacity() < room {
        let more = (frame.capacity() * 4).max(limits::RECEIVE_AT_ONCE_BYTES);
        let mut wanted = room.max(more);
        if wanted >= length {
            wanted = length + limits::RECEIVE_BEYOND_BYTES;
        }
        frame.reserve_exact(wanted - frame.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a frame of usual size has its place from its first byte on, and none has more than is announced.
    #[test]
    fn a_frame_of_usual_size_is_not_copied() {
        for length in [1, 300_000, limits::RECEIVE_AT_ONCE_BYTES] {
            let mut frame = Vec::new();
            grow(&mut frame, length.min(limits::RECEIVE_CHARGE_FIRST_BYTES), length);
            assert_eq!(frame.capacity(), length + limits::RECEIVE_BEYOND_BYTES);
        }
    }

    /// Goal: a large frame's place grows with what has come, by steps that copy a third of it at most.
    #[test]
    fn a_large_frame_grows_with_what_has_come() {
        let length: usize = 100 << 20;
        let mut frame = Vec::new();
        let mut sizes = Vec::new();
        for room in (0..=length).step_by(limits::RECEIVE_CHARGE_STEP_BYTES) {
            grow(&mut frame, room, length);
            frame.resize(room, 0);
            if sizes.last() != Some(&frame.capacity()) {
                sizes.push(frame.capacity());
            }
        }
        let whole = length + limits::RECEIVE_BEYOND_BYTES;
        assert_eq!(sizes, [0, 1 << 20, 4 << 20, 16 << 20, 64 << 20, whole]);
    }
}
