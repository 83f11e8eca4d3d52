//! `docs/protocol.md`, written from the API table.

use super::table::{Versions, APIS};
use crate::limits;

/// The page as Markdown.
pub fn protocol_page() -> String {
    let mut page = String::from(
        "# Protocol coverage\n\n\
         Written from the table in `broker/src/api/table.rs`; `UPDATE_DOCS=1 cargo test -p broker protocol_page` writes it again.\n\n\
         A request of an API or version that is not served closes the connection, as in Kafka; a version of ApiVersions that is not \
         served is answered in version 0 with UNSUPPORTED_VERSION (35). Kafka's column is what a broker of Apache Kafka 4.3.1 advertises.\n\n\
         | API | key | served | Kafka 4.3.1 |\n|---|---|---|---|\n",
    );
    for api in APIS {
        page += &format!(
            "| {} | {} | {} | {} |\n",
            api.name,
            api.key.code(),
            range(api.served),
            range(api.kafka)
        );
    }
    page += "\n## What has no effect, or differs\n\n";
    for api in APIS {
        for note in api.notes {
            page += &format!("- **{}**: {note}\n", api.name);
        }
    }
    page += &format!(
        "\n## Limits of a request\n\n\
         A request that is malformed closes the connection. That includes text that is not UTF-8, tags that do not ascend, a tag that only \
         later versions define, more than {} unknown tagged fields, and more array elements than:\n\n",
        limits::UNKNOWN_TAGS_PER_REQUEST
    );
    for api in APIS.iter().filter(|api| api.max_elements > 0) {
        page += &format!("- **{}**: {}\n", api.name, api.max_elements);
    }
    page += "\n## Not served\n\n| API | key | Kafka 4.3.1 |\n|---|---|---|\n";
    for (key, name, kafka) in NOT_SERVED {
        page += &format!("| {name} | {key} | {} |\n", range(kafka));
    }
    page
}

fn range(versions: Versions) -> String {
    match versions {
        Versions { min, max } if min == max => min.to_string(),
        Versions { min, max } => format!("{min} to {max}"),
    }
}

/// What a broker of Apache Kafka 4.3.1 advertises besides.
const NOT_SERVED: [(i16, &str, Versions); 39] = [
    (17, "SaslHandshake", Versions { min: 0, max: 1 }),
    (24, "AddPartitionsToTxn", Versions { min: 0, max: 5 }),
    (25, "AddOffsetsToTxn", Versions { min: 0, max: 4 }),
    (26, "EndTxn", Versions { min: 0, max: 5 }),
    (27, "WriteTxnMarkers", Versions { min: 1, max: 2 }),
    (28, "TxnOffsetCommit", Versions { min: 0, max: 5 }),
    (29, "DescribeAcls", Versions { min: 1, max: 3 }),
    (30, "CreateAcls", Versions { min: 1, max: 3 }),
    (31, "DeleteAcls", Versions { min: 1, max: 3 }),
    (34, "AlterReplicaLogDirs", Versions { min: 1, max: 2 }),
    (36, "SaslAuthenticate", Versions { min: 0, max: 2 }),
    (38, "CreateDelegationToken", Versions { min: 1, max: 3 }),
    (39, "RenewDelegationToken", Versions { min: 1, max: 2 }),
    (40, "ExpireDelegationToken", Versions { min: 1, max: 2 }),
    (41, "DescribeDelegationToken", Versions { min: 1, max: 3 }),
    (48, "DescribeClientQuotas", Versions { min: 0, max: 1 }),
    (49, "AlterClientQuotas", Versions { min: 0, max: 1 }),
    (50, "DescribeUserScramCredentials", Versions { min: 0, max: 0 }),
    (51, "AlterUserScramCredentials", Versions { min: 0, max: 0 }),
    (61, "DescribeProducers", Versions { min: 0, max: 0 }),
    (64, "UnregisterBroker", Versions { min: 0, max: 0 }),
    (65, "DescribeTransactions", Versions { min: 0, max: 0 }),
    (66, "ListTransactions", Versions { min: 0, max: 2 }),
    (76, "ShareGroupHeartbeat", Versions { min: 1, max: 1 }),
    (77, "ShareGroupDescribe", Versions { min: 1, max: 1 }),
    (78, "ShareFetch", Versions { min: 1, max: 2 }),
    (79, "ShareAcknowledge", Versions { min: 1, max: 2 }),
    (80, "AddRaftVoter", Versions { min: 0, max: 1 }),
    (81, "RemoveRaftVoter", Versions { min: 0, max: 0 }),
    (83, "InitializeShareGroupState", Versions { min: 0, max: 0 }),
    (84, "ReadShareGroupState", Versions { min: 0, max: 0 }),
    (85, "WriteShareGroupState", Versions { min: 0, max: 1 }),
    (86, "DeleteShareGroupState", Versions { min: 0, max: 0 }),
    (87, "ReadShareGroupStateSummary", Versions { min: 0, max: 1 }),
    (88, "StreamsGroupHeartbeat", Versions { min: 0, max: 0 }),
    (89, "StreamsGroupDescribe", Versions { min: 0, max: 0 }),
    (90, "DescribeShareGroupOffsets", Versions { min: 0, max: 1 }),
    (91, "AlterShareGroupOffsets", Versions { min: 0, max: 0 }),
    (92, "DeleteShareGroupOffsets", Versions { min: 0, max: 0 }),
];

#[cfg(test)]
mod tests {
    use super::super::table::by_code;
    use std::path::Path;

    /// An API is either served or listed as not served.
    #[test]
    fn no_api_is_in_both_lists() {
        for (key, name, _) in super::NOT_SERVED {
            assert!(by_code(key).is_none(), "{name} is served");
        }
    }

    /// The page in docs/ is the one that the table makes; UPDATE_DOCS=1 writes it.
    #[test]
    fn protocol_page_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/protocol.md");
        let page = super::protocol_page();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &page).unwrap();
        }
        let stored = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            stored == page,
            "docs/protocol.md is old: UPDATE_DOCS=1 cargo test -p broker protocol_page"
        );
    }
}
