//! ConsumerGroupHeartbeat (KIP-848): members that tell what they want and are told what they own.

use crate::code;
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, CreateTopicsRequest};
use kafka_test::consumer_group::{
    assigned, count, joining, keep_alive, names, owning, settle, ConsumerMember, Partitions, JOIN_EPOCH, LEAVE_EPOCH,
    LEAVE_FOR_A_WHILE_EPOCH,
};
use kafka_test::groups::{heartbeat_request, leave_errors, leave_request, sync_request, text, Joining, Member};
use kafka_test::offsets::{commit, commit_errors, commit_request, committed, committing, fetch, fetch_request, fetched};
use kafka_test::patience::eventually;
use kafka_test::server::Server;
use kafka_test::topic::{creatable, unique_name};
use uuid::Uuid;

const VERSIONS: std::ops::RangeInclusive<i16> = 0..=1;

/// Goal: a lone member is given all partitions of what it wants, an epoch and an interval; version 0 makes its id if it has none.
#[test]
fn a_lone_member_owns_all() {
    let server = Server::shared();
    let (first, second) = (server.topic("lone-a", 2), server.topic("lone-b", 3));
    let mut connection = server.connect();
    for version in VERSIONS {
        let group = server.group("lone");
        let own_id = if version == 0 {
            String::new()
        } else {
            Uuid::new_v4().to_string()
        };
        let reply = connection.call(version, &joining(&group, &own_id, &[&first, &second]));
        assert_eq!((reply.error_code, &reply.error_message), (0, &None), "version {version}");
        let id = reply.member_id.clone().unwrap().to_string();
        // Base64url of a UUID.
        let made = id.len() == 22 && !id.starts_with('-');
        assert!(if own_id.is_empty() { made } else { own_id == id }, "{id}");
        assert!(reply.member_epoch >= 1, "{}", reply.member_epoch);
        assert_eq!(reply.heartbeat_interval_ms, 5_000);
        let all = Partitions::from([(first.id, vec![0, 1]), (second.id, vec![0, 1, 2])]);
        let mut epoch = reply.member_epoch;
        let mut owned = assigned(&reply.assignment.expect("a first answer says what is owned"));
        eventually("it owns all", || {
            if owned == all {
                return Some(());
            }
            let reply = connection.call(
                version,
                &keep_alive(&group, &id, epoch).with_topic_partitions(Some(owning(&owned))),
            );
            epoch = reply.member_epoch;
            owned = reply.assignment.as_ref().map_or(owned.clone(), assigned);
            None
        });
        let quiet = connection.call(version, &keep_alive(&group, &id, epoch));
        assert_eq!((quiet.error_code, quiet.member_epoch), (0, epoch), "version {version}");
        assert_eq!(quiet.assignment, None, "nothing is new");
    }
}

/// Goal: partitions move to a second member only after the first has given them up, and both end in one epoch; when one leaves, the
/// other owns all.
#[test]
fn partitions_move() {
    let server = Server::shared();
    let topic = server.topic("move", 4);
    let group = server.group("move");
    let mut first = ConsumerMember::new(server, &group);
    first.join(&[&topic]);
    settle(&mut [&mut first], &[4]);
    let before = first.owned.clone();

    let mut second = ConsumerMember::new(server, &group);
    second.join(&[&topic]);
    assert!(second.owned.is_empty(), "nothing is free yet");
    // The first says that it still owns all: it is told what to keep, and the second gets nothing until the first has let go.
    eventually("the first is told to give up two", || {
        let request = keep_alive(&group, &first.id, first.epoch).with_topic_partitions(Some(owning(&before)));
        first.send(&request);
        (count(&first.owned) == 2).then_some(())
    });
    assert_eq!(second.heartbeat().error_code, 0);
    assert!(second.owned.is_empty(), "the first has not given them up");
    settle(&mut [&mut first, &mut second], &[2, 2]);
    let mut all = [first.owned[&topic.id].clone(), second.owned[&topic.id].clone()].concat();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3]);

    assert_eq!(second.leave(), 0);
    settle(&mut [&mut first], &[4]);
    assert_eq!(second.heartbeat().error_code, code::UNKNOWN_MEMBER_ID);
}

