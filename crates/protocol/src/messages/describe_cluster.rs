//! DescribeCluster (60): the cluster's id, its controller and its brokers.

use crate::define::message;
use crate::{Array, ErrorCode};

message! {
    Request {
        include_cluster_authorized_operations: bool [0+],
        endpoint_type: i8 [1+] = 1,
        include_fenced_brokers: bool [2+],
    }

    Response<'a> {
        throttle_time_ms: i32 [0+],
        error_code: ErrorCode [0+],
        error_message: Option<&'a str> [0+],
        endpoint_type: i8 [1+] = 1,
        cluster_id: &'a str [0+],
        controller_id: i32 [0+] = -1,
        brokers: Array<'a, DescribeClusterBroker<'a>> [0+],
        cluster_authorized_operations: i32 [0+] = i32::MIN,
    }

    DescribeClusterBroker<'a> {
        broker_id: i32 [0+],
        host: &'a str [0+],
        port: i32 [0+],
        rack: Option<&'a str> [0+],
        is_fenced: bool [2+],
    }
}
