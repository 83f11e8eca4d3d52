//! Rebalances over several connections, as clients go through them: members that come, go, fall silent, are replaced.

use crate::code;
use kafka_test::groups::{
    await_state, heartbeat_request, rejoin_all, subscription, sync_all, text, Joining, Member, HEARTBEAT, SHORTEST_SESSION_MS,
};
use kafka_test::patience::eventually;
use kafka_test::server::Server;
use std::time::{Duration, Instant};

/// Goal: a group grows from one member to five; each newcomer begins a generation, of which all have the same number, leader and protocol,
/// and the leader alone is told of all.
#[test]
fn a_group_grows() {
    let server = Server::shared();
    let group = server.group("grows");
    let mut members = Member::stable_group(server, &group, 5);
    assert_eq!(members[0].generation, 5);
    let described = await_state(server, &group, "Stable", 5);
    assert_eq!(described.members.len(), 5);
    for member in &mut members {
        assert_eq!((member.heartbeat(), member.generation), (0, 5));
    }
}

/// Goal: members that come while a rebalance waits for another all get into the same generation.
#[test]
fn several_newcomers_share_a_generation() {
    let server = Server::shared();
    let group = server.group("together");
    let mut members = Member::stable_group(server, &group, 1);
    let mut newcomers: Vec<Member> = (0..4).map(|_| Member::new(server, &group)).collect();
    let mut joining = Vec::new();
    for (number, newcomer) in newcomers.iter_mut().enumerate() {
        newcomer.identify();
        joining.push(newcomer.send_join());
        await_state(server, &group, "PreparingRebalance", number + 2);
    }
    let led = members[0].join();
    assert_eq!((led.generation_id, led.members.len()), (2, 5));
    for (newcomer, sent) in newcomers.iter_mut().zip(joining) {
        let reply = newcomer.receive_join(sent);
        assert_eq!((reply.error_code, reply.generation_id, reply.members.len()), (0, 2, 0));
    }
    members.append(&mut newcomers);
    sync_all(&mut members);
}

/// Goal: when the leader leaves, the rest begins a generation with a leader of its own and new assignments.
#[test]
fn the_leader_leaves() {
    let server = Server::shared();
    let group = server.group("leaderless");
    let mut members = Member::stable_group(server, &group, 3);
    let mut leader = members.remove(0);
    assert_eq!(leader.leave(), 0);
    for member in &mut members {
        assert_eq!(member.heartbeat(), code::REBALANCE_IN_PROGRESS);
    }
    let joining: Vec<_> = members.iter_mut().map(Member::send_join).collect();
    let replies: Vec<_> = members
        .iter_mut()
        .zip(joining)
        .map(|(m, sent)| m.receive_join(sent))
        .collect();
    if replies[1].leader.as_str() == members[1].id() {
        members.swap(0, 1);
    }
    assert_eq!(replies[0].leader.as_str(), members[0].id());
    sync_all(&mut members);
    assert_eq!(leader.heartbeat(), code::UNKNOWN_MEMBER_ID);
}

/// Goal: a member that stops sending heartbeats is out after its session, and those that go on are told; the one that was out is not a
/// member when it comes back.
#[test]
fn a_silent_member_expires() {
    let server = Server::shared();
    let group = server.group("silent");
    let brief = Joining {
        session_timeout_ms: SHORTEST_SESSION_MS,
        ..Joining::new(&group)
    };
    let mut members = Member::stable_group_of(server, vec![Joining::new(&group), brief]);
    let silent_since = Instant::now();
    assert_eq!(members[1].heartbeat(), 0);
    members[0].heartbeat_until(code::REBALANCE_IN_PROGRESS);
    let session = Duration::from_millis(SHORTEST_SESSION_MS as u64);
    assert!(
        silent_since.elapsed() > session - Duration::from_secs(1),
        "{:?}",
        silent_since.elapsed()
    );
    assert_eq!(members[0].join().members.len(), 1);
    assert_eq!(members[1].heartbeat(), code::UNKNOWN_MEMBER_ID);
    assert_eq!(members[1].join().error_code, code::UNKNOWN_MEMBER_ID);
}

/// Goal: heartbeats and commits keep a session that is shorter than the time that passes.
#[test]
fn heartbeats_keep_a_session() {
    let server = Server::shared();
    let group = server.group("kept");
    let topic = server.topic("kept", 1);
    let brief = Joining {
        session_timeout_ms: SHORTEST_SESSION_MS,
        ..Joining::new(&group)
    };
    let mut members = Member::stable_group_of(server, vec![brief.clone(), brief]);
    let begun = Instant::now();
    let longer = Duration::from_millis(SHORTEST_SESSION_MS as u64 * 3 / 2);
    eventually("more than a session passes", || {
        assert_eq!(members[0].heartbeat(), 0);
        assert_eq!(members[1].commit(&topic, 0, 1), 0);
        (begun.elapsed() > longer).then_some(())
    });
}

