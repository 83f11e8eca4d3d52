//! The bytes that consumers of the classic protocol exchange (Kafka `ConsumerProtocolSubscription`, `ConsumerProtocolAssignment`, versions 0 to 3;
//! a later version begins as version 3). Nothing is allocated by a length that was not checked against the bytes that are there.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::super::request::Partitions;
use super::super::topics::TopicsImage;

/// Topic names with partitions.
pub(in super::super) type NamedPartitions = Vec<(String, Vec<i32>)>;

/// What a member subscribes to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Subscription {
    pub topics: Vec<String>,
    /// What it has (version 1 and later).
    pub owned: NamedPartitions,
    /// Where it is (version 3 and later).
    pub rack_id: Option<String>,
}

impl Subscription {
    /// `None` if the bytes are no subscription.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let version = read_version(&mut rest)?;
        let mut subscription = Subscription {
            topics: read_array(&mut rest, read_text)?,
            ..Subscription::default()
        };
        read_user_data(&mut rest)?;
        if version >= 1 {
            subscription.owned = read_array(&mut rest, read_topic)?;
        }
        if version >= 2 {
            rest.try_get_i32().ok()?;
        }
        if version >= 3 {
            subscription.rack_id = read_nullable_text(&mut rest)?.filter(|rack| !rack.is_empty());
        }
        Some(subscription)
    }
}

/// The partitions of an assignment, and whether an assignor of the client's own has put data of its own beside them. `None` if the bytes
/// are no assignment; no bytes at all are an empty one.
pub(in super::super) fn read_assignment(bytes: &[u8]) -> Option<(NamedPartitions, bool)> {
    if bytes.is_empty() {
        return Some((Vec::new(), false));
    }
    let mut rest = bytes;
    read_version(&mut rest)?;
    let partitions = read_array(&mut rest, read_topic)?;
    Some((partitions, read_user_data(&mut rest)? > 0))
}

/// The assignment in the version that the member's subscription has.
pub(super) fn write_assignment(partitions: &Partitions, subscription: &[u8], topics: &dyn TopicsImage) -> Bytes {
    let named: Vec<_> = partitions
        .iter()
        .filter_map(|(id, set)| Some((topics.by_id(id)?.name, set)))
        .collect();
    let mut bytes = BytesMut::new();
    bytes.put_i16(read_version(&mut &*subscription).unwrap_or_default().min(3));
    put_length(&mut bytes, named.len());
    for (name, partitions) in named {
        bytes.put_i16(i16::try_from(name.len()).unwrap_or(i16::MAX));
        bytes.put_slice(name.as_bytes());
        put_length(&mut bytes, partitions.len());
        partitions.iter().for_each(|partition| bytes.put_i32(*partition));
    }
    bytes.put_i32(-1);
    bytes.freeze()
}

/// Partitions of topics that exist, by id.
pub(in super::super) fn by_id(named: &NamedPartitions, topics: &dyn TopicsImage) -> Partitions {
    let mut partitions = Partitions::new();
    for (name, list) in named {
        if let Some(facts) = topics.by_name(name).filter(|_| !list.is_empty()) {
            partitions.entry(facts.id).or_default().extend(list);
        }
    }
    partitions
}

fn put_length(bytes: &mut BytesMut, length: usize) {
    bytes.put_i32(i32::try_from(length).unwrap_or(i32::MAX));
}

fn read_version(rest: &mut &[u8]) -> Option<i16> {
    rest.try_get_i16().ok().filter(|version| *version >= 0)
}

fn read_array<T>(rest: &mut &[u8], read: fn(&mut &[u8]) -> Option<T>) -> Option<Vec<T>> {
    let count = u32::try_from(rest.try_get_i32().ok()?).ok()?;
    // Grows as elements are found: the count alone reserves nothing.
    (0..count).map(|_| read(rest)).collect::<Option<Vec<T>>>()
}

fn read_text(rest: &mut &[u8]) -> Option<String> {
    read_nullable_text(rest)?
}

/// `Some(None)` is null.
fn read_nullable_text(rest: &mut &[u8]) -> Option<Option<String>> {
    let length = rest.try_get_i16().ok()?;
    if length == -1 {
        return Some(None);
    }
    let (text, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = after;
    Some(Some(String::from_utf8(text.to_vec()).ok()?))
}

fn read_topic(rest: &mut &[u8]) -> Option<(String, Vec<i32>)> {
    Some((read_text(rest)?, read_array(rest, |rest| rest.try_get_i32().ok())?))
}

/// Length of the user data, null counting as none.
fn read_user_data(rest: &mut &[u8]) -> Option<usize> {
    let length = rest.try_get_i32().ok()?;
    if length == -1 {
        return Some(0);
    }
    let length = usize::try_from(length).ok()?;
    *rest = rest.split_at_checked(length)?.1;
    Some(length)
}
