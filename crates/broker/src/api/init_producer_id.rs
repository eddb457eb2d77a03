//! InitProducerId (22): a producer id for an idempotent producer.

use std::sync::Arc;

use kafscale_protocol::{
    ErrorCode,
    messages::init_producer_id::{Request, Response},
};

use super::{Answer, Call, Refusal, Session, error_codes};

/// Gives an id that nobody has. Without a transactional id Kafka gives a new one whatever id the request carries.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: Request<'_> = call.request()?;
    let refused = |error_code| Response { error_code, producer_id: -1, producer_epoch: -1, ..Default::default() };
    if request.transactional_id.is_some() {
        return call.respond(&refused(ErrorCode::InvalidRequest));
    }
    let broker = session.broker();
    let response = match broker.producer_ids().next(broker.writer(), session.id()).await {
        Ok(producer_id) => Response { producer_id, producer_epoch: 0, ..Default::default() },
        Err(error) => refused(error_codes::of_entry(error)),
    };
    call.respond(&response)
}