/// Goal: each wrong heartbeat has its error at every version.
#[test]
fn wrong_heartbeats_are_refused() {
    let server = Server::shared();
    let topic = server.topic("wrong", 1);
    let group = server.group("wrong");
    let mut member = ConsumerMember::new(server, &group);
    member.join(&[&topic]);
    settle(&mut [&mut member], &[1]);
    let (id, epoch) = (member.id.clone(), member.epoch);
    for version in VERSIONS {
        let mut error = |request: ConsumerGroupHeartbeatRequest| {
            let reply = member.connection.call(version, &request);
            assert!(reply.error_code == 0 || reply.assignment.is_none(), "version {version}");
            reply.error_code
        };
        let new = || joining(&group, "new", &[&topic]);
        let invalid = code::INVALID_REQUEST;
        assert_eq!(error(joining("", "new", &[&topic])), invalid, "no group");
        assert_eq!(error(keep_alive(&group, "", 5)), invalid, "no member");
        assert_eq!(error(keep_alive(&group, "", LEAVE_EPOCH)), invalid, "nobody leaves");
        assert_eq!(error(new().with_instance_id(Some(text("")))), invalid, "an empty name");
        assert_eq!(error(new().with_rack_id(Some(text("")))), invalid, "an empty rack");
        assert_eq!(error(new().with_rebalance_timeout_ms(-1)), invalid, "no rebalance timeout");
        assert_eq!(error(new().with_topic_partitions(None)), invalid, "owns it does not say what");
        let owned = owning(&Partitions::from([(topic.id, vec![0])]));
        assert_eq!(error(new().with_topic_partitions(Some(owned))), invalid, "owns something");
        assert_eq!(
            error(new().with_subscribed_topic_names(None)),
            invalid,
            "wants it does not say what"
        );
        assert_eq!(
            error(keep_alive(&group, &id, LEAVE_FOR_A_WHILE_EPOCH)),
            invalid,
            "without a name"
        );
        assert_eq!(error(keep_alive(&group, &id, -3)), invalid, "epoch -3");
        let assignor = new().with_server_assignor(Some(text("no-such-assignor")));
        assert_eq!(error(assignor), code::UNSUPPORTED_ASSIGNOR);
        assert_eq!(error(keep_alive(&group, "new", 1)), code::UNKNOWN_MEMBER_ID);
        assert_eq!(error(keep_alive(&group, "new", LEAVE_EPOCH)), code::UNKNOWN_MEMBER_ID);
        let nowhere = server.group("nowhere");
        assert_eq!(error(keep_alive(&nowhere, "new", 1)), code::GROUP_ID_NOT_FOUND);
        assert_eq!(error(keep_alive(&nowhere, "new", LEAVE_EPOCH)), code::GROUP_ID_NOT_FOUND);
        assert_eq!(error(keep_alive(&group, &id, epoch + 1)), code::FENCED_MEMBER_EPOCH);
        assert_eq!(error(keep_alive(&group, &id, epoch)), 0, "version {version}");
    }
    let nameless = member.connection.call(1, &joining(&group, "", &[&topic]));
    assert_eq!(nameless.error_code, code::INVALID_REQUEST, "version 1 makes no ids");
}

