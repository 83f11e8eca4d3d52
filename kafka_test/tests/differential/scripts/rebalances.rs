//! Classic groups of several members: joins and syncs that wait for others, what each request is answered meanwhile, static members
//! that are replaced. Each script runs at every version of each API that takes part; the others then have their newest.

use crate::codec::bytes;
use crate::script::{Script, Session, Waiting};
use crate::scripts::groups::{beating, describe, joining, syncing, with, JOIN, LEAVE, SYNC};
use kafka_test::groups::subscription;
use serde_json::{json, Value};

/// The newest version of Heartbeat.
pub const HEARTBEAT: i16 = 4;
/// The newest version of OffsetCommit.
pub const COMMIT: i16 = 10;
/// The first version of JoinGroup whose members are told an id and come back with it.
pub const KNOWN_IDS: i16 = 4;

pub const SCRIPTS: &[Script] = &[
    Script::new("JoinGroup", "a second member", a_second_member),
    Script::new("SyncGroup", "a second member", a_second_member),
    Script::new("Heartbeat", "a second member", a_second_member),
    Script::new("OffsetCommit", "a second member", a_second_member),
    Script::new("LeaveGroup", "a second member", a_second_member),
    Script::new("JoinGroup", "a member that does not come back", a_member_stays_away).since(1),
    Script::new("SyncGroup", "a leader that leaves while others wait", the_leader_leaves),
    Script::new("LeaveGroup", "a leader that leaves while others wait", the_leader_leaves),
    Script::new("JoinGroup", "protocols of two members", protocols_of_two).since(KNOWN_IDS),
    Script::new("JoinGroup", "static members are replaced", static_members).since(5),
    Script::new("SyncGroup", "static members are replaced", static_members),
    Script::new("Heartbeat", "static members are replaced", static_members),
    Script::new("OffsetCommit", "static members are replaced", static_members),
    Script::new("LeaveGroup", "static members are replaced", static_members),
];

/// Sends requests of one group, each at the version that the run has for it.
pub struct Group<'s, 'p> {
    /// The run.
    pub s: &'s mut Session<'p>,
    /// The group's name.
    pub name: String,
    topic: String,
}

impl<'s, 'p> Group<'s, 'p> {
    /// A group that does not exist yet.
    pub fn new(s: &'s mut Session<'p>, topic: &str) -> Group<'s, 'p> {
        let (name, topic) = (s.name("g"), topic.to_owned());
        Group { s, name, topic }
    }

    /// The version of an API of classic groups in this run.
    pub fn version(&self, api: &str) -> i16 {
        let newest = match api {
            "JoinGroup" => JOIN,
            "SyncGroup" => SYNC,
            "Heartbeat" => HEARTBEAT,
            "LeaveGroup" => LEAVE,
            "OffsetCommit" => COMMIT,
            other => panic!("{other} is not about members of classic groups"),
        };
        self.s.version_of(api, newest)
    }

    /// A JoinGroup that is answered at once.
    pub fn join(&mut self, step: &str, body: Value) {
        let version = self.version("JoinGroup");
        self.s.call_api(step, "JoinGroup", version, body);
    }

    /// A JoinGroup that is not.
    pub fn park_join(&mut self, step: &str, body: Value) -> Waiting {
        let version = self.version("JoinGroup");
        self.s.park(step, "JoinGroup", version, body)
    }

    /// A member without a name joins a group that has no others: the `$member` of this number.
    pub fn enter(&mut self, body: &Value, number: usize) {
        self.join("first join", body.clone());
        if self.version("JoinGroup") >= KNOWN_IDS {
            self.join("first join with the id", with(body.clone(), member(number)));
        }
    }

    /// One more joins, and waits for the others.
    pub fn park_newcomer(&mut self, body: &Value, number: usize) -> Waiting {
        if self.version("JoinGroup") < KNOWN_IDS {
            return self.park_join("a further join", body.clone());
        }
        self.join("a further join", body.clone());
        self.park_join("a further join with the id", with(body.clone(), member(number)))
    }

    /// A SyncGroup that is answered at once.
    pub fn sync(&mut self, step: &str, generation: i32, member: &str, assignments: &[(&str, &[u8])]) {
        let version = self.version("SyncGroup");
        let body = syncing(self.name.as_str(), generation, member, assignments);
        self.s.call_api(step, "SyncGroup", version, body);
    }

    /// A SyncGroup of a follower, which waits for the leader.
    pub fn park_sync(&mut self, generation: i32, member: &str) -> Waiting {
        let version = self.version("SyncGroup");
        let body = syncing(self.name.as_str(), generation, member, &[]);
        self.s.park("a follower's sync", "SyncGroup", version, body)
    }

    /// A Heartbeat.
    pub fn beat(&mut self, step: &str, generation: i32, member: &str) {
        let version = self.version("Heartbeat");
        let body = beating(self.name.as_str(), generation, member);
        self.s.call_api(step, "Heartbeat", version, body);
    }

