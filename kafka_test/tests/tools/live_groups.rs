//! kafka-consumer-groups.sh on groups that have members: what it shows of them, and what it may not do while they are there.

use crate::brokers::Brokers;
use crate::check::{check, outputs};
use kafka_test::consumer_group::{joining, settle, ConsumerMember};
use kafka_test::groups::{assign_all, assignment, await_state, rejoin_all, subscription, text, Joining, Member};
use kafka_test::offsets::{commit, commit_errors, commit_request, committing, OFFSET_COMMIT};
use kafka_test::patience::eventually;
use kafka_test::server::Server;
use kafka_test::topic::{unique_name, Topic};

/// Longer than a test: members of classic groups are never missed.
const LONG_MS: i32 = 600_000;
/// Partitions that the two members have.
const SHARES: [&[i32]; 2] = [&[0, 2], &[1]];

/// A topic of three partitions at both brokers, with two records in partition 0, and one of another name beside it.
fn topics(name: &str) -> [Topic; 2] {
    check(&format!(
        "0 kafka-topics.sh --create --topic {name} --partitions 3
         0 kafka-topics.sh --create --topic {name}-other --partitions 1
         0 kafka-topics.sh --list --topic {name}.*"
    ));
    let [ours, apache] = outputs(
        &format!("kafka-console-producer.sh --topic {name}-other --sync --request-timeout-ms 30000"),
        "a\nb\n",
    );
    assert_eq!(ours, apache);
    Brokers::shared()
        .each()
        .map(|server| server.ready(&mut server.connect(), name))
}

