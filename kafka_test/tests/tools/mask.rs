//! What each broker has of its own, and what the moment gives, is masked before outputs are compared.

use kafka_test::server::Server;

/// A value that stands behind a marker, up to one of these characters.
const VALUES: [(&str, &str); 14] = [
    ("TopicId: ", " \t"),
    ("ClusterId: ", " \n"),
    ("Cluster ID: ", "\n"),
    ("LeaderEpoch: ", "\n"),
    ("HighWatermark: ", "\n"),
    ("CreateTime:", "\t"),
    ("LogAppendTime:", "\t"),
    ("Timestamp ", " "),
    ("should be within [", "]"),
    ("adminclient-", "] "),
    ("console-consumer-", "], "),
    ("\"logDir\":\"", "\""),
    ("\"log_dirs\":[\"", "\""),
    ("\"size\":", ",}"),
];

/// The output with addresses, ids, times, epochs, sizes and folders masked, and without the frames of stack traces.
pub fn masked(text: &str, server: &Server) -> String {
    let (host, port) = server.bootstrap.split_once(':').expect("host:port");
    let mut text = text.replace(&server.bootstrap, "HOST:PORT");
    text = text.replace(&format!("{host} {port}"), "HOST PORT");
    for (marker, ends) in VALUES {
        text = mask_behind(&text, marker, ends);
    }
    text.lines()
        .filter(|line| !is_frame(line))
        .map(|line| with_sorted_configs(line) + "\n")
        .collect()
}

/// kafka-topics.sh tells configs in the order of a hash table.
fn with_sorted_configs(line: &str) -> String {
    let Some((before, configs)) = line.split_once("\tConfigs: ") else {
        return line.to_owned();
    };
    let mut configs: Vec<&str> = configs.split(',').collect();
    configs.sort_unstable();
    format!("{before}\tConfigs: {}", configs.join(","))
}

fn is_frame(line: &str) -> bool {
    line.starts_with("\tat ") || line.starts_with("\t\tat ") || (line.trim_start().starts_with("... ") && line.ends_with(" more"))
}

/// The text with `*` for whatever stands between a marker (and blanks behind it) and one of the characters in `ends`.
pub fn mask_behind(text: &str, marker: &str, ends: &str) -> String {
    let mut parts = text.split(marker);
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let value = part.trim_start_matches(' ');
        let end = value.find(|c| ends.contains(c)).unwrap_or(value.len());
        masked.push_str(marker);
        masked.push('*');
        masked.push_str(&value[end..]);
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_test::server::Target;

    /// Goal: what differs from broker to broker is masked, everything else stays.
    #[test]
    fn only_values_are_masked() {
        let server = Server::running(Target::Apache, "127.0.0.1:9092".to_owned());
        for (text, expected) in [
            (
                "Topic: t\tTopicId: E_9Y60WF\tPartitionCount: 1",
                "Topic: t\tTopicId: *\tPartitionCount: 1\n",
            ),
            ("Topic: t\tConfigs: b=2,a=1", "Topic: t\tConfigs: a=1,b=2\n"),
            ("1 127.0.0.1 9092 null 127.0.0.1:9092", "1 HOST PORT null HOST:PORT\n"),
            ("Leader:  1\nLeaderEpoch:      17\n", "Leader:  1\nLeaderEpoch: *\n"),
            ("CreateTime:5\tPartition:0", "CreateTime:*\tPartition:0\n"),
            ("E: x\n\tat a.b(C.java:1)\n\t... 3 more\nCaused by: y", "E: x\nCaused by: y\n"),
        ] {
            assert_eq!(masked(text, &server), expected);
        }
    }
}
