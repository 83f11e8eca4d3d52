//! Goal: clients of the classic protocol are served in a consumer group as Kafka 4.3.1 serves them, and groups change sides with their members.

mod bytes;
mod migration;
mod scripts;
mod table;

use ::bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError;

use super::protocol::{by_id, read_assignment};
use super::*;
use crate::groups::consumer::tests::{beat, heartbeat_reply, join, Script};
use crate::groups::consumer::*;

/// A subscription of version 1.
pub(in crate::groups::consumer) fn subscription(names: &[&str], owned: &[(&str, &[i32])]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(1);
    let text = |bytes: &mut BytesMut, text: &str| {
        bytes.put_i16(text.len().try_into().unwrap());
        bytes.put_slice(text.as_bytes());
    };
    bytes.put_i32(names.len().try_into().unwrap());
    names.iter().for_each(|name| text(&mut bytes, name));
    bytes.put_i32(-1);
    bytes.put_i32(owned.len().try_into().unwrap());
    for (name, partitions) in owned {
        text(&mut bytes, name);
        bytes.put_i32(partitions.len().try_into().unwrap());
        partitions.iter().for_each(|partition| bytes.put_i32(*partition));
    }
    bytes.freeze()
}

fn protocol(name: &str, metadata: Bytes) -> ClassicProtocol {
    ClassicProtocol {
        name: name.to_owned(),
        metadata,
    }
}

/// A JoinGroup for topic `a`, with a session timeout of 20 s and a rebalance timeout of 10 s.
pub(in crate::groups::consumer) fn classic_join(member_id: &str, owned: &[i32]) -> ClassicJoin {
    let owned: &[(&str, &[i32])] = if owned.is_empty() { &[] } else { &[("a", owned)] };
    ClassicJoin {
        member_id: member_id.to_owned(),
        fresh_member_id: "fresh".to_owned(),
        instance_id: None,
        requires_known_member_id: true,
        session_timeout_ms: 20_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![protocol("range", subscription(&["a"], owned))],
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
    }
}

fn member(member_id: &str, generation_id: i32) -> ClassicMemberRef {
    ClassicMemberRef {
        member_id: member_id.to_owned(),
        instance_id: None,
        generation_id,
    }
}

fn leaving(member_id: &str, instance_id: Option<&str>) -> ClassicLeaving {
    ClassicLeaving {
        member_id: member_id.to_owned(),
        instance_id: instance_id.map(str::to_owned),
    }
}

fn as_instance(mut join: ClassicJoin, instance_id: &str) -> ClassicJoin {
    join.instance_id = Some(instance_id.to_owned());
    join
}

impl Script {
    /// The reply to the request that was just sent, everything being durable.
    fn reply(&mut self) -> Reply {
        while let Some(persist) = self.group.poll_persist() {
            self.group.persisted(persist.token);
        }
        let (_, reply) = self.group.poll_reply().unwrap();
        assert!(self.group.poll_reply().is_none());
        reply
    }

    fn classic_join(&mut self, request: ClassicJoin) -> ClassicJoinReply {
        self.group.classic_join(&self.settings, &self.topics, self.now, request, 0);
        match self.reply() {
            Reply::ClassicJoin(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    /// A join that must be accepted. Returns the generation.
    fn joined(&mut self, request: ClassicJoin) -> i32 {
        self.classic_join(request).result.unwrap().generation_id
    }

    fn classic_sync(&mut self, member: ClassicMemberRef) -> Result<Partitions, ResponseError> {
        let request = ClassicSync {
            member,
            protocol_type: Some("consumer".to_owned()),
            protocol_name: Some("range".to_owned()),
        };
        self.sync(request)
            .map(|synced| by_id(&read_assignment(&synced.assignment).unwrap().0, &self.topics))
    }

    fn sync(&mut self, request: ClassicSync) -> Result<ClassicSynced, ResponseError> {
        self.group.classic_sync(&self.topics, self.now, request, 0);
        match self.reply() {
            Reply::ClassicSync(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    fn classic_beat(&mut self, member: &ClassicMemberRef) -> Result<(), ResponseError> {
        self.group.classic_heartbeat(self.now, member, 0);
        match self.reply() {
            Reply::ClassicHeartbeat(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    fn classic_leave(&mut self, members: Vec<ClassicLeaving>) -> Vec<Result<(), ResponseError>> {
        self.group.classic_leave(&self.settings, &self.topics, self.now, members, 0);
        match self.reply() {
            Reply::ClassicLeave(reply) => reply.unwrap().into_iter().map(|left| left.result).collect(),
            other => panic!("{other:?}"),
        }
    }
}
