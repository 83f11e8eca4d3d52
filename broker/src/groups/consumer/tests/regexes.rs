//! Subscriptions by regular expression.

use super::*;
use crate::limits;

fn by_regex(member_id: &str, regex: &str) -> HeartbeatRequest {
    let mut request = join(member_id, &[]).regex(regex);
    request.subscribed_topic_names = None;
    request
}

/// An expression is resolved at the join and, after topics were created, at a heartbeat once the refresh is due.
#[test]
fn topics_that_match_are_assigned() {
    let mut script = Script::new(&[("orders", 1), ("orders-eu", 1), ("bills", 1)]);
    assert_eq!(
        script.accepted(by_regex("m1", "orders.*")),
        (2, script.of(&[("orders", &[0]), ("orders-eu", &[0])]))
    );
    assert!(script.group.is_subscribed_to("orders-eu") && !script.group.is_subscribed_to("bills"));
    script.topics.set("orders-us", 1);
    assert_eq!(script.accepted(beat("m1", 2)), (2, None));
    script.sleep(limits::REGEX_REFRESH_INTERVAL);
    let all = script.of(&[("orders", &[0]), ("orders-eu", &[0]), ("orders-us", &[0])]);
    assert_eq!(script.accepted(beat("m1", 2)), (3, all));
    script.topics.set("bills-eu", 1);
    script.sleep(limits::REGEX_REFRESH_INTERVAL);
    assert_eq!(script.accepted(beat("m1", 3)), (3, None), "nothing that matters");
    let mut other = beat("m1", 3);
    other.subscribed_topic_regex = Some(String::new());
    script.accepted(other);
    assert!(!script.group.is_subscribed_to("orders"));
}

/// A topic that is subscribed to through an expression only may grow, and be deleted and made anew.
#[test]
fn topics_that_match_may_change() {
    let mut script = Script::new(&[("a", 1)]);
    script.accepted(by_regex("m1", "a"));
    script.topics.set("a", 2);
    assert_eq!(script.accepted(beat("m1", 2)), (3, script.of(&[("a", &[0, 1])])));
    script.topics.delete("a");
    script.topics.set("a", 1);
    let (epoch, assignment) = script.accepted(beat("m1", 3).owning(&Partitions::new()));
    assert_eq!((epoch, assignment), (4, script.of(&[("a", &[0])])));
}

/// Names and an expression of one member are one subscription.
#[test]
fn names_and_an_expression_add_up() {
    let mut script = Script::new(&[("a", 1), ("b1", 1), ("b2", 1)]);
    assert_eq!(
        script.accepted(join("m1", &["a", "b1"]).regex("b.")),
        (2, script.of(&[("a", &[0]), ("b1", &[0]), ("b2", &[0])]))
    );
    script.topics.delete("b2");
    let owned = script.topics.partitions(&[("a", &[0]), ("b1", &[0])]);
    assert_eq!(
        script.accepted(beat("m1", 2).owning(&owned)),
        (3, Some(owned)),
        "a deleted topic is noticed before the refresh"
    );
}

/// A refused expression changes nothing, not even for a static member that comes back.
#[test]
fn a_wrong_expression_is_refused() {
    let mut script = Script::new(&[("a", 1)]);
    assert_eq!(script.refused(by_regex("m1", "(")), ResponseError::InvalidRegularExpression);
    assert!(script.group.is_unwritten());
    script.accepted(join("m1", &["a"]).instance("i1"));
    script.accepted(beat("m1", LEAVE_STATIC_EPOCH).instance("i1"));
    let before = script.member("m1").clone();
    assert_eq!(
        script.refused(by_regex("m2", "(").instance("i1")),
        ResponseError::InvalidRegularExpression
    );
    assert_eq!((script.member("m1"), script.group.members.len()), (&before, 1));
}

/// The group's different expressions are counted; one that nobody uses any more makes room.
#[test]
fn a_group_has_a_limited_number_of_expressions() {
    let mut script = Script::new(&[("a", 1)]);
    for number in 0..limits::REGEXES_PER_GROUP {
        script.accepted(by_regex(&format!("m{number}"), &format!("a{number}")));
    }
    assert_eq!(
        script.refused(by_regex("other", "b")),
        ResponseError::InvalidRegularExpression
    );
    script.accepted(by_regex("other", "a0"));
    let epoch = script.member("m1").member_epoch;
    assert_eq!(
        script.refused(by_regex("m0", "b")),
        ResponseError::InvalidRegularExpression,
        "other uses a0 too"
    );
    script.accepted(by_regex("m1", "b"));
    assert!(script.member("m1").member_epoch > epoch);
    script.accepted(beat("m2", LEAVE_EPOCH));
    script.accepted(by_regex("m0", "c"));
}

/// A restored group knows what its expressions match before anybody is heard of.
#[test]
fn a_restored_group_resolves_its_expressions() {
    let mut script = Script::new(&[("a", 1)]);
    script.accepted(by_regex("m1", "a.*"));
    let stored = StoredConsumerGroup {
        group: script.group.group,
        members: vec![script.member("m1").clone()],
    };
    script.topics.set("ab", 1);
    script.group = ConsumerGroup::restore("group", stored, &script.settings, &script.topics, script.now);
    assert!(script.group.is_subscribed_to("ab"));
    assert_eq!(script.accepted(beat("m1", 2)), (3, script.of(&[("a", &[0]), ("ab", &[0])])));
}
