//! DescribeCluster: the broker, the controller, and types of endpoints.

use crate::script::Script;
use serde_json::json;

pub const SCRIPTS: &[Script] = &[Script::new("DescribeCluster", "answers", |s| {
    s.call("plain", json!({}));
    s.call("operations", json!({"IncludeClusterAuthorizedOperations": true}));
    for kind in [0, 1, 2, 3, -1, i8::MAX] {
        s.call(&format!("endpoint type {kind}"), json!({"EndpointType": kind}));
    }
    s.call("fenced brokers", json!({"IncludeFencedBrokers": true}));
})];
