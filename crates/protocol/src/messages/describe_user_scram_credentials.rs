//! DescribeUserScramCredentials (50): which SCRAM credentials users have.

use crate::define::message;
use crate::{Array, ErrorCode};

message! {
    Request<'a> {
        users: Option<Array<'a, UserName<'a>>> [0+],
    }

    UserName<'a> {
        name: &'a str [0+],
    }

    Response<'a> {
        throttle_time_ms: i32 [0+],
        error_code: ErrorCode [0+],
        error_message: Option<&'a str> [0+],
        results: Array<'a, DescribeUserScramCredentialsResult<'a>> [0+],
    }

    DescribeUserScramCredentialsResult<'a> {
        user: &'a str [0+],
        error_code: ErrorCode [0+],
        error_message: Option<&'a str> [0+],
        credential_infos: Array<'a, CredentialInfo> [0+],
    }

    CredentialInfo {
        mechanism: i8 [0+],
        iterations: i32 [0+],
    }
}
