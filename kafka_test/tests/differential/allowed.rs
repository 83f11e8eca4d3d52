//! What may differ. Everything else is a bug of ours.

use crate::compare::{Difference, Unordered, ABSENT};
use serde_json::Value;

/// Fields that may differ, wherever they come up or for one request of a script.
#[derive(Debug, PartialEq)]
pub struct Exception {
    /// The API whose replies have them; for one request of a script it goes without saying.
    pub api: &'static str,
    /// The field, or a struct or array that it is in.
    pub pattern: &'static str,
    /// How far it may differ.
    pub how: How,
    /// Why.
    pub because: Because,
}

/// How far a field may differ.
#[derive(Debug, PartialEq)]
pub enum How {
    /// In any way.
    Any,
    /// It must be there in both or in neither; -1, empty and null are not there.
    Value,
    /// Ours does not have it.
    Lacking,
    /// Ours has it where Kafka does not.
    Added,
}

/// Why a field may differ.
#[derive(Debug, PartialEq)]
pub enum Because {
    /// It is a fact of the one server or of the moment.
    Circumstance,
    /// The entry of docs/deviations.md that begins with these words.
    Deviation(&'static str),
}

impl Exception {
    /// An intended difference of one request.
    pub const fn intended(entry: &'static str, pattern: &'static str) -> Exception {
        Exception {
            api: "",
            pattern,
            how: How::Any,
            because: Because::Deviation(entry),
        }
    }

    /// A field of an API that differs from server to server and from time to time.
    const fn circumstance(api: &'static str, pattern: &'static str) -> Exception {
        Exception {
            api,
            pattern,
            how: How::Value,
            because: Because::Circumstance,
        }
    }

    /// An intended difference of all replies of an API.
    const fn always(api: &'static str, entry: &'static str, pattern: &'static str) -> Exception {
        Exception {
            api,
            ..Exception::intended(entry, pattern)
        }
    }

    /// Elements that ours does not have.
    const fn lacking(api: &'static str, entry: &'static str, pattern: &'static str) -> Exception {
        Exception {
            how: How::Lacking,
            ..Exception::always(api, entry, pattern)
        }
    }

    /// Whether the difference is of this kind.
    pub fn covers(&self, difference: &Difference) -> bool {
        let Some(rest) = matches(self.pattern, &difference.path) else {
            return false;
        };
        match self.how {
            How::Any => true,
            How::Value => is_there(&difference.ours) == is_there(&difference.kafka),
            How::Added => is_there(&difference.ours) && difference.kafka.is_null(),
            How::Lacking => difference.ours == ABSENT && rest.is_empty(),
        }
    }
}

/// What is left of `path` behind `pattern`: nothing, or what is inside. `[]` in a pattern is any element, `[x]` the one that x identifies.
fn matches<'p>(pattern: &str, path: &'p str) -> Option<&'p str> {
    let mut rest = path;
    let mut parts = pattern.split("[]");
    rest = rest.strip_prefix(parts.next()?)?;
    for part in parts {
        rest = rest.strip_prefix('[')?.split_once(']')?.1;
        rest = rest.strip_prefix(part)?;
    }
    (rest.is_empty() || rest.starts_with(['.', '['])).then_some(rest)
}

fn is_there(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Number(number) => number.as_i64() != Some(-1),
        Value::Array(elements) => !elements.is_empty(),
        Value::Bool(_) | Value::Object(_) => true,
    }
}

/// What may differ in every reply of an API.
pub const ALLOWED: &[Exception] = &[
    Exception::circumstance("Produce", "Responses[].PartitionResponses[].LogAppendTimeMs"),
    // They tell the present time.
    Exception::circumstance(
        "Produce",
        "Responses[].PartitionResponses[].RecordErrors[].BatchIndexErrorMessage",
    ),
    Exception {
        how: How::Added,
        ..Exception::always(
            "Produce",
            "**Messages of Produce errors**",
            "Responses[].PartitionResponses[].ErrorMessage",
        )
    },
    Exception::always("Fetch", "**Whole batches**", "Responses[].Partitions[].Records.BytesBehind"),
    Exception::always(
        "CreateTopics",
        "**`min.insync.replicas`**",
        "Topics[].Configs[min.insync.replicas].ConfigSource",
    ),
    Exception::always(
        "DescribeConfigs",
        "**`min.insync.replicas`**",
        "Results[].Configs[min.insync.replicas]",
    ),
    Exception {
        how: How::Value,
        ..Exception::always(
            "DescribeConfigs",
            "**Documentation of configs**",
            "Results[].Configs[].Documentation",
        )
    },
    Exception::circumstance("InitProducerId", "ProducerId"),
    Exception::circumstance("DescribeLogDirs", "Results[].TotalBytes"),
    Exception::circumstance("DescribeLogDirs", "Results[].UsableBytes"),
    Exception::lacking("ApiVersions", "**APIs that are not served**", "ApiKeys[]"),
    Exception::always("ApiVersions", "**Features**", "SupportedFeatures"),
    Exception::always("ApiVersions", "**Features**", "FinalizedFeatures"),
    Exception::always("ApiVersions", "**Features**", "FinalizedFeaturesEpoch"),
];