/// Goal: an id that was asked for and not used is forgotten after the session that was asked for, and meanwhile a rebalance waits for it.
#[test]
fn an_unused_id_expires() {
    let server = Server::shared();
    let group = server.group("unused");
    let mut members = Member::stable_group(server, &group, 1);
    let mut absent = Member::with(
        server,
        Joining {
            session_timeout_ms: SHORTEST_SESSION_MS,
            ..Joining::new(&group)
        },
    );
    let asked = Instant::now();
    absent.identify();
    assert_eq!(members[0].join().generation_id, 2);
    let session = Duration::from_millis(SHORTEST_SESSION_MS as u64);
    assert!(asked.elapsed() > session - Duration::from_secs(1), "{:?}", asked.elapsed());
    assert_eq!(absent.join().error_code, code::UNKNOWN_MEMBER_ID);
}

/// Goal: a static member that comes back without an id gets a new one, its assignment and no rebalance; whoever has its old id is fenced.
#[test]
fn a_static_member_is_replaced() {
    let server = Server::shared();
    let group = server.group("replaced");
    let joinings = vec![Joining::new(&group), Joining::new(&group).instance("i")];
    let mut members = Member::stable_group_of(server, joinings);
    let mut again = Member::with(server, Joining::new(&group).instance("i"));
    let reply = again.join();
    assert_eq!((reply.error_code, reply.generation_id), (0, members[1].generation));
    assert_ne!(again.id(), members[1].id());
    assert!(
        !reply.skip_assignment && reply.members.is_empty(),
        "a follower has nothing to assign"
    );
    assert_eq!(reply.leader.as_str(), members[0].id());
    assert_eq!(again.sync(&[]).assignment.as_ref(), b"1");
    assert_eq!(again.heartbeat(), 0);
    assert_eq!(members[0].heartbeat(), 0, "nobody else is disturbed");
    assert_eq!(members[1].heartbeat(), code::FENCED_INSTANCE_ID);
    assert_eq!(members[1].sync(&[]).error_code, code::FENCED_INSTANCE_ID);
    assert_eq!(members[1].join().error_code, code::FENCED_INSTANCE_ID);
    assert_eq!(members[1].leave(), code::FENCED_INSTANCE_ID);
}

/// Goal: a static leader that comes back is told that there is nothing to assign, from version 9 on, and who the members are; before
/// version 9 it is told of another leader than itself, so that it does not assign (KIP-814).
#[test]
fn a_static_leader_is_replaced() {
    let server = Server::shared();
    for version in 5..=9 {
        let group = server.group("leader-replaced");
        let joinings = vec![Joining::new(&group).instance("i"), Joining::new(&group)];
        let mut members = Member::stable_group_of(server, joinings);
        let mut connection = server.connect();
        let reply = connection.call(version, &Joining::new(&group).instance("i").request());
        assert_eq!(
            (reply.error_code, reply.generation_id),
            (0, members[0].generation),
            "version {version}"
        );
        if version >= 9 {
            assert!(reply.skip_assignment);
            assert_eq!((reply.members.len(), &reply.leader), (2, &reply.member_id));
            assert!(reply.members.iter().any(|m| m.member_id == reply.member_id));
        } else {
            assert!(reply.members.is_empty(), "version {version}");
            assert_eq!(reply.leader.as_str(), members[0].id(), "version {version}");
        }
        let mut again = Member::with(server, Joining::new(&group).instance("i").member(&reply.member_id));
        again.generation = reply.generation_id;
        assert_eq!(again.sync(&[]).assignment.as_ref(), b"0", "version {version}");
        assert_eq!(members[0].heartbeat(), code::FENCED_INSTANCE_ID, "version {version}");
        assert_eq!(members[1].heartbeat(), 0, "version {version}");
    }
}

/// Goal: a static member that comes back and does not know the chosen protocol any more begins a generation.
#[test]
fn a_static_member_changes() {
    let server = Server::shared();
    let group = server.group("static-changes");
    let said = subscription(&[], b"");
    let both = Joining::new(&group).protocols(&[("range", &said), ("roundrobin", &said)]);
    let mut members = Member::stable_group_of(server, vec![both.clone(), both.clone().instance("i")]);
    let changed = both.instance("i").protocols(&[("roundrobin", &said)]);
    let mut again = Member::with(server, changed);
    let joining = again.send_join();
    members[0].heartbeat_until(code::REBALANCE_IN_PROGRESS);
    let led = members[0].join();
    assert_eq!(led.protocol_name.as_deref(), Some("roundrobin"));
    assert_eq!(again.receive_join(joining).generation_id, led.generation_id);
    assert_eq!(led.members.len(), 2, "the one it replaces is gone");
}

