//! UpdateFeatures, versions 0-2: raises or lowers finalized features (KIP-584).
//!
//! The features of this broker have one level each, and no update changes it: one to the level that is finalized succeeds, every other is
//! INVALID_UPDATE_VERSION (95), with Kafka's words where Kafka would refuse it too. One refused update refuses the request.
//!
//! * 0: `allow_downgrade`, which Kafka does not read any more.
//! * 1: types of upgrades, `validate_only` (KIP-778).
//! * 2: no results per feature in the response (KIP-1022).

use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::ResponseError;

use super::features::FEATURES;
use super::{Context, RequestInfo};

const UPGRADE: i8 = 1;
/// Upgrade, safe downgrade, unsafe downgrade.
const UPGRADE_TYPES: std::ops::RangeInclusive<i8> = 1..=3;

/// Answers the request.
pub async fn handle(context: &Context, _request: &RequestInfo, body: UpdateFeaturesRequest) -> UpdateFeaturesResponse {
    respond(&body, context.settings().node_id)
}

fn respond(body: &UpdateFeaturesRequest, node_id: i32) -> UpdateFeaturesResponse {
    let refused = body
        .feature_updates
        .iter()
        .find_map(|update| Some((update, reason(update, node_id)?)));
    let Some((update, reason)) = refused else {
        return UpdateFeaturesResponse::default().with_error_message(None);
    };
    let message = format!(
        "The update failed for all features since the following feature had an error: Invalid update version {} for feature {}. {reason}",
        update.max_version_level, update.feature,
    );
    UpdateFeaturesResponse::default()
        .with_error_code(ResponseError::InvalidUpdateVersion.code())
        .with_error_message(Some(StrBytes::from_string(message)))
}

/// Why an update is refused; `None`: it is granted, since it changes nothing.
fn reason(update: &FeatureUpdateKey, node_id: i32) -> Option<String> {
    if !UPGRADE_TYPES.contains(&update.upgrade_type) {
        return Some("The controller does not support the given upgrade type.".to_owned());
    }
    let level = update.max_version_level;
    if level < 0 {
        return Some("A feature version cannot be less than 0.".to_owned());
    }
    let Some(feature) = FEATURES.iter().find(|feature| feature.name == update.feature.as_str()) else {
        return Some(match level {
            0 => format!("Feature {} not found.", update.feature),
            _ => format!("Local controller {node_id} does not support this feature."),
        });
    };
    if level == feature.finalized {
        return None;
    }
    Some(match level > feature.max {
        true => format!(
            "Local controller {node_id} only supports versions {}-{}",
            feature.min, feature.max
        ),
        false if update.upgrade_type == UPGRADE => {
            "Can't downgrade the version of this feature without setting the upgrade type to \
                                                    either safe or unsafe downgrade."
                .to_owned()
        }
        false => "This broker has no other level of it.".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::encoding::assert_encodes;
    use crate::api::table::ApiKey;

    fn ask(version: i16, updates: &[(&'static str, i16, i8)]) -> (i16, Option<String>) {
        let update = |(feature, level, upgrade_type): &(&'static str, i16, i8)| {
            FeatureUpdateKey::default()
                .with_feature(StrBytes::from_static_str(feature))
                .with_max_version_level(*level)
                .with_upgrade_type(*upgrade_type)
        };
        let body = UpdateFeaturesRequest::default().with_feature_updates(updates.iter().map(update).collect());
        let response = respond(&body, 7);
        assert_encodes(ApiKey::UpdateFeatures, version, &response);
        assert!(response.results.is_empty());
        (response.error_code, response.error_message.map(|message| message.to_string()))
    }

    #[test]
    fn every_update_is_refused_and_none_is_not() {
        for version in ApiKey::UpdateFeatures.api().served.iter() {
            assert_eq!(ask(version, &[]), (0, None));
            for (level, upgrade_type, reason) in [
                (1, 1, "Local controller 7 does not support this feature."),
                (0, 1, "Feature no.version not found."),
                (0, 2, "Feature no.version not found."),
                (-1, 3, "A feature version cannot be less than 0."),
                (1, 0, "The controller does not support the given upgrade type."),
                (1, 9, "The controller does not support the given upgrade type."),
            ] {
                let (code, message) = ask(
                    version,
                    &[("group.version", 1, 1), ("no.version", level, upgrade_type), ("x", 1, 1)],
                );
                assert_eq!(code, 95);
                let start =
                    "The update failed for all features since the following feature had an error: Invalid update version ";
                let expected = format!("{start}{level} for feature no.version. {reason}");
                assert_eq!(message.as_deref(), Some(expected.as_str()));
            }
        }
    }

    #[test]
    fn the_level_of_a_feature_stays() {
        assert_eq!(ask(2, &[("group.version", 1, 1)]), (0, None));
        assert_eq!(ask(2, &[("group.version", 1, 3)]), (0, None));
        for (level, upgrade_type, reason) in [
            (0, 1, "Can't downgrade"),
            (0, 2, "no other level"),
            (2, 1, "Local controller 7 only supports versions 0-1"),
        ] {
            let (code, message) = ask(2, &[("group.version", level, upgrade_type)]);
            assert_eq!(code, 95);
            assert!(
                message.is_some_and(|message| message.contains(reason)),
                "{level} {upgrade_type}"
            );
        }
    }
}