/// Goal: a heartbeat in the epoch before the last is accepted if what it owns is still its own, because the answer with the new epoch may
/// have been lost; older ones are fenced, and the fenced member joins again with its id.
#[test]
fn a_lost_answer() {
    let server = Server::shared();
    let (first, second) = (server.topic("lost-a", 1), server.topic("lost-b", 1));
    let group = server.group("lost");
    let mut member = ConsumerMember::new(server, &group);
    member.join(&[&first]);
    settle(&mut [&mut member], &[1]);
    let (old, owned) = (member.epoch, member.owned.clone());
    let more = keep_alive(&group, &member.id, old).with_subscribed_topic_names(names(&[&first.name, &second.name]));
    member.send(&more);
    settle(&mut [&mut member], &[2]);
    assert_eq!(member.epoch, old + 1);
    let repeated = keep_alive(&group, &member.id, old).with_topic_partitions(Some(owning(&owned)));
    assert_eq!(member.send(&repeated).error_code, 0);
    assert_eq!(member.epoch, old + 1);
    let silent = keep_alive(&group, &member.id, old);
    assert_eq!(
        member.send(&silent).error_code,
        code::FENCED_MEMBER_EPOCH,
        "it does not say what it owns"
    );
    let stranger = owning(&Partitions::from([(Uuid::new_v4(), vec![0])]));
    let wrong = keep_alive(&group, &member.id, old).with_topic_partitions(Some(stranger));
    assert_eq!(member.send(&wrong).error_code, code::FENCED_MEMBER_EPOCH);

    member.send(&keep_alive(&group, &member.id, old + 1).with_subscribed_topic_names(names(&[&first.name])));
    eventually("the next epoch", || {
        assert_eq!(member.heartbeat().error_code, 0);
        (member.epoch == old + 2).then_some(())
    });
    let fenced = keep_alive(&group, &member.id, old).with_topic_partitions(Some(owning(&owned)));
    assert_eq!(member.send(&fenced).error_code, code::FENCED_MEMBER_EPOCH, "two epochs ago");
    let reply = member.join(&[&first]);
    assert_eq!(
        assigned(&reply.assignment.unwrap()),
        owned,
        "a member that joins again keeps what it had"
    );
}

/// Goal: a subscription to a topic that is not there gives nothing until it is made, and then its partitions; partitions that are added come
/// too.
#[test]
fn topics_come_later() {
    let server = Server::shared();
    let group = server.group("later");
    let known = server.topic("later", 1);
    let name = format!("{}-not-yet", known.name);
    let mut member = ConsumerMember::new(server, &group);
    let request = joining(&group, &member.id, &[]).with_subscribed_topic_names(names(&[&name]));
    assert_eq!(member.send(&request).error_code, 0);
    assert!(member.owned.is_empty());
    let creating = CreateTopicsRequest::default()
        .with_timeout_ms(30_000)
        .with_topics(vec![creatable(&name, 2, &[])]);
    assert_eq!(server.connect().call(7, &creating).topics[0].error_code, 0);
    settle(&mut [&mut member], &[2]);
}

/// Goal: a regular expression (version 1) subscribes to what matches as a whole; one that is none is refused.
#[test]
fn a_regular_expression() {
    let server = Server::shared();
    let group = server.group("regex");
    let prefix = unique_name("regex");
    let topic = |suffix: &str, partitions| server.topic(&format!("{prefix}-{suffix}"), partitions);
    let (first, second, other) = (topic("yes", 1), topic("yes", 2), topic("no", 4));
    let mut member = ConsumerMember::new(server, &group);
    let by = |pattern: &str| {
        joining(&group, &member.id, &[])
            .with_subscribed_topic_names(None)
            .with_subscribed_topic_regex(Some(text(pattern)))
    };
    let broken = by("regex-(");
    let right = by(&format!("{prefix}-y..-.*|{}x", other.name));
    assert_eq!(member.send(&broken).error_code, code::INVALID_REGULAR_EXPRESSION);
    assert_eq!(member.send(&right).error_code, 0);
    settle(&mut [&mut member], &[3]);
    assert_eq!(member.owned, Partitions::from([(first.id, vec![0]), (second.id, vec![0, 1])]));
}

