//! GetTelemetrySubscriptions (71) and PushTelemetry (72): metrics of clients (KIP-714) become metrics of this broker.

use std::sync::Arc;

use kafscale_protocol::{
    ApiKey, Array, ErrorCode, Uuid,
    messages::{get_telemetry_subscriptions as get, push_telemetry as push},
};
use kafscale_records::Codec;

use super::{Answer, Call, Refusal, Session, topic_creation::uuid_v4};
use crate::{
    config::client_metrics::ClientFacts,
    telemetry::{Asked, PUSH_BYTES_MAX, Push},
};

/// Says what the subscriptions that are about this client ask for. They may be a moment old: a client asks again.
pub async fn handle_get(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: get::Request = call.request()?;
    let broker = session.broker();
    let id = match request.client_instance_id.is_zero() {
        true => Uuid(uuid_v4(broker.runtime().random_u128()).to_be_bytes()),
        false => request.client_instance_id,
    };
    let asked = asked(&session, &call, id);
    if let Err(error_code) = broker.telemetry().get(id, &asked, broker.runtime().now()) {
        broker.metrics().error(ApiKey::GetTelemetrySubscriptions, error_code);
        return call.respond(&get::Response { error_code, ..Default::default() });
    }
    let codecs = [Codec::Zstd, Codec::Lz4, Codec::Gzip, Codec::Snappy];
    call.respond(&get::Response {
        client_instance_id: id,
        subscription_id: asked.subscription_id,
        accepted_compression_types: codecs.iter().map(|codec| codec.id() as i8).collect(),
        push_interval_ms: asked.interval_ms,
        telemetry_max_bytes: PUSH_BYTES_MAX as i32,
        delta_temporality: true,
        requested_metrics: Array::from(asked.metrics.iter().map(String::as_str).collect::<Vec<_>>()),
        ..Default::default()
    })
}

/// Takes the metrics of a client.
pub async fn handle_push(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: push::Request<'_> = call.request()?;
    let broker = session.broker();
    let id = request.client_instance_id;
    let push = Push {
        subscription_id: request.subscription_id,
        terminating: request.terminating,
        // A negative id is no codec either.
        compression: u8::try_from(request.compression_type).unwrap_or(u8::MAX),
        metrics: request.metrics,
    };
    let taken = match id.is_zero() {
        true => Err(ErrorCode::InvalidRequest),
        false => broker.telemetry().push(id, &asked(&session, &call, id), &push, broker.runtime().now()),
    };
    match taken {
        Ok(points) => {
            broker.metrics().client_metrics().pushed(session.software().0, request.metrics.len(), &points);
            call.respond(&push::Response::default())
        }
        Err(error_code) => {
            broker.metrics().error(ApiKey::PushTelemetry, error_code);
            call.respond(&push::Response { error_code, ..Default::default() })
        }
    }
}

fn asked(session: &Session, call: &Call, id: Uuid) -> Asked {
    let (software_name, software_version) = session.software();
    let facts = ClientFacts {
        instance_id: &id.to_string(),
        client_id: call.client_id.as_deref().unwrap_or_default(),
        software_name,
        software_version,
        source_address: session.host().trim_start_matches('/'),
    };
    session.broker().replica().read(|state| Asked::of(state, &facts, id))
}
