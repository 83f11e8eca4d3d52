//! The two servers, and one request to both.

use crate::codec;
use crate::compare::Ids;
use crate::schema::{Api, Apis, Message};
use kafka_protocol::messages::{CreateTopicsRequest, DescribeClusterRequest};
use kafka_test::connection::Connection;
use kafka_test::patience::{try_within, PATIENCE};
use kafka_test::server::{Server, Target};
use kafka_test::topic::{creatable, metadata_of};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::io::ErrorKind;
use std::time::Duration;

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// A reply, read by the schema.
    Reply(Value),
    /// The connection was closed instead.
    Closed,
    /// Neither came within [`REPLY_WITHIN`].
    Silent,
    /// A reply that is not what the schema says, and why.
    Unreadable(String),
}

impl Outcome {
    /// As a tree to compare.
    pub fn tree(&self) -> Value {
        match self {
            Outcome::Reply(value) => value.clone(),
            Outcome::Closed => "(connection closed)".into(),
            Outcome::Silent => "(no reply)".into(),
            Outcome::Unreadable(why) => format!("(unreadable reply: {why})").into(),
        }
    }
}

/// The same of both.
#[derive(Debug, Clone)]
pub struct Both<T> {
    /// pg_kafka's.
    pub ours: T,
    /// Apache Kafka's.
    pub kafka: T,
}

/// A request as it goes over the wire, and what its reply is read by.
pub struct Frame<'a> {
    /// The key in the header.
    pub key: i16,
    /// The version in the header.
    pub version: i16,
    /// Whether the header has tagged fields.
    pub flexible_header: bool,
    /// What the reply is read by and in which version; `None` where no reply is expected at all.
    pub reply: Option<(&'a Message, i16)>,
}

impl<'a> Frame<'a> {
    /// A request of a version that both know.
    pub fn of(api: &'a Api, version: i16) -> Frame<'a> {
        Frame {
            key: api.key,
            version,
            flexible_header: api.request.flexible.contains(version),
            reply: Some((&api.response, version)),
        }
    }
}

/// One of the two servers, with what stands for its own facts in requests and replies.
pub struct Side {
    /// The server.
    pub server: Server,
    connection: Connection,
    /// `$name` in a request, and what it is at this server.
    symbols: HashMap<String, Value>,
    /// Ids that the server made for members, producers and fetch sessions in this script, in the order in which they were met.
    made: Vec<(&'static str, Value)>,
    leader_epoch: i64,
    port: i64,
    cluster_id: String,
}

impl Side {
    fn new(server: Server, probe: &str) -> Side {
        let mut connection = server.connect();
        let request = CreateTopicsRequest::default()
            .with_timeout_ms(30_000)
            .with_topics(vec![creatable(probe, 1, &[])]);
        connection.call(7, &request);
        server.ready(&mut connection, probe);
        let leader_epoch = i64::from(metadata_of(&mut connection, probe).partitions[0].leader_epoch);
        let cluster_id = connection.call(0, &DescribeClusterRequest::default()).cluster_id.to_string();
        let port = server
            .bootstrap
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok())
            .expect("a port");
        let symbols = [1, 5].map(|n| (format!("$epoch+{n}"), Value::from(leader_epoch + n)));
        let mut symbols = HashMap::from(symbols);
        symbols.insert("$epoch".to_owned(), leader_epoch.into());
        Side {
            server,
            connection,
            symbols,
            made: Vec::new(),
            leader_epoch,
            port,
            cluster_id,
        }
    }

    /// Lets `$name` stand for a value of this server.
    pub fn define(&mut self, name: &str, value: Value) {
        self.symbols.insert(format!("${name}"), value);
    }

    /// Does something over another connection.
    fn over<T>(&mut self, connection: &mut Connection, act: impl FnOnce(&mut Side) -> T) -> T {
        std::mem::swap(&mut self.connection, connection);
        let done = act(self);
        std::mem::swap(&mut self.connection, connection);
        done
    }

    /// The connection of the current script.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    fn resolve(&self, value: &Value) -> Value {
        match value {
            Value::String(text) if text.starts_with('$') => {
                let known = self.symbols.get(text);
                known.unwrap_or_else(|| panic!("{text} stands for nothing")).clone()
            }
            Value::Array(elements) => elements.iter().map(|element| self.resolve(element)).collect(),
            Value::Object(fields) => fields
                .iter()
                .map(|(name, value)| (name.clone(), self.resolve(value)))
                .collect(),
            other => other.clone(),
        }
    }