/// The arrays whose order Kafka leaves open.
pub const UNORDERED: &[Unordered] = &[
    Unordered::new("Produce", "Responses", &["Name", "TopicId"]),
    Unordered::new("Produce", "Responses[].PartitionResponses", &["Index"]),
    Unordered::new("Fetch", "Responses", &["Topic", "TopicId"]),
    Unordered::new("Fetch", "Responses[].Partitions", &["PartitionIndex"]),
    Unordered::new("ListOffsets", "Topics", &["Name"]),
    Unordered::new("ListOffsets", "Topics[].Partitions", &["PartitionIndex"]),
    Unordered::new("Metadata", "Topics", &["Name", "TopicId"]),
    Unordered::new("ApiVersions", "ApiKeys", &["ApiKey"]),
    Unordered::new("CreateTopics", "Topics[].Configs", &["Name"]),
    Unordered::new("DeleteTopics", "Responses", &["Name", "TopicId"]),
    Unordered::new("DeleteRecords", "Topics", &["Name"]),
    Unordered::new("DeleteRecords", "Topics[].Partitions", &["PartitionIndex"]),
    Unordered::new("DescribeConfigs", "Results", &["ResourceName"]),
    Unordered::new("DescribeConfigs", "Results[].Configs", &["Name"]),
    Unordered::new("DescribeLogDirs", "Results[].Topics", &["Name"]),
    Unordered::new("DescribeLogDirs", "Results[].Topics[].Partitions", &["PartitionIndex"]),
    Unordered::new("AlterConfigs", "Responses", &["ResourceName"]),
    Unordered::new("IncrementalAlterConfigs", "Responses", &["ResourceName"]),
    Unordered::new("JoinGroup", "Members", &["MemberId"]),
    Unordered::new("DescribeGroups", "Groups", &["GroupId"]),
    Unordered::new("DescribeGroups", "Groups[].Members", &["MemberId"]),
    Unordered::new("ListGroups", "Groups", &["GroupId"]),
    Unordered::new("DeleteGroups", "Results", &["GroupId"]),
    Unordered::new("OffsetCommit", "Topics", &["Name", "TopicId"]),
    Unordered::new("OffsetCommit", "Topics[].Partitions", &["PartitionIndex"]),
    Unordered::new("OffsetFetch", "Topics", &["Name"]),
    Unordered::new("OffsetFetch", "Topics[].Partitions", &["PartitionIndex"]),
    Unordered::new("OffsetFetch", "Groups", &["GroupId"]),
    Unordered::new("OffsetFetch", "Groups[].Topics", &["Name", "TopicId"]),
    Unordered::new("OffsetFetch", "Groups[].Topics[].Partitions", &["PartitionIndex"]),
    Unordered::new("OffsetDelete", "Topics", &["Name"]),
    Unordered::new("OffsetDelete", "Topics[].Partitions", &["PartitionIndex"]),
    Unordered::new("ConsumerGroupHeartbeat", "Assignment.TopicPartitions", &["TopicId"]),
    Unordered::new("ConsumerGroupHeartbeat", "Assignment.TopicPartitions[].Partitions", &[]),
    Unordered::new("ConsumerGroupDescribe", "Groups", &["GroupId"]),
    Unordered::new("ConsumerGroupDescribe", "Groups[].Members", &["MemberId"]),
    Unordered::new(
        "ConsumerGroupDescribe",
        "Groups[].Members[].Assignment.TopicPartitions[].Partitions",
        &[],
    ),
    Unordered::new(
        "ConsumerGroupDescribe",
        "Groups[].Members[].TargetAssignment.TopicPartitions[].Partitions",
        &[],
    ),
    Unordered::new("ListConfigResources", "ConfigResources", &["ResourceName"]),
];

#[cfg(test)]
mod tests {
    use super::matches;

    /// A pattern stands for its field and all that is inside, of any element or of a certain one.
    #[test]
    fn patterns() {
        assert_eq!(matches("a[].b", "a[3].b"), Some(""));
        assert_eq!(matches("a[].b", "a[x].b[0].c"), Some("[0].c"));
        assert_eq!(matches("a[x].b", "a[x].b"), Some(""));
        assert_eq!(matches("a[x].b", "a[y].b"), None);
        assert_eq!(matches("a[].b", "a[3].bc"), None);
        assert_eq!(matches("a[]", "a"), None);
    }
}
