//! A raw connection: frames over a socket, decoded only as far as asked for. A thousand of them cost less than one client with its threads.

use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::error::Error;
use crate::target::PATIENCE;

/// A connection on which one request after the other is answered. Every request has the same correlation id: replies come in order.
pub struct Connection {
    stream: TcpStream,
    received: BytesMut,
}

impl Connection {
    /// Connects to `host:port`.
    ///
    /// # Errors
    /// Nobody listens there.
    pub async fn open(address: &str) -> Result<Self, Error> {
        let system = |source| Error::System {
            what: format!("connect to {address}"),
            source,
        };
        let stream = TcpStream::connect(address).await.map_err(system)?;
        stream.set_nodelay(true).map_err(system)?;
        Ok(Connection {
            stream,
            received: BytesMut::new(),
        })
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Errors
    /// The connection ends, or [`PATIENCE`] does, or the reply cannot be read.
    pub async fn call<R: Request>(&mut self, version: i16, request: &R) -> Result<R::Response, Error> {
        let frame = self.exchange(&frame(version, request)?).await?;
        reply::<R>(version, frame)
    }

    /// Sends a frame and waits for the frame of its reply.
    ///
    /// # Errors
    /// As [`Connection::send`] and [`Connection::receive`].
    pub async fn exchange(&mut self, frame: &[u8]) -> Result<Bytes, Error> {
        self.send(frame).await?;
        self.receive().await
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn send(&mut self, frame: &[u8]) -> Result<(), Error> {
        self.stream.write_all(frame).await.map_err(|source| Error::System {
            what: "send to the broker".to_owned(),
            source,
        })
    }

    /// The next frame, without its length.
    ///
    /// # Errors
    /// The connection ends, or [`PATIENCE`] does.
    pub async fn receive(&mut self) -> Result<Bytes, Error> {
        match tokio::time::timeout(PATIENCE, self.next_frame()).await {
            Ok(frame) => frame.map_err(|source| Error::System {
                what: "receive from the broker".to_owned(),
                source,
            }),
            Err(_) => Err(Error::Incomplete(format!("no reply within {PATIENCE:?}"))),
        }
    }

    async fn next_frame(&mut self) -> std::io::Result<Bytes> {
        loop {
            if let Some(length) = self.received.first_chunk::<4>() {
                let length = u32::from_be_bytes(*length) as usize;
                if self.received.len() >= 4 + length {
                    self.received.advance(4);
                    return Ok(self.received.split_to(length).freeze());
                }
                self.received.reserve(4 + length - self.received.len());
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// The bytes of a request, its length in front.
///
/// # Errors
/// The request has a field that this version does not have.
pub fn frame<R: Request>(version: i16, request: &R) -> Result<Bytes, Error> {
    let refused = |error: &dyn std::fmt::Display| Error::Refused {
        api: std::any::type_name::<R>(),
        found: format!("cannot be encoded at version {version}: {error}"),
    };
    let mut body = BytesMut::from(&[0u8; 4][..]);
    RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(1)
        .with_client_id(Some(StrBytes::from_static_str("load")))
        .encode(&mut body, R::header_version(version))
        .map_err(|e| refused(&e))?;
    request.encode(&mut body, version).map_err(|e| refused(&e))?;
    let length = (body.len() - 4) as u32;
    body[..4].copy_from_slice(&length.to_be_bytes());
    Ok(body.freeze())
}

/// The reply in a frame that [`Connection::receive`] gave.
///
/// # Errors
/// It is not one of this API and version.
pub fn reply<R: Request>(version: i16, mut frame: Bytes) -> Result<R::Response, Error> {
    let refused = |error: &dyn std::fmt::Display| Error::Refused {
        api: std::any::type_name::<R>(),
        found: format!("the reply cannot be read at version {version}: {error}"),
    };
    ResponseHeader::decode(&mut frame, R::Response::header_version(version)).map_err(|e| refused(&e))?;
    R::Response::decode(&mut frame, version).map_err(|e| refused(&e))
}

/// What tokio's timer may be late by: it counts in milliseconds.
const TIMER_LAG: Duration = Duration::from_millis(2);

/// Waits for the time at which something is due, and says from when its latency counts: from then if the broker kept its client from
/// being there in time, from now if only the timer did.
pub async fn wait_until(due: Instant) -> Instant {
    let waited = due > Instant::now();
    tokio::time::sleep_until(due.into()).await;
    let now = Instant::now();
    if waited && now - due <= TIMER_LAG {
        now
    } else {
        due
    }
}