    /// The reply with this server's own facts replaced by what they are: its port, its cluster id, its current leader epoch.
    fn recognize(&self, name: &str, value: Value) -> Value {
        match value {
            Value::Object(fields) => {
                let fields = fields.into_iter().map(|(name, value)| {
                    let value = self.recognize(&name, value);
                    (name, value)
                });
                Value::Object(fields.collect::<Map<_, _>>())
            }
            Value::Array(elements) => elements.into_iter().map(|element| self.recognize(name, element)).collect(),
            Value::Number(n) if name == "Port" && n.as_i64() == Some(self.port) => "$port".into(),
            Value::Number(n) if name.ends_with("LeaderEpoch") && n.as_i64() == Some(self.leader_epoch) => "$epoch".into(),
            Value::String(text) if name == "ClusterId" && text == self.cluster_id => "$cluster".into(),
            other => match name {
                "MemberId" | "Leader" => self.symbol_of("member", &other),
                "ProducerId" => self.symbol_of("producer", &other),
                "SessionId" => self.symbol_of("session", &other),
                _ => None,
            }
            .unwrap_or(other),
        }
    }

    /// Notes the ids that the server made, so that they are recognized from here on: members' in any reply, producers' and sessions' where
    /// they are given.
    fn meet(&mut self, key: i16, name: &str, value: &Value) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| self.meet(key, name, value)),
            Value::Array(elements) => elements.iter().for_each(|element| self.meet(key, name, element)),
            Value::String(text) if name == "MemberId" && text.len() >= SHORTEST_MADE_ID => self.note("member", value),
            Value::Number(n) if name == "ProducerId" && key == INIT_PRODUCER_ID && n.as_i64() >= Some(0) => {
                self.note("producer", value);
            }
            Value::Number(n) if name == "SessionId" && key == FETCH && n.as_i64() > Some(0) => self.note("session", value),
            _ => {}
        }
    }

    fn note(&mut self, kind: &'static str, value: &Value) {
        if self.made.iter().any(|(_, known)| known == value) {
            return;
        }
        let number = self.made.iter().filter(|(known, _)| *known == kind).count() + 1;
        self.made.push((kind, value.clone()));
        self.define(&format!("{kind}{number}"), value.clone());
    }

    /// The symbol of an id that the server made.
    fn symbol_of(&self, kind: &str, value: &Value) -> Option<Value> {
        let number = self
            .made
            .iter()
            .filter(|(known, _)| *known == kind)
            .position(|(_, known)| known == value)?
            + 1;
        Some(format!("${kind}{number}").into())
    }

    fn send(&mut self, frame: &Frame, body: &[u8]) {
        let mut bytes = frame.key.to_be_bytes().to_vec();
        bytes.extend(frame.version.to_be_bytes());
        bytes.extend(CORRELATION_ID.to_be_bytes());
        bytes.extend((CLIENT_ID.len() as i16).to_be_bytes());
        bytes.extend(CLIENT_ID.as_bytes());
        if frame.flexible_header {
            bytes.push(0);
        }
        bytes.extend(body);
        // A server that has closed the connection already is noticed when the reply is read.
        let _ = self.connection.try_send_frame(&bytes);
    }

    fn receive(&mut self, frame: &Frame) -> Outcome {
        let Some((message, version)) = frame.reply else {
            return Outcome::Reply(Value::Null);
        };
        let stream = self.connection.stream();
        stream.set_read_timeout(Some(REPLY_WITHIN)).expect("a timeout");
        if matches!(stream.peek(&mut [0]), Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)) {
            self.connection = self.server.connect();
            return Outcome::Silent;
        }
        let Some(bytes) = self.connection.read_frame() else {
            self.connection = self.server.connect();
            return Outcome::Closed;
        };
        // The header of ApiVersions' reply never has tagged fields (KIP-511).
        let tagged = message.flexible.contains(version) && frame.key != API_VERSIONS;
        let header = [CORRELATION_ID.to_be_bytes().as_slice(), &[0][..usize::from(tagged)]].concat();
        match bytes.strip_prefix(header.as_slice()) {
            None => Outcome::Unreadable("not the header of the reply".to_owned()),
            Some(body) => match codec::decode(message, version, body) {
                Ok(value) => {
                    self.meet(frame.key, "", &value);
                    Outcome::Reply(self.recognize("", value))
                }
                Err(why) => Outcome::Unreadable(why),
            },
        }
    }
}

/// A request that both servers got, each over a connection of its own, and whose replies are awaited later.
pub struct Parked {
    frame: Frame<'static>,
    connections: Both<Connection>,
}

/// How long a server may take for its reply.
const REPLY_WITHIN: Duration = Duration::from_secs(15);
/// How long a server may take until it says what is awaited.
const READY_WITHIN: Duration = PATIENCE;
const API_VERSIONS: i16 = 18;
const INIT_PRODUCER_ID: i16 = 22;
const FETCH: i16 = 1;
/// Characters of the shortest id that a server makes for a member; those in scripts are shorter.
const SHORTEST_MADE_ID: usize = 22;
const CORRELATION_ID: i32 = 77;
const CLIENT_ID: &str = "differential";

/// Both servers and what is known of the two together.
pub struct Pair {
    /// Kafka's schemas.
    pub apis: &'static Apis,
    /// The servers.
    pub sides: Both<Side>,
    /// The ids met so far.
    pub ids: Ids,
}