/// The rows of a list of groups that are about these; how wide columns are depends on the others.
fn listed(options: &str, group: &str) -> [Vec<String>; 2] {
    outputs(&format!("kafka-consumer-groups.sh --list {options}"), "").map(|output| {
        assert_eq!((output.status, output.err.as_str()), (0, ""), "{output:?}");
        let own = output.out.lines().filter(|line| line.starts_with(group));
        own.map(|line| line[group.len()..].split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    })
}

/// Both brokers must list the group once, with these words behind its name, or not at all.
fn check_list(group: &str, lists: &[(&str, Option<&str>)]) {
    for (options, expected) in lists {
        let expected: Vec<String> = expected.iter().map(|row| (*row).to_owned()).collect();
        let [ours, apache] = listed(options, group);
        assert_eq!(ours, apache, "--list {options}");
        assert_eq!(apache, expected, "--list {options}");
    }
}

/// All that shows a group.
fn descriptions(group: &str) -> String {
    [
        "",
        "--offsets",
        "--offsets --verbose",
        "--members",
        "--members --verbose",
        "--state",
        "--state --verbose",
    ]
    .map(|options| format!("0 kafka-consumer-groups.sh --describe --group {group} {options}\n"))
    .concat()
}

/// All that a group with members refuses, and what it grants all the same: offsets of a topic that nobody in it reads are deleted.
fn changes(group: &str, topic: &str) -> String {
    [
        format!("--group {group} --reset-offsets --to-earliest --topic {topic} --dry-run"),
        format!("--group {group} --reset-offsets --to-latest --all-topics --execute"),
        format!("--delete --group {group}"),
        format!("--delete-offsets --group {group} --topic {topic}:0"),
        format!("--delete-offsets --group {group} --topic {topic}-other"),
    ]
    .map(|arguments| format!("0 kafka-consumer-groups.sh {arguments}\n"))
    .concat()
}

/// A classic group of two at one broker, one of them static, with committed offsets.
fn classic(server: &Server, group: &str, topic: &Topic) -> Vec<Member> {
    let subscription = subscription(&[&topic.name], b"");
    let member = || Joining {
        session_timeout_ms: LONG_MS,
        rebalance_timeout_ms: LONG_MS,
        ..Joining::new(group).protocols(&[("range", &subscription)])
    };
    server.group("tool-live");
    let mut members = Member::stable_group_of(server, vec![member().instance("static"), member()]);
    rejoin_all(server, &mut members);
    share(&mut members, topic);
    assert_eq!(members[0].commit(topic, 0, 1), 0);
    assert_eq!(members[1].commit(topic, 1, 0), 0);
    let other = server.ready(&mut server.connect(), &format!("{}-other", topic.name));
    assert_eq!(members[0].commit(&other, 0, 1), 0);
    members
}

/// The leader gives each member of a classic group its share.
fn share(members: &mut [Member], topic: &Topic) {
    assign_all(members, &SHARES.map(|partitions| assignment(&topic.name, partitions)));
}

/// Goal: a classic group is shown in each of its states, and changes that its members forbid are refused in the same words.
#[test]
fn classic_group() {
    let t = unique_name("tool-live-t");
    let g = unique_name("tool-live-classic");
    let topics = topics(&t);
    let servers = Brokers::shared().each();
    let both = || servers.iter().zip(&topics);
    let mut groups: Vec<Vec<Member>> = both().map(|(server, topic)| classic(server, &g, topic)).collect();
    check(&descriptions(&g));
    check(&changes(&g, &t));
    check_list(
        &g,
        &[
            ("", Some("")),
            ("--state", Some("Stable")),
            ("--type", Some("Classic")),
            ("--type --state", Some("Classic Stable")),
            ("--state Stable", Some("Stable")),
            ("--state Empty,PreparingRebalance", None),
            ("--type classic", Some("Classic")),
            ("--type consumer", None),
        ],
    );

    let joins: Vec<_> = groups.iter_mut().map(|members| members[0].send_join()).collect();
    servers
        .iter()
        .for_each(|server| drop(await_state(server, &g, "PreparingRebalance", 2)));
    check(&descriptions(&g));
    check(&changes(&g, &t));
    for (members, leader) in groups.iter_mut().zip(joins) {
        let follower = members[1].send_join();
        assert_eq!(members[0].receive_join(leader).error_code, 0);
        assert_eq!(members[1].receive_join(follower).error_code, 0);
    }
    check(&descriptions(&g));
    check_list(&g, &[("--state CompletingRebalance", Some("CompletingRebalance"))]);
    for (members, topic) in groups.iter_mut().zip(&topics) {
        share(members, topic);
        assert_eq!(members[1].leave(), 0);
    }
    check(&descriptions(&g));

    groups.iter_mut().for_each(|members| assert_eq!(members[0].leave(), 0));
    check(&descriptions(&g));
    check(&changes(&g, &t));
}

/// A member of a consumer group.
fn consumer(server: &Server, group: &str, id: &str, instance: Option<&str>) -> ConsumerMember {
    let mut member = ConsumerMember::new(server, group);
    member.id = id.to_owned();
    member.instance_id = instance.map(str::to_owned);
    member
}

/// It joins; the range assignor goes by names, so that it gives the same to each at both brokers.
fn join(member: &mut ConsumerMember, topic: &Topic) {
    let request = joining(&member.group, &member.id, &[topic])
        .with_instance_id(member.instance_id.as_deref().map(text))
        .with_rebalance_timeout_ms(LONG_MS)
        .with_server_assignor(Some(text("range")));
    assert_eq!(member.send(&request).error_code, 0, "{} joins", member.id);
}

/// Goal: a group of the consumer protocol is shown with epochs, assignments and targets, also while partitions move, and with a member
/// of the classic protocol in it; changes that its members forbid are refused in the same words.
#[test]
fn consumer_group() {
    let t = unique_name("tool-live-t");
    let g = unique_name("tool-live-consumer");
    let topics = topics(&t);
    let servers = Brokers::shared().each();
    let both = || servers.iter().zip(&topics);
    servers.iter().for_each(|server| drop(server.group("tool-live")));
    let mut firsts = servers.map(|server| consumer(server, &g, "member-a", Some("static")));
    let mut seconds = servers.map(|server| consumer(server, &g, "member-b", None));
    for (member, topic) in firsts.iter_mut().zip(&topics) {
        join(member, topic);
        settle(&mut [member], &[3]);
    }
    // The tool takes long: members are heard of before each of its commands.
    let beat = |members: &mut [&mut ConsumerMember], lines: &str| {
        for line in lines.lines() {
            members
                .iter_mut()
                .for_each(|member| assert_eq!(member.keep_alive().error_code, 0, "{line}"));
            check(line);
        }
    };
    let all = |firsts: &mut [ConsumerMember; 2], seconds: &mut [ConsumerMember; 2], lines: &str| {
        let mut members: Vec<&mut ConsumerMember> = firsts.iter_mut().chain(seconds).collect();
        beat(&mut members, lines);
    };
    seconds
        .iter_mut()
        .zip(&topics)
        .for_each(|(member, topic)| join(member, topic));
    // The first has not let go of anything.
    all(&mut firsts, &mut seconds, &descriptions(&g));
    for (first, second) in firsts.iter_mut().zip(&mut seconds) {
        settle(&mut [first, second], &[2, 1]);
    }
    for ((server, topic), member) in both().zip(&mut firsts) {
        let other = server.ready(&mut server.connect(), &format!("{t}-other"));
        for (topic, partition) in [(topic, 0), (&other, 0)] {
            let request = commit_request(&g, topic, vec![committing(partition, 1, None)])
                .with_generation_id_or_member_epoch(member.epoch)
                .with_member_id(text(&member.id))
                .with_group_instance_id(member.instance_id.as_deref().map(text));
            assert_eq!(commit_errors(&commit(&mut member.connection, OFFSET_COMMIT, &request)), [0]);
        }
    }
    all(&mut firsts, &mut seconds, &descriptions(&g));
    all(&mut firsts, &mut seconds, &changes(&g, &t));
    check_list(
        &g,
        &[
            ("--type --state", Some("Consumer Stable")),
            ("--type consumer", Some("Consumer")),
            ("--type classic", None),
        ],
    );

    // A classic member makes the group one of both protocols.
    let mut classics: Vec<Member> = Vec::new();
    for (server, topic) in both() {
        let joining = Joining {
            session_timeout_ms: LONG_MS,
            rebalance_timeout_ms: LONG_MS,
            ..Joining::new(&g).protocols(&[("range", &subscription(&[&topic.name], b""))])
        };
        let mut member = Member::with(server, joining.instance("upgraded"));
        assert_eq!(member.join().error_code, 0);
        classics.push(member);
    }
    for ((first, second), classic) in firsts.iter_mut().zip(&mut seconds).zip(&mut classics) {
        // There is one assignment a second: it may have to come back for the one that it is in.
        eventually("the classic member has its share", || {
            assert_eq!((first.heartbeat().error_code, second.heartbeat().error_code), (0, 0));
            assert_eq!(classic.join().error_code, 0);
            let given = classic.sync(&[]);
            (given.error_code == 0 && given.assignment.len() > t.len()).then_some(())
        });
        settle(&mut [first, second], &[1, 1]);
    }
    all(&mut firsts, &mut seconds, &descriptions(&g));

    for member in &mut classics {
        assert_eq!(member.leave(), 0);
    }
    for member in firsts.iter_mut().chain(&mut seconds) {
        assert_eq!(member.leave(), 0);
    }
    check(&descriptions(&g));
    check(&changes(&g, &t));
}
