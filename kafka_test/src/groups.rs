//! Members of classic consumer groups, driven request by request: JoinGroup, SyncGroup, Heartbeat, LeaveGroup.

use crate::connection::{Connection, Sent};
use crate::patience::eventually;
use crate::server::Server;
use crate::topic::unique_name;
use bytes::Bytes;
use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    DescribeGroupsRequest, FindCoordinatorRequest, GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse,
    LeaveGroupRequest, LeaveGroupResponse, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;

/// The newest version of JoinGroup.
pub const JOIN_GROUP: i16 = 9;
/// The newest version of SyncGroup.
pub const SYNC_GROUP: i16 = 5;
/// The newest version of Heartbeat.
pub const HEARTBEAT: i16 = 4;
/// The newest version of LeaveGroup.
pub const LEAVE_GROUP: i16 = 5;
/// The newest version of DescribeGroups.
pub const DESCRIBE_GROUPS: i16 = 6;
/// The shortest session that a broker allows by default, in milliseconds.
pub const SHORTEST_SESSION_MS: i32 = 6_000;
/// The first version of JoinGroup whose dynamic members are told their id and asked to come back with it (KIP-394).
pub const MEMBER_ID_REQUIRED_SINCE: i16 = 4;

const GROUP_ID_NOT_FOUND: i16 = 69;
const MEMBER_ID_REQUIRED: i16 = 79;

/// Text as a request carries it.
pub fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

/// The name of a group as a request carries it.
pub fn group_id(name: &str) -> GroupId {
    GroupId(text(name))
}

impl Server {
    /// A name for a group that no other test uses, of a server that has a coordinator for it: Apache Kafka makes its topic of offsets
    /// when it is first asked.
    pub fn group(&self, prefix: &str) -> String {
        let name = unique_name(prefix);
        let mut connection = self.connect();
        let request = FindCoordinatorRequest::default().with_key(text(&name));
        eventually("a coordinator", || {
            (connection.call(0, &request).error_code == 0).then_some(())
        });
        await_coordinator(&mut connection, &name);
        name
    }
}

/// Waits until the coordinator answers about a group: Apache Kafka names it before it has begun to load the groups, and before it has
/// ended.
pub fn await_coordinator(connection: &mut Connection, group: &str) {
    eventually("the coordinator has loaded", || {
        [0, GROUP_ID_NOT_FOUND]
            .contains(&describe(connection, group).error_code)
            .then_some(())
    });
}

/// What a consumer says about itself: the topics that it wants, and what its assignor wants to say (version 0 of Kafka's consumer
/// protocol). The broker passes it on as it is, but Apache Kafka reads it too, and never answers a join of type "consumer" whose metadata
/// names more topics than it has bytes.
pub fn subscription(topics: &[&str], user_data: &[u8]) -> Vec<u8> {
    let mut out = 0i16.to_be_bytes().to_vec();
    out.extend((topics.len() as i32).to_be_bytes());
    for topic in topics {
        out.extend((topic.len() as i16).to_be_bytes());
        out.extend(topic.as_bytes());
    }
    out.extend((user_data.len() as i32).to_be_bytes());
    out.extend(user_data);
    out
}

/// What a leader gives to one consumer: partitions of one topic (version 0 of Kafka's consumer protocol).
pub fn assignment(topic: &str, partitions: &[i32]) -> Vec<u8> {
    let mut out = [0i16.to_be_bytes().as_slice(), &1i32.to_be_bytes()].concat();
    out.extend((topic.len() as i16).to_be_bytes());
    out.extend(topic.as_bytes());
    out.extend((partitions.len() as i32).to_be_bytes());
    out.extend(partitions.iter().flat_map(|partition| partition.to_be_bytes()));
    out.extend((-1i32).to_be_bytes());
    out
}

