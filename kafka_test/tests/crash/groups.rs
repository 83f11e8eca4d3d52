//! Consumer groups when the broker dies: what was acknowledged is there after it.

use kafka_test::connection::Connection;
use kafka_test::consumer_group::{keep_alive, ConsumerMember};
use kafka_test::faults::Fault;
use kafka_test::groups::{
    assign_all, assignment, await_coordinator, heartbeat_request, rejoin_all, subscription, Joining, Member, HEARTBEAT,
};
use kafka_test::offsets::{commit_errors, commit_request, committed, committing};
use kafka_test::patience::eventually;
use kafka_test::server::Server;
use std::sync::atomic::{AtomicI64, Ordering};

const KILLS: i64 = 10;
const COMMITS_BEFORE_A_KILL: i64 = 30;
const OFFSET_COMMIT: i16 = 9;

/// Goal: through ten kill -9 in the middle of commits, half of them also in the middle of a rebalance, no committed offset goes back, and
/// the members of both protocols go on in the generation that they were told last.
#[test]
fn offsets_and_members_survive_kills() {
    let server = Server::start_pg_kafka(&[]);
    let topic = server.topic("survivor", 2);
    let (offsets, classic, new) = (server.group("offsets"), server.group("classic"), server.group("new"));
    let members = Member::stable_group(&server, &classic, 2);
    let mut modern = ConsumerMember::new(&server, &new);
    modern.join(&[&topic]);
    let acknowledged = AtomicI64::new(0);
    for kill in 1..=KILLS {
        let mut connection = eventually("the broker listens", || Connection::try_open(&server.bootstrap).ok());
        await_coordinator(&mut connection, &classic);
        let mut newcomer = Member::new(&server, &classic);
        if kill % 2 == 0 {
            newcomer.identify();
            newcomer.send_join();
        }
        std::thread::scope(|scope| {
            let kill_thread = scope.spawn(|| {
                eventually("commits go on", || {
                    (acknowledged.load(Ordering::Acquire) >= kill * COMMITS_BEFORE_A_KILL).then_some(())
                });
                Fault::KillBroker.strike(&server)
            });
            loop {
                let next = acknowledged.load(Ordering::Acquire) + 1;
                let request = commit_request(&offsets, &topic, vec![committing(0, next, None)]);
                match connection.try_call(OFFSET_COMMIT, &request) {
                    Some(reply) => assert_eq!(commit_errors(&reply), [0]),
                    None => break,
                }
                acknowledged.store(next, Ordering::Release);
                // It has killed, or failed to.
                if kill_thread.is_finished() {
                    break;
                }
            }
        });
        let mut connection = eventually("the broker listens again", || Connection::try_open(&server.bootstrap).ok());
        await_coordinator(&mut connection, &offsets);
        let found = committed(&mut connection, &offsets, &topic, 0);
        let told = acknowledged.swap(found, Ordering::AcqRel);
        assert!(
            (told..=told + 1).contains(&found),
            "offset {told} was acknowledged, {found} is there"
        );
        for member in &members {
            let beat = heartbeat_request(&classic, member.generation, member.id());
            assert_eq!(connection.call(4, &beat).error_code, 0, "kill {kill}");
        }
        let beat = connection.call(1, &keep_alive(&new, &modern.id, modern.epoch));
        assert_eq!((beat.error_code, beat.member_epoch), (0, modern.epoch), "kill {kill}");
    }
}

/// Goal: a group that became one of the new protocol while a classic member had just left goes on after a kill, with those that stayed.
#[test]
fn an_upgraded_group_survives_a_kill() {
    const REBALANCE_IN_PROGRESS: i16 = 27;
    let server = Server::start_pg_kafka(&[]);
    let topic = server.topic("upgraded", 2);
    let group = server.group("upgraded");
    let joining = || Joining::new(&group).protocols(&[("range", &subscription(&[&topic.name], b""))]);
    let mut members = Member::stable_group_of(&server, vec![joining(), joining()]);
    rejoin_all(&server, &mut members);
    assign_all(&mut members, &[assignment(&topic.name, &[0]), assignment(&topic.name, &[1])]);
    assert_eq!(members[1].leave(), 0);
    let mut newcomer = ConsumerMember::new(&server, &group);
    newcomer.join(&[&topic]);
    Fault::KillBroker.strike(&server);
    let mut connection = eventually("the broker listens again", || Connection::try_open(&server.bootstrap).ok());
    await_coordinator(&mut connection, &group);
    let beat = connection.call(1, &keep_alive(&group, &newcomer.id, newcomer.epoch));
    assert_eq!((beat.error_code, beat.member_epoch), (0, newcomer.epoch));
    let beat = heartbeat_request(&group, members[0].generation, members[0].id());
    let told = connection.call(HEARTBEAT, &beat).error_code;
    assert!(
        [0, REBALANCE_IN_PROGRESS].contains(&told),
        "the member that stayed is told {told}"
    );
}
