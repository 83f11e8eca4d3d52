//! UpdateFeatures, versions 0-2: raises or lowers finalized features (KIP-584).
//!
//! No feature is supported, so that every update is INVALID_UPDATE_VERSION (95), with Kafka's words for a feature that it does not know; one
//! refused update refuses the request. A request without updates succeeds.
//!
//! * 0: `allow_downgrade`, which Kafka does not read any more.
//! * 1: types of upgrades, `validate_only` (KIP-778).
//! * 2: no results per feature in the response (KIP-1022).

use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::ResponseError;

use super::{Context, RequestInfo};

/// Upgrade, safe downgrade, unsafe downgrade.
const UPGRADE_TYPES: std::ops::RangeInclusive<i8> = 1..=3;

/// Answers the request.
pub async fn handle(context: &Context, _request: &RequestInfo, body: UpdateFeaturesRequest) -> UpdateFeaturesResponse {
    respond(&body, context.settings().node_id)
}

fn respond(body: &UpdateFeaturesRequest, node_id: i32) -> UpdateFeaturesResponse {
    let Some(update) = body.feature_updates.first() else {
        return UpdateFeaturesResponse::default().with_error_message(None);
    };
    let message = format!(
        "The update failed for all features since the following feature had an error: Invalid update version {} for feature {}. {}",
        update.max_version_level,
        update.feature,
        reason(update, node_id)
    );
    UpdateFeaturesResponse::default()
        .with_error_code(ResponseError::InvalidUpdateVersion.code())
        .with_error_message(Some(StrBytes::from_string(message)))
}

fn reason(update: &FeatureUpdateKey, node_id: i32) -> String {
    if !UPGRADE_TYPES.contains(&update.upgrade_type) {
        return "The controller does not support the given upgrade type.".to_owned();
    }
    match update.max_version_level {
        ..=-1 => "A feature version cannot be less than 0.".to_owned(),
        0 => format!("Feature {} not found.", update.feature),
        1.. => format!("Local controller {node_id} does not support this feature."),
    }
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
                (0, 1, "Feature group.version not found."),
                (0, 2, "Feature group.version not found."),
                (-1, 3, "A feature version cannot be less than 0."),
                (1, 0, "The controller does not support the given upgrade type."),
                (1, 9, "The controller does not support the given upgrade type."),
            ] {
                let (code, message) = ask(version, &[("group.version", level, upgrade_type), ("x", 1, 1)]);
                assert_eq!(code, 95);
                let start =
                    "The update failed for all features since the following feature had an error: Invalid update version ";
                let expected = format!("{start}{level} for feature group.version. {reason}");
                assert_eq!(message.as_deref(), Some(expected.as_str()));
            }
        }
    }
}
