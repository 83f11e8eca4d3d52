//! kcat writes and reads, in each codec: the client that an operator tries first, on an older librdkafka.

use kafka_test::compression::Codec;
use kafka_test::kcat::kcat;
use kafka_test::requests::read_all;
use kafka_test::server::Server;
use kafka_test::topic::unique_name;

/// Goal: keyed lines come out as they went in, in order, and are stored in the codec asked for.
#[test]
fn every_codec_makes_the_round_trip() {
    let server = Server::shared();
    for codec in Codec::ALL {
        let topic = server.topic(&format!("kcat-{}", codec.name()), 1);
        // Also a batch of one line is smaller when it is compressed: kcat sends it as it is otherwise.
        let lines: String = (0..1_000)
            .map(|i| (i % 10, format!("line {i} of a text that can be compressed, ").repeat(8)))
            .map(|(key, text)| format!("key{key}:{text}\n"))
            .collect();
        kcat(
            server,
            &[
                "-P",
                "-t",
                &topic.name,
                "-p",
                "0",
                "-K:",
                "-z",
                codec.name(),
                "-X",
                "linger.ms=50",
            ],
            lines.as_bytes(),
        );
        let read = kcat(
            server,
            &[
                "-C",
                "-q",
                "-e",
                "-t",
                &topic.name,
                "-p",
                "0",
                "-o",
                "beginning",
                "-f",
                "%k:%s\\n",
            ],
            b"",
        );
        assert_eq!(String::from_utf8(read).unwrap(), lines, "{}", codec.name());
        for batch in read_all(&mut server.connect(), &topic, 0, 0) {
            assert_eq!(
                batch.codec(),
                codec,
                "codec bits of the stored batch at {}",
                batch.base_offset
            );
        }
    }
}

/// Goal: headers, null values, offsets and the look-up by time, as kcat shows them.
#[test]
fn headers_nulls_and_times() {
    let server = Server::shared();
    let topic = server.topic("kcat-headers", 1);
    let produce = ["-P", "-t", &topic.name, "-p", "0", "-K:", "-Z", "-H", "a=1", "-H", "b=2"];
    kcat(server, &produce, b"k1:v1\nk2:\nk3:v3\n");
    let format = "%o %k %S %h\\n";
    let read = kcat(
        server,
        &[
            "-C",
            "-q",
            "-e",
            "-t",
            &topic.name,
            "-p",
            "0",
            "-o",
            "beginning",
            "-f",
            format,
        ],
        b"",
    );
    assert_eq!(
        String::from_utf8(read).unwrap(),
        "0 k1 2 a=1,b=2\n1 k2 -1 a=1,b=2\n2 k3 2 a=1,b=2\n"
    );
    let tail = kcat(
        server,
        &["-C", "-q", "-e", "-t", &topic.name, "-p", "0", "-o", "-1", "-f", "%s\\n"],
        b"",
    );
    assert_eq!(String::from_utf8(tail).unwrap(), "v3\n", "the last record");
    let since = kcat(
        server,
        &["-C", "-q", "-e", "-t", &topic.name, "-p", "0", "-o", "s@1", "-f", "%k\\n"],
        b"",
    );
    assert_eq!(String::from_utf8(since).unwrap(), "k1\nk2\nk3\n", "everything since 1970");
    let query = kcat(server, &["-Q", "-t", &format!("{}:0:-1", topic.name)], b"");
    assert_eq!(
        String::from_utf8(query).unwrap().trim(),
        format!("{} [0] offset 3", topic.name)
    );
}

/// Goal: a topic that kcat names and that does not exist is made, and keeps what was written.
#[test]
fn a_new_topic_is_made_by_writing_to_it() {
    let server = Server::shared();
    let name = unique_name("kcat-new");
    kcat(server, &["-P", "-t", &name], b"one\ntwo\nthree\n");
    let read = kcat(
        server,
        &["-C", "-q", "-e", "-t", &name, "-o", "beginning", "-f", "%s\\n"],
        b"",
    );
    let mut lines: Vec<&str> = std::str::from_utf8(&read).unwrap().lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["one", "three", "two"]);
    let listed = kcat(server, &["-L", "-t", &name], b"");
    assert!(String::from_utf8(listed)
        .unwrap()
        .contains(&format!("topic \"{name}\" with 3 partitions")));
}
