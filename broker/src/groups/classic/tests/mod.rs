//! Scripts with a manual clock. `Script` drives one group, keeps what it answers and plays the storage.

mod answers;
mod limits;
mod random;
mod rebalances;
mod restore;
mod sessions;
mod static_members;
mod table;
mod writes;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::*;

/// Number of a request; the waiter of the group under test.
type Request = usize;

const SESSION: Duration = Duration::from_secs(10);
const REBALANCE: Duration = Duration::from_secs(60);

struct Script {
    group: ClassicGroup<Request>,
    settings: ClassicSettings,
    now: Instant,
    requests: Request,
    replies: BTreeMap<Request, Reply>,
    /// The keys of `replies` in the order of the answers.
    answered: Vec<Request>,
    /// What the group asked to be stored, in order.
    asked: Vec<Persist>,
    /// Whether each write is confirmed at once.
    stores: bool,
}

impl Script {
    fn new() -> Self {
        Self::of(ClassicGroup::new("g"))
    }

    fn of(group: ClassicGroup<Request>) -> Self {
        Script {
            group,
            settings: ClassicSettings::default(),
            now: Instant::now(),
            requests: 0,
            replies: BTreeMap::new(),
            answered: Vec::new(),
            asked: Vec::new(),
            stores: true,
        }
    }

    /// A Stable group of these dynamic members, of which the first is the leader, in generation 1.
    fn stable(ids: &[&str]) -> Self {
        let mut script = Self::completing(ids);
        script.sync_all(1, ids);
        assert_eq!(script.group.state(), ClassicState::Stable);
        script
    }

    /// The same before anybody has sent SyncGroup.
    fn completing(ids: &[&str]) -> Self {
        let mut script = Self::new();
        for id in ids {
            script.join(new_member(id));
        }
        script.pass(script.settings.initial_rebalance_delay * 2);
        assert_eq!(script.group.state(), ClassicState::CompletingRebalance);
        script
    }

    /// SyncGroups of all, the leader's first, which assigns to each its id.
    fn sync_all(&mut self, generation_id: i32, ids: &[&str]) {
        for id in ids {
            let request = self.sync(sync_with(id, generation_id, ids));
            assert_eq!(self.assignment(request), id.as_bytes());
        }
    }

    /// Numbers an input and takes what the group puts out.
    fn settle(&mut self) {
        loop {
            while let Some((request, reply)) = self.group.poll_reply() {
                let earlier = self.replies.insert(request, reply);
                assert!(earlier.is_none(), "request {request} is answered twice");
                self.answered.push(request);
            }
            let Some(persist) = self.group.poll_persist() else { return };
            let token = persist.token;
            self.asked.push(persist);
            if self.stores {
                self.group.persisted(&self.settings, self.now, token, Ok(()));
            }
        }
    }

    fn join(&mut self, request: JoinRequest) -> Request {
        self.requests += 1;
        self.group.join(&self.settings, self.now, request, self.requests);
        self.settle();
        self.requests
    }

    fn sync(&mut self, request: SyncRequest) -> Request {
        self.requests += 1;
        self.group.sync(request, self.requests);
        self.settle();
        self.requests
    }

    fn leave(&mut self, members: &[LeavingMember]) -> Result<Vec<Option<ResponseError>>, ResponseError> {
        let outcomes = self.group.leave(&self.settings, self.now, members.to_vec());
        self.settle();
        Ok(outcomes?.into_iter().map(|outcome| outcome.error).collect())
    }

    fn heartbeat(&mut self, id: &str, generation_id: i32) -> Result<(), ResponseError> {
        self.group.heartbeat(self.now, &member(id, generation_id))
    }

    /// Reports the outcome of the write that was asked for last.
    fn stored(&mut self, outcome: Result<(), ResponseError>) {
        let token = self.asked.last().expect("nothing was asked for").token;
        self.group.persisted(&self.settings, self.now, token, outcome);
        self.settle();
    }

