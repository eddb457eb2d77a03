//! AlterUserScramCredentials (51): SCRAM credentials are set and deleted.

use crate::define::message;
use crate::{Array, ErrorCode};

message! {
    Request<'a> {
        deletions: Array<'a, ScramCredentialDeletion<'a>> [0+],
        upsertions: Array<'a, ScramCredentialUpsertion<'a>> [0+],
    }

    ScramCredentialDeletion<'a> {
        name: &'a str [0+],
        mechanism: i8 [0+],
    }

    ScramCredentialUpsertion<'a> {
        name: &'a str [0+],
        mechanism: i8 [0+],
        iterations: i32 [0+],
        salt: &'a [u8] [0+],
        salted_password: &'a [u8] [0+],
    }

    Response<'a> {
        throttle_time_ms: i32 [0+],
        results: Array<'a, AlterUserScramCredentialsResult<'a>> [0+],
    }

    AlterUserScramCredentialsResult<'a> {
        user: &'a str [0+],
        error_code: ErrorCode [0+],
        error_message: Option<&'a str> [0+],
    }
}
