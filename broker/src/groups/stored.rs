//! Groups as records of storage and back. Bytes of clients stand in JSON as base64.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::classic::{StoredClassicGroup, StoredMember};
use super::consumer::{ConsumerGroupChange, StoredConsumerGroup, StoredGroup as ConsumerNumbers, StoredMember as ConsumerMember};
use super::consumer_protocol::assigned_partitions;
use super::partition_runs::runs;
use crate::catalog::Topics;
use crate::storage::groups::{GroupChange, GroupRecord, GroupType, MemberRecord};

/// Protocol type of consumers, whose assignments SQL can show.
pub(super) const CONSUMER_PROTOCOL: &str = "consumer";

/// What of a group is in no column of its own.
#[derive(Serialize, Deserialize)]
struct GroupState {
    protocol_type: String,
    leader: Option<String>,
    protocol: Option<String>,
}

/// The same of a member. Ids are here too: the columns cannot hold every text.
#[derive(Serialize, Deserialize)]
struct MemberState {
    client_id: String,
    client_host: String,
    rebalance_timeout_ms: i32,
    session_timeout_ms: i32,
    #[serde(with = "super::base64_bytes")]
    metadata: Bytes,
    #[serde(with = "super::base64_bytes")]
    assignment: Bytes,
}

/// Why a group cannot be written down, or a stored one not be read.
pub(super) type StoredError = serde_json::Error;

/// A classic group as it is to be stored.
pub(super) fn to_records(group: &StoredClassicGroup) -> Result<(GroupRecord, Vec<MemberRecord>), StoredError> {
    let state = GroupState {
        protocol_type: group.protocol_type.clone(),
        leader: group.leader.clone(),
        protocol: group.protocol_name.clone(),
    };
    let record = GroupRecord {
        group_type: GroupType::Classic,
        epoch: group.generation_id,
        protocol_type: column(&group.protocol_type),
        protocol: column(group.protocol_name.as_deref().unwrap_or_default()),
        state: serde_json::to_string(&state)?,
    };
    let members = group.members.iter().map(|member| member_record(&group.protocol_type, member));
    Ok((record, members.collect::<Result<_, _>>()?))
}

fn member_record(protocol_type: &str, member: &StoredMember) -> Result<MemberRecord, StoredError> {
    let assigned = match protocol_type {
        CONSUMER_PROTOCOL => assigned_partitions(&member.assignment).unwrap_or_default(),
        _ => Default::default(),
    };
    let assigned = assigned.into_iter().map(|(topic, partitions)| (topic, runs(partitions)));
    let state = MemberState {
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        session_timeout_ms: member.session_timeout_ms,
        metadata: member.metadata.clone(),
        assignment: member.assignment.clone(),
    };
    Ok(MemberRecord {
        member_id: member.member_id.clone(),
        instance_id: member.instance_id.clone(),
        client_id: column(&member.client_id),
        client_host: column(&member.client_host),
        assignment: serde_json::to_string(&assigned.collect::<BTreeMap<_, _>>())?,
        state: serde_json::to_string(&state)?,
    })
}

/// A stored classic group.
pub(super) fn from_records(group: &GroupRecord, members: &[MemberRecord]) -> Result<StoredClassicGroup, StoredError> {
    let state: GroupState = serde_json::from_str(&group.state)?;
    Ok(StoredClassicGroup {
        generation_id: group.epoch,
        protocol_type: state.protocol_type,
        protocol_name: state.protocol,
        leader: state.leader,
        members: members.iter().map(stored_member).collect::<Result<_, _>>()?,
    })
}

fn stored_member(member: &MemberRecord) -> Result<StoredMember, StoredError> {
    let state: MemberState = serde_json::from_str(&member.state)?;
    Ok(StoredMember {
        member_id: member.member_id.clone(),
        instance_id: member.instance_id.clone(),
        client_id: state.client_id,
        client_host: state.client_host,
        rebalance_timeout_ms: state.rebalance_timeout_ms,
        session_timeout_ms: state.session_timeout_ms,
        metadata: state.metadata,
        assignment: state.assignment,
    })
}

/// A change of a consumer group as it is to be stored.
pub(super) fn to_change(change: &ConsumerGroupChange, topics: &Topics) -> Result<GroupChange, StoredError> {
    let record = |group: &ConsumerNumbers| -> Result<GroupRecord, StoredError> {
        Ok(GroupRecord {
            group_type: GroupType::Consumer,
            epoch: group.group_epoch,
            protocol_type: CONSUMER_PROTOCOL.to_owned(),
            protocol: String::new(),
            state: serde_json::to_string(group)?,
        })
    };
    let group = change.group.as_ref().map(record).transpose()?;
    let members = change.members.iter().map(|member| consumer_record(member, topics));
    let members = members.collect::<Result<_, _>>()?;
    Ok(match group {
        Some(group) if change.whole => GroupChange::Replace(group, members),
        group => GroupChange::Update {
            group,
            members,
            gone: change.removed.clone(),
        },
    })
}

fn consumer_record(member: &ConsumerMember, topics: &Topics) -> Result<MemberRecord, StoredError> {
    let named = member.assigned.iter().filter_map(|(id, partitions)| {
        let topic = topics.by_id(id)?;
        Some((&topic.name, runs(partitions.keys().copied())))
    });
    Ok(MemberRecord {
        member_id: member.member_id.clone(),
        instance_id: member.instance_id.clone(),
        client_id: column(&member.client_id),
        client_host: column(&member.client_host),
        assignment: serde_json::to_string(&named.collect::<BTreeMap<_, _>>())?,
        state: serde_json::to_string(member)?,
    })
}

/// A stored consumer group.
pub(super) fn consumer_group(group: &GroupRecord, members: &[MemberRecord]) -> Result<StoredConsumerGroup, StoredError> {
    let members = members.iter().map(|member| serde_json::from_str(&member.state));
    Ok(StoredConsumerGroup {
        group: serde_json::from_str(&group.state)?,
        members: members.collect::<Result<_, _>>()?,
    })
}

/// Text for a column, which has no room for NUL.
fn column(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_comes_back_from_its_records() {
        let member = |id: &str, instance_id: Option<&str>| StoredMember {
            member_id: id.to_owned(),
            instance_id: instance_id.map(str::to_owned),
            client_id: "c\0lient".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            rebalance_timeout_ms: 60_000,
            session_timeout_ms: 45_000,
            metadata: Bytes::from_static(b"\0\xff"),
            assignment: Bytes::from_static(b"\0\x01\0\0\0\x01\0\x01t\0\0\0\x02\0\0\0\0\0\0\0\x07\xff\xff\xff\xff"),
        };
        let group = StoredClassicGroup {
            generation_id: 7,
            protocol_type: "consumer".to_owned(),
            protocol_name: Some("range".to_owned()),
            leader: Some("a".to_owned()),
            members: vec![member("a", None), member("b", Some("static"))],
        };
        let (record, members) = to_records(&group).unwrap();
        assert_eq!(members[0].client_id, "c\u{fffd}lient");
        assert_eq!(members[0].assignment, r#"{"t":[[0,0],[7,7]]}"#);
        assert_eq!(from_records(&record, &members).unwrap(), group);
        let empty = StoredClassicGroup {
            generation_id: 0,
            protocol_type: String::new(),
            protocol_name: None,
            leader: None,
            members: vec![],
        };
        let (record, members) = to_records(&empty).unwrap();
        assert_eq!(from_records(&record, &members).unwrap(), empty);
    }
}