impl Pair {
    /// Starts both servers, or takes the ones that `KAFKA_TEST_OURS` and `KAFKA_TEST_APACHE` (`host:port`) name.
    pub fn start(probe: &str) -> Pair {
        let apis = Apis::of_apache_kafka();
        let ours = match std::env::var("KAFKA_TEST_OURS") {
            Ok(bootstrap) => Server::running(Target::PgKafka, bootstrap),
            Err(_) => Server::start_pg_kafka(&[]),
        };
        let kafka = match std::env::var("KAFKA_TEST_APACHE") {
            Ok(bootstrap) => Server::running(Target::Apache, bootstrap),
            Err(_) => Server::start_apache(&[]),
        };
        let sides = Both {
            ours: Side::new(ours, probe),
            kafka: Side::new(kafka, probe),
        };
        Pair {
            apis,
            sides,
            ids: Ids::default(),
        }
    }

    /// New connections, so that nothing of one script reaches the next.
    pub fn reconnect(&mut self) {
        for side in self.each() {
            side.connection = side.server.connect();
            side.made.clear();
        }
    }

    /// Both sides, pg_kafka's first.
    pub fn each(&mut self) -> [&mut Side; 2] {
        [&mut self.sides.ours, &mut self.sides.kafka]
    }

    /// One request to both, with each server's own facts in place of the symbols; their outcomes.
    pub fn call(&mut self, api: &Api, version: i16, body: &Value) -> Both<Outcome> {
        self.exchange(&Frame::of(api, version), |side| {
            codec::encode(&api.request, version, &side.resolve(body))
        })
    }

    /// Requests to both, each until its reply is `ready`; panics if it is not within [`READY_WITHIN`]. `body` follows from the reply before.
    pub fn call_until(
        &mut self,
        api: &Api,
        version: i16,
        body: &dyn Fn(&Value) -> Value,
        ready: &dyn Fn(&Value) -> bool,
    ) -> Both<Outcome> {
        let frame = Frame::of(api, version);
        let [ours, kafka] = self.each().map(|side| {
            let (mut last, mut told) = (Outcome::Silent, Value::Null);
            let found = try_within(READY_WITHIN, || {
                side.send(&frame, &codec::encode(&api.request, version, &side.resolve(&body(&told))));
                last = side.receive(&frame);
                told = last.tree();
                ready(&told).then_some(())
            });
            assert!(
                found.is_some(),
                "{} is answered {told} by {}",
                body(&told),
                side.server.bootstrap
            );
            last
        });
        Both { ours, kafka }
    }

    /// Sends one request to both without waiting for the replies.
    pub fn park(&mut self, api: &str, version: i16, body: &Value) -> Parked {
        let apis: &'static Apis = self.apis;
        let api = apis.by_name(api);
        let frame = Frame::of(api, version);
        let [ours, kafka] = self.each().map(|side| {
            let mut connection = side.server.connect();
            let bytes = codec::encode(&api.request, version, &side.resolve(body));
            side.over(&mut connection, |side| side.send(&frame, &bytes));
            connection
        });
        Parked {
            frame,
            connections: Both { ours, kafka },
        }
    }

    /// Whether each of the two has answered, or closed the connection.
    pub fn have_answered(&self, parked: &Parked) -> Both<bool> {
        let answered = |connection: &Connection| {
            let stream = connection.stream();
            stream.set_nonblocking(true).expect("a mode");
            let nothing = matches!(stream.peek(&mut [0]), Err(e) if e.kind() == ErrorKind::WouldBlock);
            stream.set_nonblocking(false).expect("a mode");
            !nothing
        };
        Both {
            ours: answered(&parked.connections.ours),
            kafka: answered(&parked.connections.kafka),
        }
    }

    /// Awaits both replies.
    pub fn unpark(&mut self, mut parked: Parked) -> Both<Outcome> {
        let frame = &parked.frame;
        let ours = self.sides.ours.over(&mut parked.connections.ours, |side| side.receive(frame));
        let kafka = self
            .sides
            .kafka
            .over(&mut parked.connections.kafka, |side| side.receive(frame));
        Both { ours, kafka }
    }

    /// Like [`Pair::call`] for a request that has no reply.
    pub fn tell(&mut self, api: &Api, version: i16, body: &Value) {
        let frame = Frame {
            reply: None,
            ..Frame::of(api, version)
        };
        self.exchange(&frame, |side| codec::encode(&api.request, version, &side.resolve(body)));
    }

    /// Sends what `body` gives for each side and receives what `frame` expects.
    pub fn exchange(&mut self, frame: &Frame, body: impl Fn(&Side) -> Vec<u8>) -> Both<Outcome> {
        for side in self.each() {
            let body = body(side);
            side.send(frame, &body);
        }
        Both {
            ours: self.sides.ours.receive(frame),
            kafka: self.sides.kafka.receive(frame),
        }
    }
}
