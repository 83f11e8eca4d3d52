//! Why connections end, and how that is logged without letting clients fill the log.

use std::fmt;
use std::io;

use super::Peer;
use crate::log_rate::LogRate;

/// Why a connection was closed.
#[derive(Debug)]
pub(super) enum CloseReason {
    /// The client closed it; what it had asked before was answered.
    Client,
    /// Reading or writing failed.
    Io(io::Error),
    /// A frame's length is negative or zero.
    FrameLength(i32),
    /// A frame's length is above the limit, in bytes.
    FrameTooLarge { length: usize, limit: usize },
    /// No request for the idle limit.
    Idle,
    /// A frame was begun and nothing of it came for the idle limit.
    FrameStalled,
    /// A reply was begun and the client read nothing of it for the idle limit.
    ReplyStalled,
    /// Others wait for the receive budget, and this one holds a part of it for a frame that does not come.
    FramePressure,
    /// Others wait for the reply budget, and this one holds a part of it for a reply that its client does not read.
    ReplyPressure,
    /// The longest idle one when room was needed for another.
    Evicted,
    /// Its client made no progress when room was needed for another, and none was idle.
    Displaced,
    /// The protocol asked for it.
    Protocol(String),
    /// A handler panicked.
    Panic(String),
    /// The broker stops.
    Shutdown,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::Client => write!(f, "closed by the client"),
            CloseReason::Io(error) => write!(f, "{error}"),
            CloseReason::FrameLength(length) => write!(f, "invalid request length {length}"),
            CloseReason::FrameTooLarge { length, limit } => {
                write!(f, "request of {length} bytes is larger than the limit of {limit} bytes")
            }
            CloseReason::Idle => write!(f, "idle for too long"),
            CloseReason::FrameStalled => write!(f, "a request was begun and not continued for too long"),
            CloseReason::ReplyStalled => write!(f, "the client did not read its replies for too long"),
            CloseReason::FramePressure => write!(f, "a request came too slowly while the memory for requests was exhausted"),
            CloseReason::ReplyPressure => write!(f, "replies were read too slowly while the memory for replies was exhausted"),
            CloseReason::Evicted => write!(f, "longest idle when room was needed for a new connection"),
            CloseReason::Displaced => {
                write!(
                    f,
                    "a request came, or a reply was read, too slowly when room was needed for a new connection"
                )
            }
            CloseReason::Protocol(reason) => write!(f, "{reason}"),
            CloseReason::Panic(message) => write!(f, "internal error: {message}"),
            CloseReason::Shutdown => write!(f, "the broker stops"),
        }
    }
}

impl CloseReason {
    /// The class that is counted together in the log; `None` for ends that are nobody's fault.
    fn class(&self) -> Option<&'static str> {
        match self {
            CloseReason::Client | CloseReason::Io(_) | CloseReason::Idle | CloseReason::Shutdown => None,
            CloseReason::FrameLength(_) => Some("frame length"),
            CloseReason::FrameTooLarge { .. } => Some("frame size"),
            CloseReason::FrameStalled => Some("frame stalled"),
            CloseReason::ReplyStalled => Some("reply stalled"),
            CloseReason::FramePressure => Some("frame pressure"),
            CloseReason::ReplyPressure => Some("reply pressure"),
            CloseReason::Evicted => Some("evicted"),
            CloseReason::Displaced => Some("displaced"),
            CloseReason::Protocol(_) => Some("protocol"),
            CloseReason::Panic(_) => Some("panic"),
        }
    }
}

/// The messages about connections that clients can cause at will: each class once per [`crate::limits::LOG_INTERVAL`].
#[derive(Debug)]
pub(super) struct ConnectionLog {
    rate: LogRate<&'static str>,
}

impl Default for ConnectionLog {
    fn default() -> Self {
        ConnectionLog { rate: LogRate::new(1) }
    }
}

impl ConnectionLog {
    /// A connection ended.
    pub(super) fn closed(&self, peer: &Peer, reason: &CloseReason) {
        let Some((class, suppressed)) = reason
            .class()
            .and_then(|class| self.rate.admit(class).map(|suppressed| (class, suppressed)))
        else {
            return;
        };
        let client = peer.client;
        match reason {
            CloseReason::Panic(_) => tracing::error!(%client, class, suppressed, "connection closed: {reason}"),
            CloseReason::Evicted => tracing::info!(%client, class, suppressed, "connection closed: {reason}"),
            _ => tracing::warn!(%client, class, suppressed, "connection closed: {reason}"),
        }
    }

    /// A connection was not accepted.
    pub(super) fn refused(&self, client: &dyn fmt::Display, reason: &'static str) {
        if let Some(suppressed) = self.rate.admit(reason) {
            tracing::warn!(%client, suppressed, "connection refused: {reason}");
        }
    }

    /// The process is out of descriptors or memory for sockets.
    pub(super) fn exhausted(&self, error: &io::Error) {
        if let Some(suppressed) = self.rate.admit("exhausted") {
            tracing::error!(suppressed, "could not accept a connection: {error}");
        }
    }
}
