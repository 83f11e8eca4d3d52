//! The topics that consumers subscribe to, as far as the broker looks into the metadata of protocol type "consumer".

use std::collections::BTreeSet;

use bytes::{Buf, Bytes};

/// Protocol type of consumers (Kafka `ConsumerProtocol.PROTOCOL_TYPE`).
pub(super) const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// Adds the topics of one member's metadata, a `ConsumerProtocolSubscription` of any version, of which version 0 is the beginning.
/// `None` if it is no such thing; then some topics may have been added.
pub(super) fn add_topics(metadata: &Bytes, topics: &mut BTreeSet<String>) -> Option<()> {
    let mut rest: &[u8] = metadata;
    rest.try_get_i16().ok()?;
    let count = u32::try_from(rest.try_get_i32().ok()?).ok()?;
    for _ in 0..count {
        let length = usize::try_from(rest.try_get_i16().ok()?).ok()?;
        let (topic, after) = rest.split_at_checked(length)?;
        topics.insert(String::from_utf8_lossy(topic).into_owned());
        rest = after;
    }
    let user_data = rest.try_get_i32().ok()?;
    (usize::try_from(user_data).unwrap_or(0) <= rest.len()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics_of(metadata: &[u8]) -> Option<Vec<String>> {
        let mut topics = BTreeSet::new();
        add_topics(&Bytes::copy_from_slice(metadata), &mut topics)?;
        Some(topics.into_iter().collect())
    }

    /// Goal: a subscription is read whatever its version, and what is cut short anywhere or lies about a length is refused.
    #[test]
    fn a_subscription_is_read_or_refused() {
        let whole = [0, 3, 0, 0, 0, 2, 0, 1, b'a', 0, 2, b'b', b'c', 0, 0, 0, 1, 7];
        assert_eq!(topics_of(&whole), Some(vec!["a".to_owned(), "bc".to_owned()]));
        for length in 0..whole.len() {
            assert_eq!(topics_of(&whole[..length]), None, "cut to {length}");
        }
        let with_owned_partitions = [&whole[..], &[0, 0, 0, 0]].concat();
        assert!(topics_of(&with_owned_partitions).is_some());
        let without_user_data = [0, 0, 0, 0, 0, 0, 255, 255, 255, 255];
        assert_eq!(topics_of(&without_user_data), Some(vec![]));
        assert_eq!(topics_of(&[0, 0, 255, 255, 255, 255, 0, 0, 0, 0]), None, "a negative count");
        assert_eq!(
            topics_of(&[0, 0, 0, 0, 0, 1, 255, 255, 0, 0, 0, 0]),
            None,
            "a negative length"
        );
        assert_eq!(topics_of(&[0, 0, 127, 255, 255, 255, 0, 0]), None, "a count beyond the end");
    }
}
