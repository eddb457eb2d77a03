//! What an HTTP answer means in the contract's words.
//!
//! The rule for writes: only what cannot have been applied is called so. Every 5xx may follow a write that was applied (a
//! gateway's 503 says nothing about the server behind it), and so may 408 and R2's 499, a timeout and a reset; so they
//! are *unknown*. 501 is the exception: a store that does not implement a request did not run it. Without a connection
//! nothing was sent, and 429 is given before the work: both are *unavailable*. Any other refusal names the store's code,
//! because a person must act on it.

use crate::{CreateError, DeleteError, ReadError, ReplaceError};

use super::attempt::{Answer, Attempt};

/// The sorts of answers that are told apart.
enum Meaning {
    /// Nothing was applied; later it may be.
    Later,
    /// It may have been applied.
    Unknown,
    /// The name is taken, or another write to it is under way.
    Taken,
    /// There is no such object or bucket.
    Absent,
    /// It was refused for good.
    Never,
}

fn meaning(answer: &Answer) -> Meaning {
    match (answer.status, answer.code.as_str()) {
        (429, _) => Meaning::Later,
        // The body did not arrive whole, says S3: not applied.
        (400, "RequestTimeout" | "IncompleteBody") => Meaning::Later,
        (501, _) => Meaning::Never,
        (408 | 499 | 500..=599, _) => Meaning::Unknown,
        (409 | 412 | 304, _) => Meaning::Taken,
        (404, _) => Meaning::Absent,
        // A success that could not be made sense of.
        (200..=299, _) => Meaning::Unknown,
        _ => Meaning::Never,
    }
}

fn text(answer: &Answer, raw: &impl ToString) -> String {
    let Answer { status, code, message, .. } = answer;
    match (status, code.as_str()) {
        (200..=299, _) => format!("unreadable answer: {}", raw.to_string()),
        (300..=399, "") => format!("redirected (HTTP {status}): the endpoint or the region is wrong"),
        (_, "") => format!("HTTP {status}"),
        _ => format!("{code}: {message} (HTTP {status})"),
    }
}

/// Why a create failed. `raw` is `object_store`'s error.
pub(crate) fn create(attempt: Attempt, raw: &impl ToString) -> CreateError {
    match attempt {
        Attempt::NotMade => CreateError::Refused(raw.to_string()),
        Attempt::NotConnected(reason) => CreateError::Unavailable { reason, retry_after: None },
        Attempt::Unanswered(reason) => CreateError::Unknown(reason),
        Attempt::Answered(answer) => match (meaning(&answer), text(&answer, raw)) {
            (Meaning::Later, reason) => CreateError::Unavailable { reason, retry_after: answer.retry_after },
            (Meaning::Unknown, reason) => CreateError::Unknown(reason),
            (Meaning::Taken, _) => CreateError::AlreadyExists,
            (Meaning::Never, reason) if answer.status == 501 => CreateError::Refused(format!(
                "the store cannot create an object only if it is absent (If-None-Match: *): {reason}"
            )),
            (Meaning::Absent | Meaning::Never, reason) => CreateError::Refused(reason),
        },
    }
}

/// Why a replace failed.
pub(crate) fn replace(attempt: Attempt, raw: &impl ToString) -> ReplaceError {
    match attempt {
        Attempt::NotMade => ReplaceError::Refused(raw.to_string()),
        Attempt::NotConnected(reason) => ReplaceError::Unavailable(reason),
        Attempt::Unanswered(reason) => ReplaceError::Unknown(reason),
        Attempt::Answered(answer) => match (meaning(&answer), text(&answer, raw)) {
            (Meaning::Later | Meaning::Taken, reason) => ReplaceError::Unavailable(reason),
            (Meaning::Unknown, reason) => ReplaceError::Unknown(reason),
            (Meaning::Absent | Meaning::Never, reason) => ReplaceError::Refused(reason),
        },
    }
}

/// Why a get or a listing failed.
pub(crate) fn read(attempt: Attempt, raw: &impl ToString) -> ReadError {
    match attempt {
        Attempt::NotMade => ReadError::Refused(raw.to_string()),
        Attempt::NotConnected(reason) | Attempt::Unanswered(reason) => ReadError::Unavailable(reason),
        Attempt::Answered(answer) => match (meaning(&answer), text(&answer, raw)) {
            (Meaning::Later | Meaning::Unknown | Meaning::Taken, reason) => ReadError::Unavailable(reason),
            (Meaning::Absent, reason) => ReadError::NotFound(reason),
            (Meaning::Never, reason) => ReadError::Refused(reason),
        },
    }
}

/// Why a deletion failed.
pub(crate) fn delete(attempt: Attempt, raw: &impl ToString) -> DeleteError {
    match attempt {
        Attempt::NotMade => DeleteError::Refused(raw.to_string()),
        Attempt::NotConnected(reason) | Attempt::Unanswered(reason) => DeleteError::Unavailable(reason),
        Attempt::Answered(answer) => match (meaning(&answer), text(&answer, raw)) {
            (Meaning::Later | Meaning::Unknown | Meaning::Taken, reason) => {
                // One answer for many objects: those that failed are named in its body with S3's code.
                if reason.contains("AccessDenied") {
                    DeleteError::Refused(reason)
                } else {
                    DeleteError::Unavailable(reason)
                }
            }
            (Meaning::Absent | Meaning::Never, reason) => DeleteError::Refused(reason),
        },
    }
}