/// What a member says when it joins.
#[derive(Debug, Clone)]
pub struct Joining {
    /// The group.
    pub group: String,
    /// Its id, empty before it has one.
    pub member_id: String,
    /// The name of a static member (KIP-345), from version 5 on.
    pub instance_id: Option<String>,
    /// Milliseconds without a heartbeat after which it is out.
    pub session_timeout_ms: i32,
    /// Milliseconds that a rebalance waits for it; version 0 has the session timeout instead.
    pub rebalance_timeout_ms: i32,
    /// "consumer" of consumers.
    pub protocol_type: String,
    /// The assignors that it knows, best first, and its subscription for each, which the broker does not read.
    pub protocols: Vec<(String, Vec<u8>)>,
}

impl Joining {
    /// A dynamic member without an id that knows "range".
    pub fn new(group: &str) -> Joining {
        Joining {
            group: group.to_owned(),
            member_id: String::new(),
            instance_id: None,
            session_timeout_ms: 30_000,
            rebalance_timeout_ms: 30_000,
            protocol_type: "consumer".to_owned(),
            protocols: vec![("range".to_owned(), subscription(&[], b""))],
        }
    }

    /// The same with an id.
    pub fn member(mut self, member_id: &str) -> Joining {
        self.member_id = member_id.to_owned();
        self
    }

    /// The same as a static member.
    pub fn instance(mut self, instance_id: &str) -> Joining {
        self.instance_id = Some(instance_id.to_owned());
        self
    }

    /// The same with these protocols.
    pub fn protocols(mut self, protocols: &[(&str, &[u8])]) -> Joining {
        let owned = protocols
            .iter()
            .map(|(name, metadata)| ((*name).to_owned(), metadata.to_vec()));
        self.protocols = owned.collect();
        self
    }

    /// As a request; the same for every version that has the fields.
    pub fn request(&self) -> JoinGroupRequest {
        let protocols = self.protocols.iter().map(|(name, metadata)| {
            JoinGroupRequestProtocol::default()
                .with_name(text(name))
                .with_metadata(Bytes::copy_from_slice(metadata))
        });
        JoinGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_session_timeout_ms(self.session_timeout_ms)
            .with_rebalance_timeout_ms(self.rebalance_timeout_ms)
            .with_member_id(text(&self.member_id))
            .with_group_instance_id(self.instance_id.as_deref().map(text))
            .with_protocol_type(text(&self.protocol_type))
            .with_protocols(protocols.collect())
    }

    /// Joins and waits for the end of the rebalance; a member that is told to come back with its id does so.
    pub fn join(&mut self, connection: &mut Connection, version: i16) -> JoinGroupResponse {
        let reply = connection.call(version, &self.request());
        if reply.error_code != MEMBER_ID_REQUIRED {
            return reply;
        }
        self.member_id = reply.member_id.to_string();
        connection.call(version, &self.request())
    }
}

/// A SyncGroup: what the leader assigns to whom, nothing from the others.
pub fn sync_request(group: &str, generation: i32, member_id: &str, assignments: &[(&str, &[u8])]) -> SyncGroupRequest {
    let assignments = assignments.iter().map(|(member, assignment)| {
        SyncGroupRequestAssignment::default()
            .with_member_id(text(member))
            .with_assignment(Bytes::copy_from_slice(assignment))
    });
    SyncGroupRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id(generation)
        .with_member_id(text(member_id))
        .with_assignments(assignments.collect())
}

/// A Heartbeat.
pub fn heartbeat_request(group: &str, generation: i32, member_id: &str) -> HeartbeatRequest {
    HeartbeatRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id(generation)
        .with_member_id(text(member_id))
}

/// A LeaveGroup of these members, each an id and the name of a static member: one alone below version 3, which knows no names.
pub fn leave_request(version: i16, group: &str, members: &[(&str, Option<&str>)]) -> LeaveGroupRequest {
    let request = LeaveGroupRequest::default().with_group_id(group_id(group));
    if version < 3 {
        assert_eq!(members.len(), 1, "LeaveGroup {version} is about one member");
        return request.with_member_id(text(members[0].0));
    }
    let members = members.iter().map(|(member_id, instance_id)| {
        MemberIdentity::default()
            .with_member_id(text(member_id))
            .with_group_instance_id(instance_id.map(text))
    });
    request.with_members(members.collect())
}

