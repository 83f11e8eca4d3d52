//! What a consumer group knows about topics, and the hash by which it notices that they changed (Kafka
//! `CoordinatorMetadataImage`, `ModernGroup.computeMetadataHash`).

use std::collections::BTreeSet;

use uuid::Uuid;

/// One topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicFacts {
    /// Its id, which a topic made anew under the same name does not share.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Number of its partitions; they are numbered from 0.
    pub partitions: i32,
}

/// The topics that exist, as of one moment.
pub trait TopicsImage {
    /// The topic of this name.
    fn by_name(&self, name: &str) -> Option<TopicFacts>;
    /// The topic of this id.
    fn by_id(&self, id: &Uuid) -> Option<TopicFacts>;
    /// Calls `visit` with each topic's name.
    fn for_each_name(&self, visit: &mut dyn FnMut(&str));
    /// A number that differs after a topic was created, deleted or given partitions.
    fn version(&self) -> u64;
}

/// FNV-1a, 64 bits. Stored hashes outlive a process, so the function must not depend on the compiler's.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn write_text(&mut self, text: &str) {
        self.write(&(text.len() as u64).to_be_bytes());
        self.write(text.as_bytes());
    }
}

/// Hash of the topics that are subscribed to, by name or through a regular expression, and exist, with their ids and numbers of partitions,
/// and of which of them each regular expression matches; 0 when none exists. Two states of the topics that matter to a group differently have different hashes.
pub(super) fn metadata_hash<'a>(
    names: &BTreeSet<&str>,
    regexes: impl Iterator<Item = (&'a str, &'a BTreeSet<String>)>,
    topics: &dyn TopicsImage,
) -> i64 {
    let mut hash = Fnv::new();
    let mut any = false;
    for facts in names.iter().filter_map(|name| topics.by_name(name)) {
        any = true;
        hash.write(facts.id.as_bytes());
        hash.write_text(&facts.name);
        hash.write(&facts.partitions.to_be_bytes());
    }
    for (regex, matches) in regexes {
        hash.write_text(regex);
        hash.write(&(matches.len() as u64).to_be_bytes());
        for name in matches {
            hash.write_text(name);
        }
    }
    if any {
        hash.0.cast_signed()
    } else {
        0
    }
}
