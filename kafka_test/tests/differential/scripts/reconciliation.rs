//! Groups of KIP-848 with several members: a partition is handed over only after its owner has let go of it, members are fenced by
//! their epochs, leave for good or for a while. Each script runs at every version of each API that takes part.
//!
//! A group gets a new target assignment once a second at most, so that one that has just got one learns of a further member later: what
//! depends on that is asked until it has come ([`Session::call_until`]). A new group is in epoch 1, its first member in epoch 2. The range assignor goes by the names of members, which scripts choose.

use crate::allowed::Exception;
use crate::script::{Script, Session};
use crate::scripts::consumer_groups::{beating, joining};
use crate::scripts::groups::with;
use crate::scripts::rebalances::COMMIT;
use serde_json::{json, Value};

/// The newest version of ConsumerGroupHeartbeat.
pub const BEAT: i16 = 1;
const DESCRIBE: i16 = 1;
const FETCH: i16 = 10;
/// The first versions of OffsetCommit and OffsetFetch that know epochs of members.
const EPOCHS: i16 = 9;

const AGAIN: &[Exception] = &[
    again("Assignment"),
    again("ErrorCode"),
    again("ErrorMessage"),
    again("HeartbeatIntervalMs"),
    again("MemberEpoch"),
    again("MemberId"),
];

const fn again(field: &'static str) -> Exception {
    Exception::intended("**A static member that joins again**", field)
}

pub const SCRIPTS: &[Script] = &[
    Script::new("ConsumerGroupHeartbeat", "three members", three_members),
    Script::new("ConsumerGroupDescribe", "three members", three_members),
    Script::new("OffsetCommit", "members of a consumer group", offsets).since(EPOCHS),
    Script::new("OffsetFetch", "members of a consumer group", offsets).since(EPOCHS),
    Script::new("ConsumerGroupHeartbeat", "static members", static_members),
    Script::new("ConsumerGroupDescribe", "static members", static_members),
    Script::new(
        "ConsumerGroupHeartbeat",
        "an owner that does not let go",
        an_owner_keeps_its_partitions,
    ),
];

/// Sends requests of one group, each at the version that the run has for it.
pub struct Group<'s, 'p> {
    /// The run.
    pub s: &'s mut Session<'p>,
    /// The group's name.
    pub name: String,
    /// The topic that its members read.
    pub topic: String,
}

impl<'s, 'p> Group<'s, 'p> {
    /// A group that does not exist yet, and a topic of so many partitions.
    pub fn new(s: &'s mut Session<'p>, partitions: i32) -> Group<'s, 'p> {
        s.ready_for_groups();
        let (name, topic) = (s.name("g"), s.topic_for_members("t", partitions));
        Group { s, name, topic }
    }

    /// The heartbeat with which a member joins, or says all.
    pub fn joining(&self, member: &str) -> Value {
        with(
            joining(self.name.as_str(), member, &self.topic),
            json!({"ServerAssignor": "range"}),
        )
    }

    /// A heartbeat that says what the member owns.
    pub fn owning(&self, member: &str, epoch: i32, partitions: &[i32]) -> Value {
        let owned = match partitions {
            [] => json!([]),
            _ => json!([{"TopicId": self.s.id(&self.topic), "Partitions": partitions}]),
        };
        with(self.beating(member, epoch), json!({"TopicPartitions": owned}))
    }

    /// A heartbeat that says nothing.
    pub fn beating(&self, member: &str, epoch: i32) -> Value {
        beating(self.name.as_str(), member, epoch)
    }

    /// One heartbeat.
    pub fn beat(&mut self, step: &str, body: Value) {
        let version = self.s.version_of("ConsumerGroupHeartbeat", BEAT);
        self.s.call_api(step, "ConsumerGroupHeartbeat", version, body);
    }

    /// The same heartbeat until its answer is `ready`.
    pub fn beat_until(&mut self, step: &str, body: Value, ready: impl Fn(&Value) -> bool) {
        let version = self.s.version_of("ConsumerGroupHeartbeat", BEAT);
        self.s.call_until(step, "ConsumerGroupHeartbeat", version, body, ready);
    }

    /// A member joins and is in this epoch.
    pub fn enter(&mut self, member: &str, epoch: i32) {
        let body = self.joining(member);
        self.enter_with(body, epoch);
    }

