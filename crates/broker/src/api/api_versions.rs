//! ApiVersions (18): what this broker serves. Any version of it gets an answer.

use std::sync::Arc;

use kafscale_protocol::{
    ApiKey, Array, ErrorCode, RequestHeader, encode_response,
    messages::api_versions::{ApiVersion, FinalizedFeatureKey, Request, Response, SupportedFeatureKey},
};
use kafscale_state::topic::Named;

use super::{Answer, Call, Refusal, Session, features::FEATURES};

/// What the catalogue of the protocol crate advertises. Telemetry is left out while nobody subscribes to metrics of clients,
/// as Apache Kafka leaves it out without a receiver: clients would ask for it on every connection, and librdkafka logs it.
fn api_keys(subscribed: bool) -> Vec<ApiVersion> {
    let telemetry = [ApiKey::GetTelemetrySubscriptions, ApiKey::PushTelemetry].map(ApiKey::code);
    ApiKey::advertised().filter(|api| subscribed || !telemetry.contains(&api.api_key)).collect()
}

/// Answers with everything that is served.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: Request<'_> = call.request()?;
    if call.version >= 3 && !(is_valid(request.client_software_name) && is_valid(request.client_software_version)) {
        return call.respond(&Response { error_code: ErrorCode::InvalidRequest, ..Default::default() });
    }
    if call.version >= 3 {
        session.set_software(request.client_software_name, request.client_software_version);
    }
    let subscribed = session.broker().replica().read(|state| state.named(Named::ClientMetrics).next().is_some());
    let supported = FEATURES.iter().map(|feature| SupportedFeatureKey {
        name: feature.name,
        min_version: feature.min,
        max_version: feature.level,
    });
    let finalized = FEATURES.iter().map(|feature| FinalizedFeatureKey {
        name: feature.name,
        max_version_level: feature.level,
        min_version_level: feature.level,
    });
    call.respond(&Response {
        api_keys: Array::from(api_keys(subscribed)),
        supported_features: Array::from(supported.collect::<Vec<_>>()),
        finalized_features_epoch: 0,
        finalized_features: Array::from(finalized.collect::<Vec<_>>()),
        ..Default::default()
    })
}

/// Kafka's rule for names and versions of client software: letters and digits, with dots and dashes between them.
fn is_valid(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.chars().all(inner) && ends(text.chars().next()) && ends(text.chars().next_back())
}

/// The answer to a version from the future: in version 0, with the range of this API that would do and no other, as Apache
/// Kafka's.
pub fn unsupported(header: &RequestHeader<'_>) -> Result<Answer, Refusal> {
    let own = ApiKey::ApiVersions.code();
    let response = Response {
        error_code: ErrorCode::UnsupportedVersion,
        api_keys: Array::from(ApiKey::advertised().filter(|api| api.api_key == own).collect::<Vec<_>>()),
        ..Default::default()
    };
    let encoded = encode_response(0, header.correlation_id, &response)?;
    Ok(Answer::Respond { parts: encoded.parts, hold: None })
}