/// Goal: a static member that leaves for a while is awaited with what it had, under a new id; one that has not left cannot be replaced.
#[test]
fn a_static_member_comes_back() {
    let server = Server::shared();
    let topic = server.topic("static", 2);
    let group = server.group("static");
    let fixed = |name: &str| {
        let mut member = ConsumerMember::new(server, &group);
        member.instance_id = Some(name.to_owned());
        member
    };
    let (mut first, mut second) = (fixed("a"), fixed("b"));
    first.join(&[&topic]);
    second.join(&[&topic]);
    settle(&mut [&mut first, &mut second], &[1, 1]);
    let owned = second.owned.clone();

    let mut early = fixed("b");
    let refused = joining(&group, &early.id, &[&topic]).with_instance_id(Some(text("b")));
    assert_eq!(early.send(&refused).error_code, code::UNRELEASED_INSTANCE_ID);

    let leaving = keep_alive(&group, &second.id, LEAVE_FOR_A_WHILE_EPOCH).with_instance_id(Some(text("b")));
    let left = second.connection.call(1, &leaving);
    assert_eq!((left.error_code, left.member_epoch), (0, LEAVE_FOR_A_WHILE_EPOCH));
    settle(&mut [&mut first], &[1]);
    let reply = early.join(&[&topic]);
    assert_eq!(assigned(&reply.assignment.unwrap()), owned, "what it had");
    settle(&mut [&mut first, &mut early], &[1, 1]);
    assert_eq!(second.heartbeat().error_code, code::FENCED_INSTANCE_ID);

    let nobody = keep_alive(&group, "x", LEAVE_FOR_A_WHILE_EPOCH).with_instance_id(Some(text("c")));
    assert_eq!(first.connection.call(1, &nobody).error_code, code::UNKNOWN_MEMBER_ID);
    assert_eq!(early.leave(), 0);
    settle(&mut [&mut first], &[2]);
}

/// Goal: commits and fetches of offsets carry the member's epoch: a wrong one is stale, no member is unknown, and a group with members
/// takes no commit of nobody.
#[test]
fn offsets_of_members() {
    let server = Server::shared();
    let topic = server.topic("offsets", 1);
    let group = server.group("offsets");
    let mut member = ConsumerMember::new(server, &group);
    member.join(&[&topic]);
    settle(&mut [&mut member], &[1]);
    let (id, epoch) = (member.id.clone(), member.epoch);
    let connection = &mut member.connection;
    for version in 9..=10 {
        let mut error = |id: &str, epoch: i32| {
            let request = commit_request(&group, &topic, vec![committing(0, 5, None)])
                .with_member_id(text(id))
                .with_generation_id_or_member_epoch(epoch);
            commit_errors(&commit(connection, version, &request))[0]
        };
        assert_eq!(error(&id, epoch), 0, "version {version}");
        assert_eq!(error(&id, epoch + 1), code::STALE_MEMBER_EPOCH, "version {version}");
        assert_eq!(error(&id, -1), code::STALE_MEMBER_EPOCH, "version {version}");
        assert_eq!(error("x", epoch), code::UNKNOWN_MEMBER_ID, "version {version}");
        assert_eq!(error("", -1), code::UNKNOWN_MEMBER_ID, "version {version}");
        let mut error = |id: Option<&str>, epoch: i32| {
            let request = fetch_request(version, &group, (id, epoch), Some(&[(&topic, &[0])]));
            fetched(version, &fetch(connection, version, &request)).0
        };
        assert_eq!(error(Some(&id), epoch), 0, "version {version}");
        assert_eq!(error(None, -1), 0, "an administrator, version {version}");
        assert_eq!(error(Some(&id), epoch + 1), code::STALE_MEMBER_EPOCH, "version {version}");
        assert_eq!(error(Some("x"), epoch), code::UNKNOWN_MEMBER_ID, "version {version}");
    }
    assert_eq!(committed(connection, &group, &topic, 0), 5);
    for version in 2..=8 {
        let request = commit_request(&group, &topic, vec![committing(0, 6, None)])
            .with_member_id(text(&id))
            .with_generation_id_or_member_epoch(epoch);
        let errors = commit_errors(&commit(connection, version, &request));
        assert_eq!(errors, [code::UNSUPPORTED_VERSION], "version {version} knows no epochs");
    }
}