    /// The same with what it says. It says all of it until it is in the epoch, so that each answer has its assignment.
    pub fn enter_with(&mut self, body: Value, epoch: i32) {
        let version = self.s.version_of("ConsumerGroupHeartbeat", BEAT);
        let step = format!("{} joins", body["MemberId"]);
        let next = |reply: &Value| match &reply["MemberEpoch"] {
            Value::Null => body.clone(),
            told => with(body.clone(), json!({"MemberEpoch": told})),
        };
        self.s
            .follow_until(&step, "ConsumerGroupHeartbeat", version, next, in_epoch(epoch));
    }

    /// ConsumerGroupDescribe.
    pub fn describe(&mut self) {
        let version = self.s.version_of("ConsumerGroupDescribe", DESCRIBE);
        let body = json!({"GroupIds": [self.name]});
        self.s.read_back("describe", "ConsumerGroupDescribe", version, body);
    }

    /// A commit of one partition.
    fn commit(&mut self, partition: i32, epoch: i32, member: &str) {
        let version = self.s.version_of("OffsetCommit", COMMIT);
        let partitions = json!([{"PartitionIndex": partition, "CommittedOffset": 1, "CommittedMetadata": ""}]);
        let body = json!({
            "GroupId": self.name,
            "GenerationIdOrMemberEpoch": epoch,
            "MemberId": member,
            "Topics": [{"Name": self.topic, "TopicId": self.s.id(&self.topic), "Partitions": partitions}],
        });
        let step = format!("commit of partition {partition} by {member:?} in epoch {epoch}");
        self.s.call_api(&step, "OffsetCommit", version, body);
    }

    fn fetch(&mut self, epoch: i32, member: &str) {
        let version = self.s.version_of("OffsetFetch", FETCH);
        let topics = json!([{"Name": self.topic, "TopicId": self.s.id(&self.topic), "PartitionIndexes": [0, 1, 2]}]);
        let body = json!({"Groups": [{"GroupId": self.name, "MemberId": member, "MemberEpoch": epoch, "Topics": topics}]});
        self.s
            .call_api(&format!("fetch by {member:?} in epoch {epoch}"), "OffsetFetch", version, body);
    }
}

/// Whether an answer is of this epoch.
pub fn in_epoch(epoch: i32) -> impl Fn(&Value) -> bool {
    move |reply| reply["MemberEpoch"] == epoch
}

/// Whether an answer has an assignment of so many partitions of one topic.
pub fn assigned(count: usize) -> impl Fn(&Value) -> bool {
    move |reply| {
        let topics = reply["Assignment"]["TopicPartitions"].as_array();
        topics.is_some_and(|topics| {
            let partitions = topics.iter().filter_map(|topic| topic["Partitions"].as_array());
            partitions.map(Vec::len).sum::<usize>() == count
        })
    }
}

/// A group grows to three and shrinks again.
fn three_members(s: &mut Session) {
    let mut g = Group::new(s, 6);
    g.enter("a", 2);
    g.beat("a owns all", g.owning("a", 2, &[0, 1, 2, 3, 4, 5]));
    g.describe();

    g.enter("b", 3);
    g.beat_until("a is to let go of half", g.beating("a", 2), assigned(3));
    g.describe();
    g.beat("b waits", g.beating("b", 3));
    g.beat("a still owns all", g.owning("a", 2, &[0, 1, 2, 3, 4, 5]));
    g.beat("a lets go of one", g.owning("a", 2, &[0, 1, 2, 4, 5]));
    g.beat("b waits on", g.beating("b", 3));
    g.beat("a has let go", g.owning("a", 2, &[0, 1, 2]));
    g.describe();
    g.beat("b gets them", g.beating("b", 3));
    g.beat("b owns them", g.owning("b", 3, &[3, 4, 5]));
    g.beat("b owns them still", g.beating("b", 3));
    g.describe();

    for (member, epoch) in [("a", 2), ("a", 4), ("b", 2), ("b", i32::MAX), ("c", 3), ("b", -2)] {
        g.beat(&format!("{member} in epoch {epoch}"), g.beating(member, epoch));
    }
    g.beat("a in its last epoch owns what it has", g.owning("a", 2, &[0, 1, 2]));
    g.beat("a in its last epoch owns more", g.owning("a", 2, &[0, 1, 2, 3]));
    g.beat("a owns too much", g.owning("a", 3, &[0, 1, 2, 3]));

    g.enter("c", 4);
    g.beat_until("a is to let go of one", g.beating("a", 3), assigned(2));
    g.beat("b is to let go of two", g.beating("b", 3));
    g.describe();
    g.beat("b has let go", g.owning("b", 3, &[3]));
    g.beat("c gets what is free", g.beating("c", 4));
    g.beat("a has let go", g.owning("a", 3, &[0, 1]));
    g.beat("b gets the rest", g.beating("b", 4));
    g.beat("c owns what it has", g.owning("c", 4, &[4, 5]));
    g.describe();

    g.beat("b leaves", g.beating("b", -1));
    g.describe();
    g.beat_until("a learns of it", g.beating("a", 4), in_epoch(5));
    g.beat_until("c learns of it", g.owning("c", 4, &[4, 5]), in_epoch(5));
    g.describe();
    g.beat("b is gone", g.beating("b", 4));
    g.beat("c leaves", g.beating("c", -1));
    g.beat("a leaves", g.beating("a", -1));
    g.describe();
}

