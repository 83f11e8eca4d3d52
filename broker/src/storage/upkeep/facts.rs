//! What is known of the parts of a topic's log, for [`super::plan`].

/// One partition's part of one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The segment's number.
    pub segment: i32,
    /// The offset after its last record.
    pub end_offset: i64,
    /// Bytes of its batches.
    pub bytes: u64,
    /// Bytes of those that reach beyond the log start, at most a stretch of the time index more.
    pub live_bytes: u64,
    /// Largest timestamp in it, negative if it has none.
    pub max_timestamp_ms: i64,
    /// Whether all of it is known. What is not is larger, and may be younger.
    pub surveyed: bool,
}

/// What is known of a topic's log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicFacts {
    /// The parts of partition 0, 1, 2, ..., each ascending; the last is of the segment that is being filled.
    pub partitions: Vec<Vec<Part>>,
}

impl TopicFacts {
    /// Bytes of the batches in a segment: (all, live ones).
    pub fn sizes(&self, segment: i32) -> (u64, u64) {
        let parts = self.parts_of(segment);
        parts.fold((0, 0), |(all, live), part| (all + part.bytes, live + part.live_bytes))
    }

    /// Whether all of a segment is known.
    pub fn is_surveyed(&self, segment: i32) -> bool {
        self.parts_of(segment).all(|part| part.surveyed)
    }

    /// Whether all of every sealed segment is known.
    pub fn sealed_are_surveyed(&self) -> bool {
        let mut sealed = self
            .partitions
            .iter()
            .filter_map(|parts| parts.split_last())
            .flat_map(|(_, sealed)| sealed);
        sealed.all(|part| part.surveyed)
    }

    fn parts_of(&self, segment: i32) -> impl Iterator<Item = &Part> {
        self.partitions.iter().flatten().filter(move |part| part.segment == segment)
    }
}
