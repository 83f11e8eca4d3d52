//! Groups that change their protocol while they have members (KIP-848, "online migration").

use super::classic::{self, ClassicGroup, CurrentMember, JoinReply, JoinRequest, LeaveOutcome, LeavingMember, MemberRef};
use super::classic::{StoredClassicGroup, SyncReply, SyncRequest};
use super::consumer::{
    ClassicGroupImage, ClassicGroupMember, ClassicJoin, ClassicJoinReply, ClassicLeaving, ClassicLeft, ClassicMemberRef,
    ClassicProtocol, ClassicSync, ClassicSynced,
};
use super::stored::CONSUMER_PROTOCOL;
use kafka_protocol::ResponseError;

/// A classic group as a consumer group takes it over.
pub(super) fn image_of<W>(group: &ClassicGroup<W>) -> ClassicGroupImage {
    ClassicGroupImage {
        generation_id: group.generation_id(),
        protocol_type: group.protocol_type().unwrap_or_default().to_owned(),
        protocol_name: group.protocol_name().map(str::to_owned),
        members: group.current_members().into_iter().map(image_of_member).collect(),
        rebalance: false,
    }
}

fn image_of_member(member: CurrentMember) -> ClassicGroupMember {
    ClassicGroupMember {
        member_id: member.member_id,
        instance_id: member.instance_id,
        client_id: member.client_id,
        client_host: member.client_host,
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        session_timeout_ms: member.session_timeout_ms,
        protocols: member.protocols.into_iter().map(consumer_protocol).collect(),
        assignment: member.assignment,
    }
}

fn consumer_protocol(protocol: classic::Protocol) -> ClassicProtocol {
    ClassicProtocol {
        name: protocol.name,
        metadata: bytes::Bytes::copy_from_slice(&protocol.metadata),
    }
}

/// The classic group that a consumer group becomes. Who leads it is decided at its next rebalance; until then it is the first member.
pub(super) fn stored_of(image: &ClassicGroupImage) -> StoredClassicGroup {
    let name = image.protocol_name.as_deref();
    let members = image.members.iter().map(|member| {
        let mut protocols = member.protocols.iter();
        let chosen = protocols.find(|protocol| name.is_none_or(|name| protocol.name == name));
        classic::StoredMember {
            member_id: member.member_id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            metadata: chosen.map(|protocol| protocol.metadata.clone()).unwrap_or_default(),
            assignment: member.assignment.clone(),
        }
    });
    let mut members: Vec<_> = members.collect();
    members.sort_by(|a, b| a.member_id.cmp(&b.member_id));
    StoredClassicGroup {
        generation_id: image.generation_id,
        protocol_type: image.protocol_type.clone(),
        protocol_name: image.protocol_name.clone(),
        leader: members.first().map(|member| member.member_id.clone()),
        members,
    }
}

/// A JoinGroup to a consumer group.
pub(super) fn join_of(request: JoinRequest) -> ClassicJoin {
    ClassicJoin {
        member_id: request.member_id,
        fresh_member_id: request.fresh_consumer_member_id,
        instance_id: request.instance_id,
        requires_known_member_id: request.requires_known_member_id,
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms: request.rebalance_timeout_ms,
        protocol_type: request.protocol_type,
        protocols: request.protocols.into_iter().map(consumer_protocol).collect(),
        client_id: request.client_id,
        client_host: request.client_host,
    }
}

pub(super) fn joined(reply: ClassicJoinReply) -> JoinReply {
    let (error, generation_id, protocol_type, protocol_name) = match reply.result {
        Ok(joined) => (
            None,
            joined.generation_id,
            Some(CONSUMER_PROTOCOL.to_owned()),
            Some(joined.protocol_name),
        ),
        Err(error) => (Some(error), -1, None, None),
    };
    JoinReply {
        error,
        generation_id,
        protocol_type,
        protocol_name,
        leader: String::new(),
        skip_assignment: false,
        member_id: reply.member_id,
        members: Vec::new(),
    }
}

pub(super) fn member_of(member: &MemberRef) -> ClassicMemberRef {
    ClassicMemberRef {
        member_id: member.member_id.clone(),
        instance_id: member.instance_id.clone(),
        generation_id: member.generation_id,
    }
}

/// A SyncGroup to a consumer group.
pub(super) fn sync_of(request: SyncRequest) -> ClassicSync {
    ClassicSync {
        member: member_of(&request.member),
        protocol_type: request.protocol_type,
        protocol_name: request.protocol_name,
    }
}

pub(super) fn synced(result: Result<ClassicSynced, ResponseError>) -> SyncReply {
    match result {
        Ok(synced) => SyncReply {
            error: None,
            protocol_type: synced.protocol_type,
            protocol_name: synced.protocol_name,
            assignment: synced.assignment,
        },
        Err(error) => SyncReply {
            error: Some(error),
            protocol_type: None,
            protocol_name: None,
            assignment: bytes::Bytes::new(),
        },
    }
}

pub(super) fn leaving_of(member: LeavingMember) -> ClassicLeaving {
    ClassicLeaving {
        member_id: member.member_id,
        instance_id: member.instance_id,
    }
}

pub(super) fn left(member: ClassicLeft) -> LeaveOutcome {
    LeaveOutcome {
        member_id: member.member_id,
        instance_id: member.instance_id,
        error: member.result.err(),
    }
}