/// Goal: a join and a sync that wait on a connection are fenced when their static member comes back on another.
#[test]
fn what_waits_is_fenced() {
    let server = Server::shared();
    let group = server.group("fenced-waiting");
    let joinings = vec![Joining::new(&group), Joining::new(&group).instance("i")];
    let mut members = Member::stable_group_of(server, joinings);

    rejoin_all(server, &mut members);
    let waiting = members[1].send_sync(&[]);
    let mut second = Member::with(server, Joining::new(&group).instance("i"));
    // Which of the two comes first is open: the sync is refused either way.
    let joining = second.send_join();
    let refused = members[1].receive_sync(waiting).error_code;
    assert!(
        [code::FENCED_INSTANCE_ID, code::REBALANCE_IN_PROGRESS].contains(&refused),
        "{refused}"
    );
    await_state(server, &group, "PreparingRebalance", 2);

    let mut third = Member::with(server, Joining::new(&group).instance("i"));
    let replacing = third.send_join();
    assert_eq!(second.receive_join(joining).error_code, code::FENCED_INSTANCE_ID);
    let led = members[0].join();
    assert_eq!((led.error_code, led.members.len()), (0, 2));
    assert_eq!(third.receive_join(replacing).generation_id, led.generation_id);
}

/// Goal: a static member that falls silent keeps its place in rebalances until its session ends.
#[test]
fn a_silent_static_member_stays_in_a_rebalance() {
    let server = Server::shared();
    let group = server.group("static-silent");
    let brief = |joining: Joining| Joining {
        rebalance_timeout_ms: 10_000,
        ..joining
    };
    let joinings = vec![brief(Joining::new(&group)), brief(Joining::new(&group).instance("i"))];
    let mut members = Member::stable_group_of(server, joinings);
    let led = members[0].join();
    assert_eq!(led.members.len(), 2, "the silent one is still told of");
    assert!(led.members.iter().any(|m| m.group_instance_id.as_deref() == Some("i")));
    let id = members[1].id().to_owned();
    let request = heartbeat_request(&group, led.generation_id, &id).with_group_instance_id(Some(text("i")));
    let silent = members[1].connection.call(HEARTBEAT, &request);
    assert_eq!(silent.error_code, 0, "it is a member of the new generation");
}

/// Goal: a cooperative rejoin (KIP-429): members go through a second generation right after the first, keep what they own, and commit
/// between the two.
#[test]
fn two_generations_in_a_row() {
    let server = Server::shared();
    let group = server.group("cooperative");
    let topic = server.topic("cooperative", 2);
    let cooperative = |owned: &[u8]| {
        let said = subscription(&["cooperative"], owned);
        Joining::new(&group).protocols(&[("cooperative-sticky", &said)])
    };
    let mut members = Member::stable_group_of(server, vec![cooperative(b"owns 0 and 1"), cooperative(b"owns nothing")]);
    // The first generation took partition 1 from the first member; it joins again and says so, which begins the second.
    assert_eq!(members[0].commit(&topic, 1, 17), 0);
    members[0].joining = cooperative(b"owns 0").member(members[0].id());
    let generation = members[0].generation;
    let joining = members[0].send_join();
    members[1].heartbeat_until(code::REBALANCE_IN_PROGRESS);
    assert_eq!(members[1].commit(&topic, 0, 18), 0, "who has not rejoined yet commits");
    assert_eq!(members[1].join().generation_id, generation + 1);
    let led = members[0].receive_join(joining);
    let owned = subscription(&["cooperative"], b"owns 0");
    assert!(
        led.members.iter().any(|m| m.metadata == owned),
        "the leader sees what is owned now"
    );
    sync_all(&mut members);
}

/// Goal: a leader that falls silent between join and sync does not stop the group: who waits is told to join again, without it.
#[test]
fn a_leader_that_never_assigns() {
    let server = Server::shared();
    let group = server.group("no-assignment");
    let brief = Joining {
        rebalance_timeout_ms: 10_000,
        ..Joining::new(&group)
    };
    let mut members = Member::stable_group_of(server, vec![brief.clone(), brief]);
    rejoin_all(server, &mut members);
    let waiting = members[1].sync(&[]);
    assert_eq!(waiting.error_code, code::REBALANCE_IN_PROGRESS);
    let led = members[1].join();
    assert_eq!(
        (led.error_code, led.members.len(), led.leader.as_str()),
        (0, 1, members[1].id())
    );
    assert_eq!(members[0].heartbeat(), code::UNKNOWN_MEMBER_ID);
}
