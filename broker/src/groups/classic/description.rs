//! A classic group as DescribeGroups and ListGroups show it.

use bytes::Bytes;

use super::group::ClassicGroup;
use super::member::Member;
use super::request::Protocol;
use super::state::ClassicState;

/// What a member takes besides what it sent.
const MEMBER_BYTES: usize = 512;

/// A group at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicDescription {
    /// The state.
    pub state: ClassicState,
    /// "consumer" for consumers; "" if the group never had members.
    pub protocol_type: String,
    /// The chosen protocol; "" unless Stable.
    pub protocol: String,
    /// The members, ordered by id.
    pub members: Vec<DescribedMember>,
}

/// A member at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedMember {
    /// The member's id.
    pub member_id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// Client id of the JoinGroup that made the member.
    pub client_id: String,
    /// Address that this JoinGroup came from.
    pub client_host: String,
    /// Metadata of the chosen protocol; empty unless Stable.
    pub metadata: Bytes,
    /// The member's part of the last assignment. Unlike the metadata it is shown in each state.
    pub assignment: Bytes,
}

/// A member with all that it supports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentMember {
    /// The member's id.
    pub member_id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// Client id of the JoinGroup that made the member.
    pub client_id: String,
    /// Address that this JoinGroup came from.
    pub client_host: String,
    /// In milliseconds.
    pub rebalance_timeout_ms: i32,
    /// In milliseconds.
    pub session_timeout_ms: i32,
    /// The most preferred first.
    pub protocols: Vec<Protocol>,
    /// The member's part of the last assignment.
    pub assignment: Bytes,
}

impl<W> ClassicGroup<W> {
    /// The members as they are, for the group that takes the place of this one.
    pub fn current_members(&self) -> Vec<CurrentMember> {
        let members = self.members.iter().map(|member| CurrentMember {
            member_id: member.id.to_string(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: member.interests.rebalance_timeout_ms,
            session_timeout_ms: member.interests.session_timeout_ms,
            protocols: member.interests.protocols.clone(),
            assignment: member.assignment.clone(),
        });
        members.collect()
    }

    /// About how many bytes the group takes in memory.
    pub fn size_bytes(&self) -> usize {
        let of_member = |member: &Member<W>| {
            let protocols = member.interests.protocols.iter();
            let protocols: usize = protocols
                .map(|protocol| protocol.name.len() + protocol.metadata.len() + 64)
                .sum();
            let texts = member.id.len() + member.instance_id.as_ref().map_or(0, String::len) + member.client_id.len();
            MEMBER_BYTES + texts + protocols + member.assignment.len()
        };
        self.members.iter().map(of_member).sum()
    }

    /// The protocol that the members chose, if they have.
    pub fn protocol_name(&self) -> Option<&str> {
        self.protocol_name.as_deref()
    }

    /// What DescribeGroups shows of the group (Kafka `GroupMetadataManager.describeGroups`); ListGroups shows its protocol type and
    /// state.
    pub fn describe(&self) -> ClassicDescription {
        let protocol = self.protocol_name.as_deref().filter(|_| self.state == ClassicState::Stable);
        let members = self.members.iter().map(|member| DescribedMember {
            member_id: member.id.to_string(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            metadata: protocol.map(|name| member.metadata(Some(name))).unwrap_or_default(),
            assignment: member.assignment.clone(),
        });
        ClassicDescription {
            state: self.state,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: protocol.unwrap_or_default().to_owned(),
            members: members.collect(),
        }
    }
}
