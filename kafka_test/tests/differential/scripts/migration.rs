//! Groups that change their protocol while they have members: a member of KIP-848 comes to a classic group, classic members come to a
//! group of KIP-848, and the last of the new protocol leaves. Each script runs at every version of each API that takes part.

use crate::codec::bytes;
use crate::script::{Script, Session};
use crate::scripts::groups::{describe, joining, with};
use crate::scripts::rebalances::{Group as Classic, KNOWN_IDS};
use crate::scripts::reconciliation::{assigned, in_epoch, Group};
use kafka_test::groups::{assignment, subscription};
use serde_json::{json, Value};

pub const SCRIPTS: &[Script] = &[
    Script::new("JoinGroup", "live upgrade and downgrade", upgrade_and_downgrade),
    Script::new("SyncGroup", "live upgrade and downgrade", upgrade_and_downgrade),
    Script::new("Heartbeat", "live upgrade and downgrade", upgrade_and_downgrade),
    Script::new("LeaveGroup", "live upgrade and downgrade", upgrade_and_downgrade),
    Script::new("OffsetCommit", "live upgrade and downgrade", upgrade_and_downgrade),
    Script::new("ConsumerGroupHeartbeat", "live upgrade and downgrade", upgrade_and_downgrade),
    Script::new("JoinGroup", "a classic member of a consumer group", a_classic_member).since(KNOWN_IDS),
    Script::new("SyncGroup", "a classic member of a consumer group", a_classic_member),
    Script::new("Heartbeat", "a classic member of a consumer group", a_classic_member),
    Script::new("LeaveGroup", "a classic member of a consumer group", a_classic_member),
    Script::new(
        "ConsumerGroupHeartbeat",
        "a classic member of a consumer group",
        a_classic_member,
    ),
];

/// A consumer that reads a topic, as a classic group is joined.
fn reading(group: &str, topic: &str) -> Value {
    let metadata = bytes(&subscription(&[topic], b""));
    with(
        joining(group, ""),
        json!({"Protocols": [{"Name": "range", "Metadata": metadata}]}),
    )
}

/// A classic group of one gets a member of the new protocol, works as a consumer group, and is classic again when that has left.
fn upgrade_and_downgrade(s: &mut Session) {
    let mut g = Group::new(s, 2);
    let (name, topic) = (g.name.clone(), g.topic.clone());
    let body = reading(&name, &topic);
    let own = |id: &str| with(body.clone(), json!({"MemberId": id}));
    {
        let mut classic = Classic::new(&mut *g.s, &topic);
        classic.enter(&body, 1);
        classic.sync("alone", 1, "$member1", &[("$member1", &assignment(&topic, &[0, 1]))]);
        classic.commit("classic", 1, "$member1", json!({}));
    }
    g.beat("one of the new protocol joins", g.joining("z"));
    describe(g.s, &name);
    g.describe();
    // Within a second of the upgrade there is no other assignment; the classic member is told to come back when there is.
    g.beat_until("it is in the new epoch", g.beating("z", 2), in_epoch(2));
    until_it_is_to_come_back(g.s, &name, 1, "$member1");
    {
        let mut classic = Classic::new(&mut *g.s, &topic);
        classic.commit("before it comes back", 1, "$member1", json!({}));
        classic.join("it comes back", own("$member1"));
        for generation in [1, 2, 3] {
            classic.sync(&format!("generation {generation}"), generation, "$member1", &[]);
            classic.beat(&format!("generation {generation}"), generation, "$member1");
            classic.commit(&format!("generation {generation}"), generation, "$member1", json!({}));
        }
        classic.sync("another member", 2, "z", &[]);
        classic.beat("another member", 2, "z");
    }
    g.beat_until("the new one has its share", g.beating("z", 2), |reply| {
        assigned(1)(reply) || reply["ErrorCode"] != 0
    });
    g.beat("it owns its share", g.owning("z", 2, &[1]));
    g.describe();

    g.beat("the new one leaves", g.beating("z", -1));
    describe(g.s, &name);
    g.describe();
    g.beat("it is gone", g.beating("z", 2));
    let mut classic = Classic::new(&mut *g.s, &topic);
    classic.beat("the group is classic again", 2, "$member1");
    classic.beat("a later generation", 3, "$member1");
    classic.join("the classic one comes back", own("$member1"));
    classic.sync("alone again", 4, "$member1", &[("$member1", &assignment(&topic, &[0, 1]))]);
    classic.describe();
    classic.leave("the last leaves", &[("$member1", None)]);
    classic.describe();
}

/// A group of the new protocol gets a classic member, which leaves again. Its first member is the last by name, because ids that brokers
/// make have no tilde.
fn a_classic_member(s: &mut Session) {
    let mut g = Group::new(s, 2);
    let (name, topic) = (g.name.clone(), g.topic.clone());
    g.enter("~", 2);
    g.beat("~ owns all", g.owning("~", 2, &[0, 1]));
    {
        let mut classic = Classic::new(&mut *g.s, &topic);
        let body = reading(&name, &topic);
        classic.join("another type", with(body.clone(), json!({"ProtocolType": "connect"})));
        classic.join("no protocols", with(body.clone(), json!({"Protocols": []})));
        classic.join("it joins", body.clone());
        let (version, own) = (classic.version("JoinGroup"), with(body, json!({"MemberId": "$member1"})));
        let in_third = |reply: &Value| reply["GenerationId"] == 3;
        classic
            .s
            .call_until("it joins with the id", "JoinGroup", version, own, in_third);
    }
    g.describe();
    g.beat_until("~ is to let go of one", g.beating("~", 2), assigned(1));
    let mut classic = Classic::new(&mut *g.s, &topic);
    classic.beat("~ has not let go", 3, "$member1");
    classic.sync("~ has not let go", 3, "$member1", &[]);
    g.beat("~ has let go", g.owning("~", 2, &[1]));
    until_it_is_to_come_back(g.s, &name, 3, "$member1");
    let mut classic = Classic::new(&mut *g.s, &topic);
    classic.join("it comes back", with(reading(&name, &topic), json!({"MemberId": "$member1"})));
    classic.sync("it has its share", 3, "$member1", &[]);
    classic.beat("it has its share", 3, "$member1");
    g.describe();
    let mut classic = Classic::new(&mut *g.s, &topic);
    classic.leave("the classic one leaves", &[("$member1", None)]);
    classic.beat("it is gone", 3, "$member1");
    g.beat_until("~ has all again", g.beating("~", 3), assigned(2));
    g.describe();
    let mut classic = Classic::new(&mut *g.s, &topic);
    classic.join("an id of its own", with(reading(&name, &topic), json!({"MemberId": "m"})));
    classic.leave("it leaves", &[("m", None)]);
    classic.leave("~ leaves like a classic member", &[("~", None)]);
    g.describe();
}

/// Heartbeats of a classic member until it is told that there is something new.
fn until_it_is_to_come_back(s: &mut Session, group: &str, generation: i32, member: &str) {
    let version = s.version_of("Heartbeat", super::rebalances::HEARTBEAT);
    let body = crate::scripts::groups::beating(group, generation, member);
    s.call_until("until it is to come back", "Heartbeat", version, body, |reply| {
        reply["ErrorCode"] != 0
    });
}