    /// A commit of one partition.
    pub fn commit(&mut self, step: &str, generation: i32, member: &str, other: Value) {
        let version = self.version("OffsetCommit");
        let partitions = json!([{"PartitionIndex": 0, "CommittedOffset": 1, "CommittedMetadata": ""}]);
        let body = json!({
            "GroupId": self.name,
            "GenerationIdOrMemberEpoch": generation,
            "MemberId": member,
            "Topics": [{"Name": self.topic, "TopicId": self.s.id(&self.topic), "Partitions": partitions}],
        });
        self.s.call_api(step, "OffsetCommit", version, with(body, other));
    }

    /// A LeaveGroup of these, each an id and the name of a static member; below version 3 of the first by its id.
    pub fn leave(&mut self, step: &str, members: &[(&str, Option<&str>)]) {
        let version = self.version("LeaveGroup");
        let list: Vec<Value> = members
            .iter()
            .map(|(id, name)| json!({"MemberId": id, "GroupInstanceId": name}))
            .collect();
        let body = json!({"GroupId": self.name, "MemberId": members[0].0, "Members": list});
        self.s.call_api(step, "LeaveGroup", version, body);
    }

    /// DescribeGroups.
    pub fn describe(&mut self) {
        let name = self.name.clone();
        describe(self.s, &name);
    }

    /// Each generation around the right one, and members that are none, with the requests that name both.
    fn probe(&mut self, state: &str, generation: i32, id: &str) {
        let cases = [
            (generation, id),
            (generation - 1, id),
            (generation + 1, id),
            (-1, id),
            (generation, "m"),
            (generation, ""),
            (-1, ""),
        ];
        for (asked, id) in cases {
            let step = format!("{state}, generation {asked} of {generation}, member {id:?}");
            self.beat(&step, asked, id);
            self.commit(&step, asked, id, json!({}));
        }
        // The right one would wait, or end the rebalance.
        for (asked, id) in &cases[1..] {
            let step = format!("{state}, generation {asked} of {generation}, member {id:?}");
            self.sync(&step, *asked, id, &[]);
        }
    }
}

/// The id of the `$member` of this number, for a JoinGroup.
fn member(number: usize) -> Value {
    json!({"MemberId": format!("$member{number}")})
}

fn start<'s, 'p>(s: &'s mut Session<'p>) -> Group<'s, 'p> {
    s.ready_for_groups();
    let topic = s.topic("t", 2);
    Group::new(s, &topic)
}

/// A group of one is joined by another; both are asked everything in each state of the rebalance; the leader leaves, then the other.
fn a_second_member(s: &mut Session) {
    let mut g = start(s);
    let body = joining(g.name.as_str(), "");
    g.enter(&body, 1);
    g.sync("alone", 1, "$member1", &[("$member1", b"all")]);
    let second = g.park_newcomer(&body, 2);
    let name = g.name.clone();
    g.s.await_group(&name, "PreparingRebalance", 2);
    g.s.check_waits(&second);
    g.describe();
    g.probe("the leader is awaited", 1, "$member1");
    g.sync("the leader is awaited", 1, "$member1", &[]);
    g.s.check_waits(&second);

    let first = g.park_join("the leader comes back", with(body.clone(), member(1)));
    g.s.reply(second);
    g.s.reply(first);
    g.describe();
    g.probe("the assignment is awaited", 2, "$member1");
    g.beat("the follower", 2, "$member2");
    g.commit("the follower", 2, "$member2", json!({}));
    let follower = g.park_sync(2, "$member2");
    g.s.check_waits(&follower);
    g.sync(
        "the leader",
        2,
        "$member1",
        &[("$member2", b"second"), ("$member1", b"first")],
    );
    g.s.reply(follower);
    g.sync("the follower again", 2, "$member2", &[]);
    g.describe();
    g.probe("stable", 2, "$member2");

    g.join("a follower with the same subscription", with(body.clone(), member(2)));
    g.leave("the leader leaves", &[("$member1", None)]);
    g.describe();
    g.probe("the follower is awaited", 2, "$member2");
    g.probe("one that left", 2, "$member1");
    g.join("the follower comes back", with(body.clone(), member(2)));
    g.sync("the new leader", 3, "$member2", &[("$member2", b"all")]);
    g.describe();
    g.leave("the last leaves", &[("$member2", None)]);
    g.describe();
    g.probe("empty", 3, "$member2");
}

/// Who does not come back within the rebalance timeout is out.
fn a_member_stays_away(s: &mut Session) {
    let mut g = start(s);
    let body = with(joining(g.name.as_str(), ""), json!({"RebalanceTimeoutMs": 5_000}));
    g.enter(&body, 1);
    g.sync("alone", 1, "$member1", &[]);
    let second = g.park_newcomer(&body, 2);
    g.s.reply(second);
    g.describe();
    g.beat("the one that stayed away", 1, "$member1");
    g.join("it comes back with its old id", with(body, member(1)));
    g.sync("the other", 2, "$member2", &[("$member2", b"all")]);
    g.describe();
}

