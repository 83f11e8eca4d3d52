//! Versions and APIs that do not exist.

use crate::script::{Script, Session};
use serde_json::json;

pub const SCRIPTS: &[Script] = &[
    Script::new("ApiVersions", "versions that do not exist", |s| {
        // Name, version and tagged fields of a client that knows more.
        let body = b"\x02a\x021\x00";
        for version in [5, 6, 100, i16::MAX, -1, i16::MIN] {
            s.call_raw(&format!("version {version}"), "ApiVersions", version, body, 0);
        }
    }),
    Script::new("ApiVersions", "versions of other APIs that do not exist", unknown_versions).since(4),
];

/// Every API that is advertised, in the versions around its range: neither server may answer.
fn unknown_versions(s: &mut Session) {
    let reply = s
        .call("advertised", json!({"ClientSoftwareName": "a", "ClientSoftwareVersion": "1"}))
        .ours
        .tree();
    for row in reply["ApiKeys"].as_array().unwrap() {
        let number = |field: &str| row[field].as_i64().unwrap() as i16;
        let name = s.api_name(number("ApiKey"));
        if name == "ApiVersions" {
            continue;
        }
        for version in [number("MinVersion") - 1, number("MaxVersion") + 1, -1, i16::MIN, i16::MAX] {
            s.call_raw(&format!("{name} {version}"), &name, version, &[0; 64], number("MaxVersion"));
        }
    }
}
