//! ApiVersions: what is advertised, and names of clients.

use crate::script::Script;
use serde_json::json;

pub const SCRIPTS: &[Script] = &[
    Script::new("ApiVersions", "advertised", |s| {
        s.call(
            "answer",
            json!({"ClientSoftwareName": "differential", "ClientSoftwareVersion": "1.0"}),
        );
    }),
    Script::new("ApiVersions", "client names", |s| {
        for (name, version) in [
            ("", "1"),
            ("a", ""),
            ("", ""),
            ("-a", "1"),
            ("a-", "1"),
            ("a", "1-"),
            ("a b", "1"),
            ("a.b-c", "1.2-3"),
            ("ä", "1"),
            ("a", "1_2"),
            ("A9", "9Z"),
        ] {
            let step = format!("name {name:?} version {version:?}");
            s.call(&step, json!({"ClientSoftwareName": name, "ClientSoftwareVersion": version}));
        }
    }),
];
