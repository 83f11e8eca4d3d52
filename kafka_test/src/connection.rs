//! A raw connection: sends any version of any request, or any bytes, and reads replies frame by frame.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long a reply may take before the test fails.
const REPLY_WITHIN: Duration = Duration::from_secs(40);

/// Client id of every request.
pub const CLIENT_ID: &str = "kafka_test";

/// A connection to a broker, blocking, without any state but the next correlation id.
pub struct Connection {
    stream: TcpStream,
    next_correlation_id: i32,
}

/// A request that was sent and whose reply can be awaited.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// Correlation id that the reply must carry.
    pub correlation_id: i32,
    /// Version by which the body of the reply is decoded.
    pub version: i16,
}

impl Connection {
    /// Connects to `address` (`host:port`).
    pub fn open(address: &str) -> Connection {
        Connection::try_open(address).unwrap_or_else(|e| panic!("connect to {address}: {e}"))
    }

    /// Connects to `address`, or says why not.
    pub fn try_open(address: &str) -> std::io::Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REPLY_WITHIN))?;
        stream.set_write_timeout(Some(REPLY_WITHIN))?;
        Ok(Connection::over(stream))
    }

    /// Over a socket that is connected, with the timeouts that it has.
    pub fn over(stream: TcpStream) -> Connection {
        Connection {
            stream,
            next_correlation_id: 1,
        }
    }

    /// The socket below.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends a request and awaits its reply, decoded to the last byte.
    pub fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        self.call_as(version, version, request)
    }

    /// Like [`Connection::call`] for a version whose bytes equal those of an older one: the header says `version`, the bodies are
    /// encoded and decoded as `shape`.
    pub fn call_as<R: Request>(&mut self, version: i16, shape: i16, request: &R) -> R::Response {
        let sent = self.send_as(version, shape, request);
        self.receive::<R>(sent)
    }

    /// Like [`Connection::call`]; `None` if the connection was closed before the reply.
    pub fn try_call<R: Request>(&mut self, version: i16, request: &R) -> Option<R::Response> {
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id += 1;
        let frame = encode_frame(version, version, correlation_id, request);
        self.try_send_frame(&frame).ok()?;
        self.try_receive::<R>(Sent { correlation_id, version })
    }

    /// Like [`Connection::call`] for a version whose request the crate cannot encode: `body` is what follows the header.
    pub fn call_body<R: Request>(&mut self, version: i16, body: &[u8]) -> R::Response {
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id += 1;
        let mut frame = encode_header::<R>(version, correlation_id).to_vec();
        frame.extend(body);
        self.send_frame(&frame);
        self.receive::<R>(Sent { correlation_id, version })
    }

    /// Sends a request without waiting.
    pub fn send<R: Request>(&mut self, version: i16, request: &R) -> Sent {
        self.send_as(version, version, request)
    }

    /// Sends a request whose header says `version` and whose body is encoded as `shape`.
    pub fn send_as<R: Request>(&mut self, version: i16, shape: i16, request: &R) -> Sent {
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id += 1;
        let frame = encode_frame(version, shape, correlation_id, request);
        self.send_frame(&frame);
        Sent {
            correlation_id,
            version: shape,
        }
    }

    /// Awaits the next reply, which must be the one to `sent`, and decodes it to its last byte.
    pub fn receive<R: Request>(&mut self, sent: Sent) -> R::Response {
        self.try_receive::<R>(sent).unwrap_or_else(|| {
            panic!(
                "the connection was closed instead of a reply to API {} version {}",
                R::KEY,
                sent.version
            )
        })
    }

    /// Like [`Connection::receive`]; `None` if the connection was closed.
    pub fn try_receive<R: Request>(&mut self, sent: Sent) -> Option<R::Response> {
        let mut frame = Bytes::from(self.read_frame()?);
        let api = format!("API {} version {}", R::KEY, sent.version);
        let header = ResponseHeader::decode(&mut frame, R::Response::header_version(sent.version))
            .unwrap_or_else(|e| panic!("reply header of {api}: {e}"));
        assert_eq!(
            header.correlation_id, sent.correlation_id,
            "correlation id of the reply to {api}"
        );
        let reply = R::Response::decode(&mut frame, sent.version).unwrap_or_else(|e| panic!("reply to {api}: {e}"));
        assert!(frame.is_empty(), "{} bytes behind the reply to {api}", frame.len());
        Some(reply)
    }

    /// Sends a frame: its length and these bytes.
    pub fn send_frame(&mut self, body: &[u8]) {
        self.try_send_frame(body).unwrap_or_else(|e| panic!("send: {e}"));
    }

    /// Like [`Connection::send_frame`], or says why not.
    pub fn try_send_frame(&mut self, body: &[u8]) -> std::io::Result<()> {
        let mut frame = (body.len() as u32).to_be_bytes().to_vec();
        frame.extend(body);
        self.stream.write_all(&frame)
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap_or_else(|e| panic!("send: {e}"));
    }

    /// The next frame without its length; `None` if the connection was closed instead. Panics when neither happens in time.
    pub fn read_frame(&mut self) -> Option<Vec<u8>> {
        let mut length = [0u8; 4];
        self.read_or_closed(&mut length)?;
        let mut body = vec![0u8; u32::from_be_bytes(length) as usize];
        self.read_or_closed(&mut body)?;
        Some(body)
    }

    /// Whether the server answers or closes the connection within `limit`; what it answers is thrown away.
    pub fn reacts_within(&mut self, limit: Duration) -> bool {
        self.stream.set_read_timeout(Some(limit)).unwrap();
        let mut bytes = [0u8; 4096];
        !matches!(self.stream.read(&mut bytes), Err(e) if is_timeout(&e))
    }

    /// Panics unless the server closes the connection before it sends anything more, within `limit`.
    pub fn assert_closed_within(&mut self, limit: Duration, why: &str) {
        self.stream.set_read_timeout(Some(limit)).unwrap();
        let mut byte = [0u8; 1];
        match self.stream.read(&mut byte) {
            Ok(0) => {}
            Ok(_) => panic!("{why}: the server answered instead of closing the connection"),
            Err(e) if is_timeout(&e) => panic!("{why}: the connection is still open after {limit:?}"),
            Err(_) => {}
        }
    }

    /// Panics if the server sends anything or closes the connection within `limit`.
    pub fn assert_silent_for(&mut self, limit: Duration, why: &str) {
        self.stream.set_read_timeout(Some(limit)).unwrap();
        let mut byte = [0u8; 1];
        let result = self.stream.peek(&mut byte);
        self.stream.set_read_timeout(Some(REPLY_WITHIN)).unwrap();
        match result {
            Err(e) if is_timeout(&e) => {}
            Ok(0) => panic!("{why}: the connection was closed"),
            Ok(_) => panic!("{why}: the server sent something"),
            Err(e) => panic!("{why}: {e}"),
        }
    }

    fn read_or_closed(&mut self, buffer: &mut [u8]) -> Option<()> {
        match self.stream.read_exact(buffer) {
            Ok(()) => Some(()),
            Err(e) if is_timeout(&e) => panic!("no reply within {REPLY_WITHIN:?}"),
            Err(_) => None,
        }
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// The bytes of a request frame without the length in front.
pub fn encode_frame<R: Request>(version: i16, shape: i16, correlation_id: i32, request: &R) -> Vec<u8> {
    let mut frame = encode_header::<R>(version, correlation_id);
    request
        .encode(&mut frame, shape)
        .unwrap_or_else(|e| panic!("API {} cannot be encoded at version {shape}: {e}", R::KEY));
    frame.to_vec()
}

fn encode_header<R: Request>(version: i16, correlation_id: i32) -> BytesMut {
    let mut frame = BytesMut::new();
    RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str(CLIENT_ID)))
        .encode(&mut frame, R::header_version(version))
        .unwrap();
    frame
}