/// Followers wait for the assignment of a leader that leaves instead.
fn the_leader_leaves(s: &mut Session) {
    let mut g = start(s);
    let body = joining(g.name.as_str(), "");
    g.enter(&body, 1);
    g.sync("alone", 1, "$member1", &[]);
    let second = g.park_newcomer(&body, 2);
    let name = g.name.clone();
    g.s.await_group(&name, "PreparingRebalance", 2);
    let first = g.park_join("the leader comes back", with(body.clone(), member(1)));
    g.s.reply(second);
    g.s.reply(first);
    let follower = g.park_sync(2, "$member2");
    g.leave("the leader leaves", &[("$member1", None)]);
    g.s.reply(follower);
    g.describe();
    g.beat("the follower", 2, "$member2");
    g.join("the follower comes back", with(body, member(2)));
    g.sync("the new leader", 3, "$member2", &[("$member2", b"all")]);
    g.describe();
}

/// Two members choose among what both know, and a third that shares nothing with them is not let in.
fn protocols_of_two(s: &mut Session) {
    let mut g = start(s);
    let knowing = |group: &str, names: &[&str]| {
        let metadata = bytes(&subscription(&[], b""));
        let list: Vec<Value> = names.iter().map(|name| json!({"Name": name, "Metadata": metadata})).collect();
        with(joining(group, ""), json!({"Protocols": list}))
    };
    let name = g.name.clone();
    let (body, other) = (knowing(&name, &["a", "b", "c"]), knowing(&name, &["c", "b"]));
    g.enter(&body, 1);
    let version = g.version("SyncGroup");
    let sync = with(syncing(name.as_str(), 1, "$member1", &[]), json!({"ProtocolName": "a"}));
    g.s.call_api("alone", "SyncGroup", version, sync);
    let second = g.park_newcomer(&other, 2);
    g.s.await_group(&name, "PreparingRebalance", 2);
    g.join("nothing in common", knowing(&name, &["d"]));
    g.join("another type", with(body.clone(), json!({"ProtocolType": "connect"})));
    let first = g.park_join("the leader comes back", with(body, member(1)));
    g.s.reply(second);
    g.s.reply(first);
    g.describe();
    g.leave("both leave", &[("$member2", None), ("$member1", None)]);
    g.describe();
}

/// Static members are replaced in a stable group and in a rebalance; the old ones are fenced wherever they come; all leave by name.
fn static_members(s: &mut Session) {
    let mut g = start(s);
    let name = g.name.clone();
    let fixed = |id: &str, instance: &str| with(joining(name.as_str(), id), json!({"GroupInstanceId": instance}));
    g.join("first", fixed("", "i"));
    g.sync("alone", 1, "$member1", &[("$member1", b"all")]);
    let second = g.park_join("second", fixed("", "j"));
    g.s.await_group(&name, "PreparingRebalance", 2);
    g.s.check_waits(&second);
    let first = g.park_join("the leader comes back", fixed("$member1", "i"));
    g.s.reply(second);
    g.s.reply(first);
    let follower = g.park_sync(2, "$member2");
    g.sync(
        "the leader",
        2,
        "$member1",
        &[("$member1", b"first"), ("$member2", b"second")],
    );
    g.s.reply(follower);
    g.describe();

    g.join("the follower is replaced", fixed("", "j"));
    g.describe();
    for id in ["$member2", "$member3", "m", ""] {
        for instance in ["j", "i", "unknown"] {
            fenced_or_not(&mut g, id, instance);
        }
    }
    g.join("the old one joins", fixed("$member2", "j"));
    g.join("the leader is replaced", fixed("", "i"));
    g.describe();
    fenced_or_not(&mut g, "$member1", "i");
    fenced_or_not(&mut g, "$member4", "i");

    let leader = g.park_join("the leader begins a rebalance", fixed("$member4", "i"));
    g.s.await_group(&name, "PreparingRebalance", 2);
    g.s.check_waits(&leader);
    let replacement = g.park_join("the leader is replaced while it waits", fixed("", "i"));
    g.s.reply(leader);
    fenced_or_not(&mut g, "$member3", "j");
    let follower = g.park_join("the follower comes back", fixed("$member3", "j"));
    g.s.reply(replacement);
    g.s.reply(follower);
    g.describe();
    g.leave(
        "by name",
        &[
            ("", Some("i")),
            ("", Some("unknown")),
            ("$member2", Some("j")),
            ("$member3", Some("j")),
            ("", Some("j")),
        ],
    );
    g.describe();
}

/// Requests of a static member under this id and name, none of which changes the group.
fn fenced_or_not(g: &mut Group, id: &str, instance: &str) {
    let step = format!("{id:?} as {instance:?}");
    let named = || json!({"GroupInstanceId": instance});
    let version = g.version("Heartbeat");
    let body = with(beating(g.name.as_str(), 2, id), named());
    g.s.call_api(&step, "Heartbeat", version, body);
    g.commit(&step, 2, id, named());
    let version = g.version("SyncGroup");
    let body = with(syncing(g.name.as_str(), 2, id, &[]), named());
    g.s.call_api(&step, "SyncGroup", version, body);
}
