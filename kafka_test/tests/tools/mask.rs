//! What each broker has of its own, and what the moment gives, is masked before outputs are compared, and what has no order is sorted.

use kafka_test::server::Server;

/// A value that stands behind a marker, up to one of these characters.
const VALUES: [(&str, &str); 15] = [
    ("TopicId: ", " \t"),
    ("ClusterId: ", " \n"),
    ("Cluster ID: ", "\n"),
    ("LeaderEpoch: ", "\n"),
    ("HighWatermark: ", "\n"),
    ("CreateTime:", "\t"),
    ("LogAppendTime:", "\t"),
    ("Timestamp ", " "),
    ("should be within [", "]"),
    ("correlation id ", " "),
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
    let text: String = text
        .lines()
        .filter(|line| !is_frame(line))
        .map(|line| with_sorted_configs(&with_masked_uuids(line)) + "\n")
        .collect();
    with_sorted_members(&text)
}

/// The ids that brokers make for members of groups are UUIDs or end with one: as hexadecimal digits, or, in groups of the consumer
/// protocol, as 22 characters of base64url. Their length stays, because columns depend on it.
fn with_masked_uuids(line: &str) -> String {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    let is_hexadecimal = |text: &str| {
        let parts = || text.split('-');
        parts().map(str::len).eq(GROUPS) && parts().all(|part| part.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    // Names in tests have no capitals.
    let is_base64 = |text: &str| {
        let of_base64 = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        text.len() == 22 && text.bytes().all(of_base64) && text.bytes().any(|b| b.is_ascii_uppercase())
    };
    let length = GROUPS.iter().sum::<usize>() + GROUPS.len() - 1;
    let word = |word: &str| match word.len().checked_sub(length) {
        _ if is_base64(word) => "*".repeat(word.len()),
        Some(start) if word.is_char_boundary(start) && is_hexadecimal(&word[start..]) => {
            word[..start].to_owned() + &"*".repeat(length)
        }
        _ => word.to_owned(),
    };
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// kafka-consumer-groups.sh tells members in the order of a hash table.
fn with_sorted_members(text: &str) -> String {
    let Some((before, rows)) = text.split_once("\nGROUP ").filter(|(_, rows)| rows.contains("CONSUMER-ID")) else {
        return text.to_owned();
    };
    let (header, rows) = rows.split_once('\n').unwrap_or((rows, ""));
    let mut rows: Vec<&str> = rows.lines().collect();
    rows.sort_unstable();
    let rows: String = rows.iter().map(|row| format!("{row}\n")).collect();
    format!("{before}\nGROUP {header}\n{rows}")
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
            (
                "\nGROUP  CONSUMER-ID\ng  l-ffffffff-0000-4000-8000-000000000002  2\ng  m9CcuIgDRKu_jpcaljQJkQ  1\n",
                "\nGROUP  CONSUMER-ID\ng  **********************  1\ng  l-************************************  2\n",
            ),
            ("\tHeartbeatOfAGroup(12): 0", "\tHeartbeatOfAGroup(12): 0\n"),
            ("Leader:  1\nLeaderEpoch:      17\n", "Leader:  1\nLeaderEpoch: *\n"),
            ("a correlation id 4 : {x}", "a correlation id * : {x}\n"),
            ("CreateTime:5\tPartition:0", "CreateTime:*\tPartition:0\n"),
            ("E: x\n\tat a.b(C.java:1)\n\t... 3 more\nCaused by: y", "E: x\nCaused by: y\n"),
        ] {
            assert_eq!(masked(text, &server), expected);
        }
    }
}