/// Goal: an empty classic group becomes one of KIP-848 when such a member joins and keeps its offsets, and the other way round; a consumer
/// cannot join the other way while members of a kind that cannot be converted are there.
#[test]
fn groups_change_their_type_when_empty() {
    let server = Server::shared();
    let topic = server.topic("types", 1);
    let group = server.group("types");
    let mut classic = Member::stable_group(server, &group, 1);
    assert_eq!(classic[0].commit(&topic, 0, 3), 0);
    assert_eq!(classic[0].leave(), 0);
    let mut modern = ConsumerMember::new(server, &group);
    modern.join(&[&topic]);
    settle(&mut [&mut modern], &[1]);
    assert_eq!(committed(&mut modern.connection, &group, &topic, 0), 3);
    assert_eq!(modern.leave(), 0);
    let mut again = Member::new(server, &group);
    assert_eq!(again.join().error_code, 0);
    assert_eq!(committed(&mut again.connection, &group, &topic, 0), 3);

    let connect = Joining {
        protocol_type: "connect".to_owned(),
        ..Joining::new(&server.group("no-consumers"))
    };
    let busy = Member::stable_group_of(server, vec![connect]);
    let refused = modern
        .connection
        .call(1, &joining(&busy[0].joining.group, &modern.id, &[&topic]));
    assert_eq!(
        (refused.error_code, refused.member_epoch),
        (code::GROUP_ID_NOT_FOUND, JOIN_EPOCH)
    );
}

/// Goal: a member that does not give up what it is told to within its own rebalance timeout is put out, and the other gets all.
#[test]
fn who_does_not_give_up_is_out() {
    let server = Server::shared();
    let topic = server.topic("stubborn", 2);
    let group = server.group("stubborn");
    let mut stubborn = ConsumerMember::new(server, &group);
    let request = joining(&group, &stubborn.id, &[&topic]).with_rebalance_timeout_ms(1_000);
    assert_eq!(stubborn.send(&request).error_code, 0);
    settle(&mut [&mut stubborn], &[2]);
    let all = stubborn.owned.clone();
    let mut second = ConsumerMember::new(server, &group);
    second.join(&[&topic]);
    let refused = eventually("it is put out", || {
        assert_eq!(second.heartbeat().error_code, 0);
        let request = keep_alive(&group, &stubborn.id, stubborn.epoch).with_topic_partitions(Some(owning(&all)));
        let reply = stubborn.send(&request);
        (reply.error_code != 0).then_some(reply.error_code)
    });
    assert!(
        [code::UNKNOWN_MEMBER_ID, code::FENCED_MEMBER_EPOCH].contains(&refused),
        "{refused}"
    );
    settle(&mut [&mut second], &[2]);
    assert_eq!(second.owned, all);
}

/// Goal: a classic client cannot join a group of KIP-848 members with another type, nor sync or send heartbeats as one of them; LeaveGroup
/// takes one of them out.
#[test]
fn classic_requests_to_members_of_the_other_kind() {
    let server = Server::shared();
    let topic = server.topic("mixed", 1);
    let group = server.group("mixed");
    let mut member = ConsumerMember::new(server, &group);
    member.join(&[&topic]);
    settle(&mut [&mut member], &[1]);
    let (id, epoch) = (member.id.clone(), member.epoch);
    let connect = Joining {
        protocol_type: "connect".to_owned(),
        ..Joining::new(&group)
    };
    let connection = &mut member.connection;
    let joined = connection.call(9, &connect.request());
    assert_eq!(joined.error_code, code::INCONSISTENT_GROUP_PROTOCOL);
    let synced = sync_request(&group, epoch, &id, &[])
        .with_protocol_type(Some(text("consumer")))
        .with_protocol_name(Some(text("range")));
    assert_eq!(connection.call(5, &synced).error_code, code::UNKNOWN_MEMBER_ID);
    let beaten = connection.call(4, &heartbeat_request(&group, epoch, &id));
    assert_eq!(beaten.error_code, code::UNKNOWN_MEMBER_ID);
    let left = connection.call(5, &leave_request(5, &group, &[("x", None), (&id, None)]));
    assert_eq!(
        leave_errors(5, &left),
        [code::UNKNOWN_MEMBER_ID, 0],
        "which an administrator may do"
    );
    assert_eq!(member.heartbeat().error_code, code::UNKNOWN_MEMBER_ID);
}
