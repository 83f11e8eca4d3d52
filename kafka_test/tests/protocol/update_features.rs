//! UpdateFeatures of features that nobody knows.

use crate::code;
use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};
use kafka_protocol::protocol::StrBytes;
use kafka_test::connection::Connection;
use kafka_test::server::Server;

fn update(
    connection: &mut Connection,
    version: i16,
    update: Option<(&'static str, i16, i8)>,
    dry: bool,
) -> UpdateFeaturesResponse {
    let updates = update.map(|(feature, level, upgrade_type)| {
        let update = FeatureUpdateKey::default()
            .with_feature(StrBytes::from_static_str(feature))
            .with_max_version_level(level);
        match version {
            0 => update,
            _ => update.with_upgrade_type(upgrade_type),
        }
    });
    let mut request = UpdateFeaturesRequest::default().with_feature_updates(updates.into_iter().collect());
    if version >= 1 {
        request = request.with_validate_only(dry);
    }
    connection.call(version, &request)
}

/// Goal: an unknown feature cannot be set, lowered or removed, also not in a dry run, and the reply says why.
#[test]
fn unknown_features_are_refused() {
    let mut connection = Server::shared().connect();
    for version in 0..=2 {
        for dry in [false, true] {
            for (level, upgrade_type, reason) in [
                (1, 1, "Local controller 1 does not support this feature."),
                (0, 1, "Feature kafka.test not found."),
                (-1, 1, "A feature version cannot be less than 0."),
                (0, 2, "Feature kafka.test not found."),
                (1, 3, "Local controller 1 does not support this feature."),
                (1, 0, "The controller does not support the given upgrade type."),
                (1, 9, "The controller does not support the given upgrade type."),
            ] {
                if version == 0 && upgrade_type != 1 {
                    continue;
                }
                let reply = update(&mut connection, version, Some(("kafka.test", level, upgrade_type)), dry);
                let message = format!(
                    "The update failed for all features since the following feature had an error: Invalid update version {level} for \
                     feature kafka.test. {reason}"
                );
                assert_eq!(
                    (reply.error_code, reply.error_message.as_deref()),
                    (code::INVALID_UPDATE_VERSION, Some(message.as_str())),
                    "version {version}"
                );
                assert!(reply.results.is_empty());
            }
        }
    }
}

/// Goal: no updates succeed.
#[test]
fn nothing_to_update() {
    let mut connection = Server::shared().connect();
    for version in 0..=2 {
        let reply = update(&mut connection, version, None, false);
        assert_eq!((reply.error_code, reply.error_message), (0, None), "version {version}");
    }
}