/// Who may commit and ask for offsets, in which epochs, while partitions move.
fn offsets(s: &mut Session) {
    let mut g = Group::new(s, 3);
    g.enter("a", 2);
    g.commit(0, 2, "a");
    g.enter("b", 3);
    g.beat_until("a is to let go of one", g.beating("a", 2), assigned(2));
    let probe = |g: &mut Group| {
        for (member, epoch) in [
            ("a", 0),
            ("a", 2),
            ("a", 3),
            ("a", 4),
            ("a", -1),
            ("b", 2),
            ("b", 3),
            ("c", 3),
            ("", -1),
            ("", 3),
        ] {
            g.commit(0, epoch, member);
            g.commit(2, epoch, member);
            g.fetch(epoch, member);
        }
    };
    probe(&mut g);
    g.beat("a has let go", g.owning("a", 2, &[0, 1]));
    g.beat("b gets it", g.beating("b", 3));
    probe(&mut g);
    g.beat("a leaves", g.beating("a", -1));
    g.commit(0, 3, "a");
    g.beat("b leaves", g.beating("b", -1));
    probe(&mut g);
}

/// Static members leave for a while and come back under another id; meanwhile nobody gets what they had.
fn static_members(s: &mut Session) {
    let mut g = Group::new(s, 4);
    let named = |body: Value, name: &str| with(body, json!({"InstanceId": name}));
    g.enter_with(named(g.joining("a"), "i"), 2);
    g.enter_with(named(g.joining("b"), "j"), 3);
    g.beat_until("a is to let go of half", named(g.beating("a", 2), "i"), assigned(2));
    let body = named(g.joining("b"), "j");
    g.s.except(AGAIN);
    g.beat("b joins again", body);
    g.beat("b leaves while it waits", named(g.beating("b", -2), "j"));
    g.beat("a has let go", named(g.owning("a", 2, &[0, 1]), "i"));
    g.describe();
    g.beat("another comes for b", named(g.joining("c"), "j"));
    g.beat("it owns what b had", named(g.owning("c", 3, &[2, 3]), "j"));
    g.describe();
    g.beat("b is fenced", named(g.beating("b", 3), "j"));
    g.beat("b cannot leave", named(g.beating("b", -1), "j"));
    g.beat("one comes too early", named(g.joining("d"), "j"));

    g.beat("c leaves for a while", named(g.beating("c", -2), "j"));
    g.describe();
    g.beat("a has what it had", named(g.beating("a", 3), "i"));
    g.beat("the same id comes back", named(g.joining("c"), "j"));
    g.beat("and leaves again", named(g.beating("c", -2), "j"));
    g.beat("one without a name joins", {
        let body = g.joining("e");
        with(body, json!({"SubscribedTopicNames": []}))
    });
    g.beat("another name leaves", named(g.beating("a", -1), "j"));
    g.beat("no name leaves for a while", g.beating("e", -2));
    g.beat("a leaves for good", named(g.beating("a", -1), "i"));
    g.describe();
}

/// Who does not let go within its rebalance timeout is out, and the other gets what it had.
fn an_owner_keeps_its_partitions(s: &mut Session) {
    let mut g = Group::new(s, 2);
    let hasty = |body: Value| with(body, json!({"RebalanceTimeoutMs": 1_000}));
    g.enter_with(hasty(g.joining("a")), 2);
    g.enter("b", 3);
    g.beat_until("a is to let go of one", g.beating("a", 2), assigned(1));
    g.beat_until("b gets all when a is out", g.beating("b", 3), |reply| {
        reply["MemberEpoch"] == 4 || assigned(2)(reply)
    });
    g.beat("a", g.owning("a", 2, &[0, 1]));
    g.enter("a", 5);
}