/// Errors of a LeaveGroup's members; of a version that has one for all, that one.
pub fn leave_errors(version: i16, reply: &LeaveGroupResponse) -> Vec<i16> {
    if version < 3 {
        return vec![reply.error_code];
    }
    assert_eq!(reply.error_code, 0, "error of the whole LeaveGroup");
    reply.members.iter().map(|member| member.error_code).collect()
}

/// What DescribeGroups says about a group.
pub fn describe(connection: &mut Connection, group: &str) -> DescribedGroup {
    let request = DescribeGroupsRequest::default().with_groups(vec![group_id(group)]);
    let mut reply = connection.call(DESCRIBE_GROUPS, &request);
    assert_eq!(reply.groups.len(), 1, "groups in the description of one");
    reply.groups.remove(0)
}

/// Waits until a group is in this state with so many members.
pub fn await_state(server: &Server, group: &str, state: &str, members: usize) -> DescribedGroup {
    let mut connection = server.connect();
    eventually(&format!("{group} is {state} with {members} members"), || {
        let found = describe(&mut connection, group);
        (found.group_state.as_str() == state && found.members.len() == members).then_some(found)
    })
}

/// A member that speaks the newest versions over a connection of its own and remembers what it was told.
pub struct Member {
    /// Its connection, which a join that is waited for occupies.
    pub connection: Connection,
    /// What it says when it joins, with the id it has.
    pub joining: Joining,
    /// The generation that it was last told.
    pub generation: i32,
}

impl Member {
    /// A dynamic member that has not joined.
    pub fn new(server: &Server, group: &str) -> Member {
        Member::with(server, Joining::new(group))
    }

    /// A member that has not joined and will say this.
    pub fn with(server: &Server, joining: Joining) -> Member {
        Member {
            connection: server.connect(),
            joining,
            generation: -1,
        }
    }

    /// The members of a stable group, leader first, each with its number as assignment.
    pub fn stable_group(server: &Server, group: &str, count: usize) -> Vec<Member> {
        let joinings = (0..count).map(|_| Joining::new(group));
        Member::stable_group_of(server, joinings.collect())
    }

    /// Like [`Member::stable_group`] with what each says.
    pub fn stable_group_of(server: &Server, joinings: Vec<Joining>) -> Vec<Member> {
        let mut members: Vec<Member> = Vec::new();
        for joining in joinings {
            let mut newcomer = Member::with(server, joining);
            newcomer.identify();
            let joining = newcomer.send_join();
            if members.is_empty() {
                newcomer.receive_join(joining);
            } else {
                await_state(server, &newcomer.joining.group, "PreparingRebalance", members.len() + 1);
                let rejoining: Vec<Sent> = members.iter_mut().map(Member::send_join).collect();
                for (member, sent) in members.iter_mut().zip(rejoining) {
                    assert_eq!(member.receive_join(sent).error_code, 0);
                }
                assert_eq!(newcomer.receive_join(joining).error_code, 0);
            }
            members.push(newcomer);
            sync_all(&mut members);
        }
        members
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.joining.member_id
    }

    /// Gets an id without joining, if it has none and needs one.
    pub fn identify(&mut self) {
        if self.joining.member_id.is_empty() && self.joining.instance_id.is_none() {
            let reply = self.connection.call(JOIN_GROUP, &self.joining.request());
            assert_eq!(reply.error_code, MEMBER_ID_REQUIRED, "a first join without an id");
            self.joining.member_id = reply.member_id.to_string();
        }
    }

    /// Sends its JoinGroup.
    pub fn send_join(&mut self) -> Sent {
        self.connection.send(JOIN_GROUP, &self.joining.request())
    }

    /// Awaits the reply to its JoinGroup and remembers what it says.
    pub fn receive_join(&mut self, sent: Sent) -> JoinGroupResponse {
        let reply = self.connection.receive::<JoinGroupRequest>(sent);
        if reply.error_code == 0 {
            self.generation = reply.generation_id;
            self.joining.member_id = reply.member_id.to_string();
        }
        reply
    }

