//! UnregisterBroker (64). Brokers come and go by the log: one that is gone is forgotten at once, and a live one stays.

use std::sync::Arc;

use kafscale_protocol::{
    ApiKey, ErrorCode,
    messages::unregister_broker::{Request, Response},
};

use super::{Answer, Call, Refusal, Session, error_codes};

/// Refuses, with the reason.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: Request = call.request()?;
    let broker = session.broker();
    let reached = broker.barrier().await;
    let is_live = broker.replica().read(|state| state.brokers().any(|live| live.node_id == request.broker_id));
    let (error_code, text) = match reached {
        Err(error) => (error_codes::of_barrier(&error), error.to_string()),
        Ok(()) if is_live => {
            (ErrorCode::InvalidRequest, format!("Broker ID {} is live: stop it instead", request.broker_id))
        }
        Ok(()) => {
            let text = format!("Broker ID {} is not currently registered", request.broker_id);
            (ErrorCode::BrokerIdNotRegistered, text)
        }
    };
    broker.metrics().error(ApiKey::UnregisterBroker, error_code);
    call.respond(&Response { error_code, error_message: Some(&text), ..Default::default() })
}
