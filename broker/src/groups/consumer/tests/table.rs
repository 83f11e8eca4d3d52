//! Every situation of a member against every kind of request. The table's type has a column for each situation and a row for each request, so
//! that none can be missing.

use super::*;

/// Where the member `m` is, in a group with a member `x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Situation {
    /// It is not there.
    Absent,
    /// It is not there, and there is no room.
    Full,
    /// [`MemberState::Stable`], with an epoch before.
    Stable,
    /// [`MemberState::UnrevokedPartitions`].
    Unrevoked,
    /// [`MemberState::UnreleasedPartitions`].
    Unreleased,
    /// Stable, with instance id `i`.
    Static,
    /// Static, gone with epoch -2.
    Away,
    /// Static, away, and `n` took its place.
    Replaced,
}

use Situation::{Absent, Away, Full, Replaced, Stable, Static, Unreleased, Unrevoked};

const SITUATIONS: [Situation; 8] = [Absent, Full, Stable, Unrevoked, Unreleased, Static, Away, Replaced];

/// What a request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Accepted, with an assignment.
    Told,
    /// Accepted, without one.
    Same,
    /// Accepted, with the epoch of the request.
    Left,
    /// Refused, and nothing changed.
    No(ResponseError),
}

use Answer::{Left, No, Same, Told};

const UNKNOWN: Answer = No(ResponseError::UnknownMemberId);
const EPOCH: Answer = No(ResponseError::FencedMemberEpoch);
const FENCED: Answer = No(ResponseError::FencedInstanceId);
const IN_USE: Answer = No(ResponseError::UnreleasedInstanceId);
const NO_ROOM: Answer = No(ResponseError::GroupMaxSizeReached);
const INVALID: Answer = No(ResponseError::InvalidRequest);
const ASSIGNOR: Answer = No(ResponseError::UnsupportedAssignor);
const REGEX: Answer = No(ResponseError::InvalidRegularExpression);

/// What a request may refer to.
struct Known {
    epoch: i32,
    previous: i32,
    assigned: Partitions,
    held: Partitions,
}

