//! ListConfigResources: kinds of resources.

use crate::script::Script;
use serde_json::json;

pub const SCRIPTS: &[Script] = &[Script::new("ListConfigResources", "kinds", |s| {
    for kinds in [
        json!([4]),
        json!([8]),
        json!([4, 8]),
        json!([16]),
        json!([32]),
        json!([3]),
        json!([4, 99]),
    ] {
        s.call(&format!("{kinds}"), json!({"ResourceTypes": kinds}));
    }
})];
