//! FindCoordinator: coordinators of groups, and keys that have none.

use crate::allowed::Exception;
use crate::script::Script;
use serde_json::{json, Value};

const GROUPS_ONLY: &[Exception] = &[
    Exception::intended("**FindCoordinator**", "Coordinators"),
    Exception::intended("**FindCoordinator**", "ErrorCode"),
    Exception::intended("**FindCoordinator**", "ErrorMessage"),
];

/// Up to version 3, whose one coordinator is the response itself.
const NO_TRANSACTIONS: &[Exception] = &[
    Exception::intended("**FindCoordinator**", "Coordinators"),
    Exception::intended("**FindCoordinator**", "ErrorCode"),
    Exception::intended("**FindCoordinator**", "ErrorMessage"),
    Exception::intended("**FindCoordinator**", "NodeId"),
    Exception::intended("**FindCoordinator**", "Host"),
    Exception::intended("**FindCoordinator**", "Port"),
];

const WORDS: &[Exception] = &[
    Exception::intended("**FindCoordinator**", "Coordinators[].ErrorMessage"),
    Exception::intended("**FindCoordinator**", "ErrorMessage"),
];

pub const SCRIPTS: &[Script] = &[
    Script::new("FindCoordinator", "groups", |s| {
        s.ready_for_groups();
        for key in ["g", "", "a b", "ä"] {
            s.call(&format!("{key:?}"), asking(&[key], 0));
        }
        s.call("two", asking(&["g", "h"], 0));
        s.call("twice", asking(&["g", "g"], 0));
        s.call("none", asking(&[], 0));
        s.call("null", json!({"Key": null, "CoordinatorKeys": null}));
    }),
    Script::new("FindCoordinator", "other types", |s| {
        for kind in [3, -1, i8::MAX] {
            s.except(WORDS).call(&format!("type {kind}"), asking(&["k"], kind));
            if s.version >= 4 {
                s.call(&format!("type {kind}, none"), asking(&[], kind));
            }
        }
        s.kafka_ready_for_transactions();
        s.except(NO_TRANSACTIONS).call("transactions", asking(&["k"], 1));
        s.except(GROUPS_ONLY).call("share groups", asking(&["k"], 2));
    })
    .since(1),
];

fn asking(keys: &[&str], kind: i8) -> Value {
    json!({"Key": keys.first(), "CoordinatorKeys": keys, "KeyType": kind})
}
