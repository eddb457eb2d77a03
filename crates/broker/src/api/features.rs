//! The features of the cluster: what ApiVersions tells of them, and UpdateFeatures (57).
//!
//! Their levels come with the build: what a level means in Apache Kafka's metadata has no counterpart here, so there is
//! nothing to raise or lower.

use std::sync::Arc;

use kafscale_protocol::{
    ApiKey, ErrorCode,
    messages::update_features::{FeatureUpdateKey, Request, Response, UpdatableFeatureResult},
};

use super::{Answer, Call, Refusal, Session};

/// A feature that clients look for.
#[derive(Debug, Clone, Copy)]
pub struct Feature {
    /// Kafka's name.
    pub name: &'static str,
    /// The lowest level that is supported, from 1.
    pub min: i16,
    /// The highest level, which is finalized.
    pub level: i16,
}

/// All of them.
pub const FEATURES: &[Feature] =
    &[Feature { name: "metadata.version", min: 7, level: 30 }, Feature { name: "group.version", min: 1, level: 1 }];

const UPGRADE: i8 = 1;

/// What is so already is done; everything else is refused in Kafka's words.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: Request<'_> = call.request()?;
    Refusal::unless_few(request.feature_updates.len())?;
    let node_id = session.settings().node_id;
    let refused = request.feature_updates.iter().find_map(|update| refusal(node_id, call.version, &update));
    let tells_each = refused.is_none() && call.version < 2;
    let results = request.feature_updates.iter().filter(|_| tells_each);
    let results = results.map(|update| UpdatableFeatureResult { feature: update.feature, ..Default::default() });
    let error_code = if refused.is_some() { ErrorCode::InvalidUpdateVersion } else { ErrorCode::None };
    if refused.is_some() {
        session.broker().metrics().error(ApiKey::UpdateFeatures, error_code);
    }
    let text = refused
        .map(|reason| format!("The update failed for all features since the following feature had an error: {reason}"));
    call.respond(&Response {
        error_code,
        error_message: text.as_deref(),
        results: results.collect(),
        ..Default::default()
    })
}

/// Why an update cannot be.
fn refusal(node_id: i32, version: i16, update: &FeatureUpdateKey<'_>) -> Option<String> {
    let known = FEATURES.iter().find(|feature| feature.name == update.feature);
    let wanted = update.max_version_level;
    let upgrade = if version == 0 { !update.allow_downgrade } else { update.upgrade_type == UPGRADE };
    let reason = match known {
        _ if wanted < 0 => "A feature version cannot be less than 0.".to_owned(),
        Some(feature) if wanted == feature.level => return None,
        Some(feature) if !(feature.min..=feature.level).contains(&wanted) => {
            format!("Local controller {node_id} only supports versions {}-{}", feature.min, feature.level)
        }
        None if wanted > 0 => format!("Local controller {node_id} does not support this feature."),
        None => return None,
        Some(_) if upgrade => "Can't downgrade the version of this feature without setting the upgrade type to either \
                               safe or unsafe downgrade."
            .to_owned(),
        Some(_) => "The levels of features are fixed here.".to_owned(),
    };
    // The name is the client's; a text of an answer has its bounds.
    let name: String = update.feature.chars().take(100).collect();
    Some(format!("Invalid update version {wanted} for feature {name}. {reason}"))
}
