//! DescribeCluster (60): the cluster's id and its live brokers, as the log knows them.

use std::sync::Arc;

use kafscale_protocol::{
    ErrorCode,
    messages::describe_cluster::{DescribeClusterBroker, Request, Response},
};

use super::{Answer, Call, Refusal, Session, error_codes, operations};

/// Kafka's endpoint types. There are no controllers here.
const ENDPOINT_BROKERS: i8 = 1;
const ENDPOINT_CONTROLLERS: i8 = 2;

/// Answers once the replica has caught up, or says that it cannot catch up.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: Request = call.request()?;
    let refused = |error_code, text| {
        let endpoint_type = request.endpoint_type;
        let response = Response { error_code, error_message: Some(text), endpoint_type, ..Default::default() };
        call.respond(&response)
    };
    match request.endpoint_type {
        ENDPOINT_BROKERS => {}
        ENDPOINT_CONTROLLERS => {
            return refused(ErrorCode::MismatchedEndpointType, "this is a broker, not a controller");
        }
        _ => return refused(ErrorCode::UnsupportedEndpointType, "unknown endpoint type"),
    }
    let broker = session.broker();
    if let Err(error) = broker.catch_up_to_list().await {
        return refused(error_codes::of_barrier(&error), "another broker has taken over");
    }
    let state = broker.replica().snapshot();
    let brokers = state.brokers().map(|broker| DescribeClusterBroker {
        broker_id: broker.node_id,
        host: &broker.host,
        port: i32::from(broker.port),
        rack: broker.rack.as_deref(),
        is_fenced: false,
    });
    let mut response = Response {
        cluster_id: &broker.cluster().kafka_id(),
        controller_id: session.settings().node_id,
        brokers: brokers.collect(),
        ..Default::default()
    };
    if request.include_cluster_authorized_operations {
        response.cluster_authorized_operations = operations::ON_CLUSTER;
    }
    call.respond(&response)
}