    /// Lets time pass, stopping at each deadline.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(deadline) = self.group.next_timeout().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            self.group.handle_timeout(&self.settings, self.now);
            self.settle();
        }
        self.now = end;
    }

    fn is_parked(&self, request: Request) -> bool {
        !self.replies.contains_key(&request)
    }

    fn joined(&self, request: Request) -> &JoinReply {
        match self.replies.get(&request) {
            Some(Reply::Join(reply)) => reply,
            other => panic!("request {request} has {other:?}"),
        }
    }

    fn synced(&self, request: Request) -> &SyncReply {
        match self.replies.get(&request) {
            Some(Reply::Sync(reply)) => reply,
            other => panic!("request {request} has {other:?}"),
        }
    }

    fn assignment(&self, request: Request) -> &[u8] {
        let reply = self.synced(request);
        assert_eq!(reply.error, None);
        &reply.assignment
    }

    fn member_ids(&self) -> Vec<String> {
        self.group
            .describe()
            .members
            .into_iter()
            .map(|member| member.member_id)
            .collect()
    }
}

fn protocol(name: &str, metadata: impl Into<Bytes>) -> Protocol {
    Protocol {
        name: name.to_owned(),
        metadata: metadata.into(),
    }
}

/// Consumer protocol metadata that subscribes to one topic.
fn subscription_to(topic: &str) -> Vec<u8> {
    let length = u8::try_from(topic.len()).expect("a short name");
    [&[0, 0, 0, 0, 0, 1, 0, length], topic.as_bytes(), &[255; 4]].concat()
}

/// A dynamic member that joins with this id without having been given one, as clients before KIP-394 do.
fn new_member(id: &str) -> JoinRequest {
    JoinRequest {
        member_id: String::new(),
        instance_id: None,
        fresh_member_id: id.to_owned(),
        fresh_consumer_member_id: "unused".to_owned(),
        protocol_type: "consumer".to_owned(),
        protocols: vec![protocol("range", subscription_to("t"))],
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        requires_known_member_id: false,
        supports_skip_assignment: false,
        reason: None,
    }
}

/// A dynamic member that has to be given an id first.
fn stranger(id: &str) -> JoinRequest {
    JoinRequest {
        requires_known_member_id: true,
        ..new_member(id)
    }
}

/// A member that joins (again) with its id.
fn known_member(id: &str) -> JoinRequest {
    JoinRequest {
        member_id: id.to_owned(),
        fresh_member_id: "unused".to_owned(),
        ..stranger(id)
    }
}

/// A static member that joins without an id.
fn static_member(instance_id: &str, id: &str) -> JoinRequest {
    JoinRequest {
        instance_id: Some(instance_id.to_owned()),
        supports_skip_assignment: true,
        ..stranger(id)
    }
}

fn with_protocols(request: JoinRequest, protocols: &[(&str, &str)]) -> JoinRequest {
    let protocols = protocols.iter().map(|(name, topic)| protocol(name, subscription_to(topic)));
    JoinRequest {
        protocols: protocols.collect(),
        ..request
    }
}

fn member(id: &str, generation_id: i32) -> MemberRef {
    MemberRef {
        member_id: id.to_owned(),
        instance_id: None,
        generation_id,
    }
}

fn static_ref(instance_id: &str, id: &str, generation_id: i32) -> MemberRef {
    MemberRef {
        instance_id: Some(instance_id.to_owned()),
        ..member(id, generation_id)
    }
}

fn follower_sync(member: MemberRef) -> SyncRequest {
    SyncRequest {
        member,
        requires_protocol: true,
        protocol_type: Some("consumer".to_owned()),
        protocol_name: Some("range".to_owned()),
        assignments: Vec::new(),
    }
}

/// A leader's SyncGroup that assigns to each member its id; from a follower nobody reads that.
fn sync_with(id: &str, generation_id: i32, assigned: &[&str]) -> SyncRequest {
    let assignments = assigned.iter().map(|id| MemberAssignment {
        member_id: (*id).to_owned(),
        assignment: Bytes::copy_from_slice(id.as_bytes()),
    });
    SyncRequest {
        assignments: assignments.collect(),
        ..follower_sync(member(id, generation_id))
    }
}

fn leaving(id: &str) -> LeavingMember {
    LeavingMember {
        member_id: id.to_owned(),
        instance_id: None,
    }
}

fn leaving_instance(instance_id: &str) -> LeavingMember {
    LeavingMember {
        member_id: String::new(),
        instance_id: Some(instance_id.to_owned()),
    }
}
