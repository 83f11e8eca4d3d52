//! What consumers say to each other through a classic group, as far as the broker shows it (Kafka `ConsumerProtocol`). The bytes are a
//! client's: what is not well-formed is nothing.

use std::collections::BTreeMap;

use crate::wire::cursor::Cursor;

/// The partitions of an assignment (`ConsumerProtocolAssignment`, whose versions begin the same), by topic; `None` if it is malformed.
/// Text that holds NUL is left out: neither a topic's name nor a database's text can.
pub(super) fn assigned_partitions(assignment: &[u8]) -> Option<BTreeMap<String, Vec<i32>>> {
    if assignment.is_empty() {
        return Some(BTreeMap::new());
    }
    let mut cursor = Cursor::new(assignment);
    let _version = cursor.int16().ok()?;
    let mut assigned = BTreeMap::new();
    for _ in 0..cursor.int32().ok()? {
        let length = usize::try_from(cursor.int16().ok()?).ok()?;
        let topic = cursor.utf8(length).ok()?.to_owned();
        let mut partitions = Vec::new();
        for _ in 0..cursor.int32().ok()? {
            partitions.push(cursor.int32().ok()?);
        }
        if !topic.contains('\0') {
            assigned.insert(topic, partitions);
        }
    }
    Some(assigned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_read_as_far_as_they_are_well_formed() {
        let bytes = b"\0\x01\0\0\0\x02\0\x01t\0\0\0\x02\0\0\0\0\0\0\0\x07\0\x02uv\0\0\0\0\0\0\0\x01\xff";
        let expected = BTreeMap::from([("t".to_owned(), vec![0, 7]), ("uv".to_owned(), vec![])]);
        assert_eq!(assigned_partitions(bytes), Some(expected));
        assert_eq!(assigned_partitions(b""), Some(BTreeMap::new()));
        for cut in 1..29 {
            assert_eq!(assigned_partitions(&bytes[..cut]), None, "{cut} bytes");
        }
        assert_eq!(assigned_partitions(b"\0\x01\x7f\xff\xff\xff"), None);
        assert_eq!(assigned_partitions(b"\0\0\0\0\0\x01\0\x01\0\0\0\0\0"), Some(BTreeMap::new()));
    }
}