    /// Joins, with its id.
    pub fn join(&mut self) -> JoinGroupResponse {
        self.identify();
        let sent = self.send_join();
        self.receive_join(sent)
    }

    fn sync_request(&self, assignments: &[(&str, &[u8])]) -> SyncGroupRequest {
        sync_request(&self.joining.group, self.generation, self.id(), assignments)
            .with_group_instance_id(self.joining.instance_id.as_deref().map(text))
            .with_protocol_type(Some(text(&self.joining.protocol_type)))
            .with_protocol_name(Some(text(&self.joining.protocols[0].0)))
    }

    /// Sends its SyncGroup.
    pub fn send_sync(&mut self, assignments: &[(&str, &[u8])]) -> Sent {
        self.connection.send(SYNC_GROUP, &self.sync_request(assignments))
    }

    /// Awaits the reply to its SyncGroup.
    pub fn receive_sync(&mut self, sent: Sent) -> SyncGroupResponse {
        self.connection.receive::<SyncGroupRequest>(sent)
    }

    /// Syncs and awaits its assignment.
    pub fn sync(&mut self, assignments: &[(&str, &[u8])]) -> SyncGroupResponse {
        let sent = self.send_sync(assignments);
        self.receive_sync(sent)
    }

    /// Error of a heartbeat.
    pub fn heartbeat(&mut self) -> i16 {
        let request = heartbeat_request(&self.joining.group, self.generation, &self.joining.member_id)
            .with_group_instance_id(self.joining.instance_id.as_deref().map(text));
        self.connection.call(HEARTBEAT, &request).error_code
    }

    /// Heartbeats until the answer is this error.
    pub fn heartbeat_until(&mut self, error: i16) {
        eventually(&format!("a heartbeat is answered {error}"), || {
            (self.heartbeat() == error).then_some(())
        });
    }

    /// Leaves; its error.
    pub fn leave(&mut self) -> i16 {
        let member = (self.joining.member_id.as_str(), self.joining.instance_id.as_deref());
        let request = leave_request(LEAVE_GROUP, &self.joining.group, &[member]);
        let reply = self.connection.call(LEAVE_GROUP, &request);
        leave_errors(LEAVE_GROUP, &reply)[0]
    }
}

/// Lets all members of a stable group join again: its leader, who is the first, begins a rebalance.
pub fn rejoin_all(server: &Server, members: &mut [Member]) {
    let mut sent = vec![members[0].send_join()];
    await_state(server, &members[0].joining.group, "PreparingRebalance", members.len());
    sent.extend(members[1..].iter_mut().map(Member::send_join));
    for (member, sent) in members.iter_mut().zip(sent) {
        assert_eq!(member.receive_join(sent).error_code, 0, "a member joins again");
    }
}

/// Lets all members of a group that has joined sync: the first is its leader and assigns to each its number as text.
pub fn sync_all(members: &mut [Member]) {
    let numbers: Vec<Vec<u8>> = (0..members.len()).map(|number| number.to_string().into_bytes()).collect();
    assign_all(members, &numbers);
}

/// Lets all members of a group that has joined sync: the first is its leader and assigns these in turn.
pub fn assign_all(members: &mut [Member], assignments: &[Vec<u8>]) {
    let ids = members.iter().map(|member| member.id().to_owned());
    let assignments: Vec<(String, Vec<u8>)> = ids.zip(assignments.iter().cloned()).collect();
    let borrowed: Vec<(&str, &[u8])> = assignments.iter().map(|(id, a)| (id.as_str(), a.as_slice())).collect();
    let sent: Vec<Sent> = members
        .iter_mut()
        .enumerate()
        .map(|(number, member)| member.send_sync(if number == 0 { &borrowed } else { &[] }))
        .collect();
    for (number, (member, sent)) in members.iter_mut().zip(sent).enumerate() {
        let reply = member.receive_sync(sent);
        assert_eq!(
            (reply.error_code, reply.assignment.as_ref()),
            (0, borrowed[number].1),
            "assignment of member {number}"
        );
    }
}