type Row = (&'static str, fn(&Known) -> HeartbeatRequest, [Answer; SITUATIONS.len()]);

#[rustfmt::skip]
const TABLE: [Row; 25] = [
    //                                                                        Absent   Full     Stable   Unrevoked Unreleased Static Away   Replaced
    ("joins", |_| join("m", &["a"]),                                          [Told,    NO_ROOM, Told,    Told,    Told,    Told,    Told,    Told]),
    ("joins as i", |_| join("m", &["a"]).instance("i"),                       [Told,    NO_ROOM, INVALID, INVALID, INVALID, Told,    Told,    IN_USE]),
    ("n joins as i", |_| join("n", &["a"]).instance("i"),                     [Told,    NO_ROOM, Told,    Told,    Told,    IN_USE,  Told,    Told]),
    ("joins with the id of the server", |_| version_0(join("", &["a"])),      [Told,    NO_ROOM, Told,    Told,    Told,    Told,    Told,    Told]),
    ("joins with a wrong expression", |_| join("m", &["a"]).regex("("),       [REGEX,   NO_ROOM, REGEX,   REGEX,   REGEX,   REGEX,   REGEX,   REGEX]),
    ("joins with an unknown assignor", |_| assignor(join("m", &["a"])),       [ASSIGNOR; 8]),
    ("joins without a timeout", |_| beat("m", 0).owning(&Partitions::new()),  [INVALID; 8]),
    ("beats", |known| beat("m", known.epoch),                                 [UNKNOWN, NO_ROOM, Same,    Same,    Same,    Same,    EPOCH,   UNKNOWN]),
    ("beats and says all", says_all,                                          [UNKNOWN, NO_ROOM, Told,    Told,    Told,    Told,    EPOCH,   UNKNOWN]),
    ("beats as i", |known| beat("m", known.epoch).instance("i"),              [UNKNOWN, NO_ROOM, UNKNOWN, UNKNOWN, UNKNOWN, Same,    EPOCH,   FENCED]),
    ("beats as j", |known| beat("m", known.epoch).instance("j"),              [UNKNOWN, NO_ROOM, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN]),
    ("beats ahead", |known| beat("m", known.epoch + 1),                       [UNKNOWN, NO_ROOM, EPOCH,   EPOCH,   EPOCH,   EPOCH,   EPOCH,   UNKNOWN]),
    ("retries", |known| beat("m", known.previous).owning(&known.assigned),    [UNKNOWN, NO_ROOM, Same,    Same,    INVALID, Same,    EPOCH,   UNKNOWN]),
    ("retries, silent", |known| beat("m", known.previous),                    [UNKNOWN, NO_ROOM, EPOCH,   Same,    INVALID, EPOCH,   EPOCH,   UNKNOWN]),
    ("retries with others' partitions", |known| beat("m", known.previous).owning(&others()),
                                                                              [UNKNOWN, NO_ROOM, EPOCH,   Same,    INVALID, EPOCH,   EPOCH,   UNKNOWN]),
    ("beats long behind", |_| beat("m", 1).owning(&Partitions::new()),        [UNKNOWN, NO_ROOM, EPOCH,   EPOCH,   EPOCH,   EPOCH,   EPOCH,   UNKNOWN]),
    ("leaves", |_| beat("m", -1),                                             [UNKNOWN, UNKNOWN, Left,    Left,    Left,    Left,    Left,    UNKNOWN]),
    ("leaves as i", |_| beat("m", -1).instance("i"),                          [UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, Left,    Left,    FENCED]),
    ("goes away as i", |_| beat("m", -2).instance("i"),                       [UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, Left,    Left,    FENCED]),
    ("goes away", |_| beat("m", -2),                                          [INVALID; 8]),
    ("has a wrong epoch", |_| beat("m", -3),                                  [INVALID; 8]),
    ("has no id", |known| beat(" ", known.epoch),                             [INVALID; 8]),
    ("has no id in version 0", |known| version_0(beat("", known.epoch)),      [INVALID; 8]),
    ("has an empty instance id", |known| beat("m", known.epoch).instance(""), [INVALID; 8]),
    ("has an empty rack", |known| rack(beat("m", known.epoch)),               [INVALID; 8]),
];

fn version_0(mut request: HeartbeatRequest) -> HeartbeatRequest {
    request.version = 0;
    request
}

fn assignor(mut request: HeartbeatRequest) -> HeartbeatRequest {
    request.server_assignor = Some("other".to_owned());
    request
}

fn rack(mut request: HeartbeatRequest) -> HeartbeatRequest {
    request.rack_id = Some(String::new());
    request
}

fn says_all(known: &Known) -> HeartbeatRequest {
    let mut request = join("m", &["a"]).owning(&known.held);
    request.member_epoch = known.epoch;
    request
}

fn others() -> Partitions {
    Partitions::from([(Uuid::from_u128(99), [0].into())])
}

fn build(situation: Situation) -> (Script, Known) {
    let mut script = Script::new(&[("a", 2)]);
    let is_static = matches!(situation, Static | Away | Replaced);
    let first = if is_static {
        join("m", &["a"]).instance("i")
    } else {
        join("m", &["a"])
    };
    if !matches!(situation, Absent | Full | Unreleased) {
        script.accepted(first.clone());
    }
    script.accepted(join("x", &["a"]));
    match situation {
        Absent => {}
        Full => script.settings.max_size = 1,
        Unreleased => drop(script.accepted(first)),
        _ => {
            let both = script.topics.partitions(&[("a", &[0, 1])]);
            let kept = script.accepted(beat("m", 2).owning(&both)).1.unwrap();
            if situation != Unrevoked {
                script.accepted(beat("m", 2).owning(&kept));
            }
        }
    }
    let known = known(&script);
    if matches!(situation, Away | Replaced) {
        script.accepted(beat("m", -2).instance("i"));
    }
    if situation == Replaced {
        script.accepted(join("n", &["a"]).instance("i"));
    }
    (script, known)
}

fn known(script: &Script) -> Known {
    let Some(member) = script.group.members.get("m").map(|member| &member.stored) else {
        return Known {
            epoch: 3,
            previous: 2,
            assigned: Partitions::new(),
            held: Partitions::new(),
        };
    };
    let mut held = Partitions::new();
    for (topic, partition) in member.held() {
        held.entry(topic).or_default().insert(partition);
    }
    Known {
        epoch: member.member_epoch,
        previous: member.previous_member_epoch,
        assigned: member
            .assigned
            .iter()
            .map(|(topic, partitions)| (*topic, partitions.keys().copied().collect()))
            .collect(),
        held,
    }
}

fn answer(script: &mut Script, request: HeartbeatRequest) -> Answer {
    let epoch = request.member_epoch;
    let before = script.group.describe(&script.settings, &script.topics);
    match script.ask(request) {
        Ok(heartbeat) if epoch < 0 => {
            assert_eq!(
                (heartbeat.member_epoch, heartbeat.heartbeat_interval_ms, heartbeat.assignment),
                (epoch, 0, None)
            );
            Left
        }
        Ok(heartbeat) => {
            assert!(heartbeat.member_epoch > 0 && heartbeat.heartbeat_interval_ms == 5000);
            heartbeat.assignment.map_or(Same, |_| Told)
        }
        Err(error) => {
            assert_eq!(script.group.describe(&script.settings, &script.topics), before);
            No(error.code())
        }
    }
}

/// Each request in each situation gets Kafka's answer, and a refusal changes nothing.
#[test]
fn every_request_in_every_situation() {
    for (column, situation) in SITUATIONS.into_iter().enumerate() {
        for (name, request, answers) in &TABLE {
            let (mut script, known) = build(situation);
            let request = request(&known);
            assert_eq!(answer(&mut script, request), answers[column], "{situation:?} {name}");
        }
    }
}

/// The situations are what they are called.
#[test]
fn the_situations_are_what_they_are_called() {
    let state = |situation| {
        let (script, _) = build(situation);
        script.group.members.get("m").map(|member| {
            (
                member.stored.state,
                member.stored.member_epoch,
                member.stored.instance_id.is_some(),
            )
        })
    };
    let expected = [
        (Absent, None),
        (Full, None),
        (Stable, Some((MemberState::Stable, 3, false))),
        (Unrevoked, Some((MemberState::UnrevokedPartitions, 2, false))),
        (Unreleased, Some((MemberState::UnreleasedPartitions, 3, false))),
        (Static, Some((MemberState::Stable, 3, true))),
        (Away, Some((MemberState::Stable, -2, true))),
        (Replaced, None),
    ];
    assert_eq!(expected.map(|(situation, _)| situation), SITUATIONS);
    for (situation, expected) in expected {
        assert_eq!(state(situation), expected, "{situation:?}");
    }
}

/// Of several things that are wrong with a request the first in Kafka's order is told.
#[test]
fn the_first_error_counts() {
    let settings = ConsumerSettings::default();
    let text = |group_id: &str, request: &HeartbeatRequest| check_request(&settings, group_id, request).unwrap_err().to_string();
    let mut request = assignor(rack(beat("", 0).instance("")));
    assert_eq!(text("", &request), "MemberId can't be empty.");
    request.member_id = "m".to_owned();
    assert_eq!(text(" ", &request), "GroupId can't be empty.");
    assert_eq!(text("g", &request), "InstanceId can't be empty.");
    request.instance_id = None;
    assert_eq!(text("g", &request), "RackId can't be empty.");
    request.rack_id = None;
    assert_eq!(text("g", &request), "RebalanceTimeoutMs must be provided in first request.");
    request.rebalance_timeout_ms = 1;
    assert_eq!(text("g", &request), "TopicPartitions must be empty when (re-)joining.");
    request.owned = Some(others());
    assert_eq!(text("g", &request), "TopicPartitions must be empty when (re-)joining.");
    request.owned = Some(Partitions::new());
    assert_eq!(
        text("g", &request),
        "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining."
    );
    request.subscribed_topic_regex = Some(String::new());
    assert_eq!(
        text("g", &request),
        "ServerAssignor other is not supported. Supported assignors: uniform, range."
    );
    request.server_assignor = None;
    assert_eq!(check_request(&settings, "g", &request), Ok(()));
    assert_eq!(text("g", &beat("m", -2)), "InstanceId can't be null.");
    assert_eq!(text("g", &beat("m", -3)), "MemberEpoch is invalid.");
}
