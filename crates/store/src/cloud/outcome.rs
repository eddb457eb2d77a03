//! What an HTTP answer means in the contract's words.
//!
//! The rule for writes: only what cannot have been applied is called so. Every 5xx may follow a write that was applied (a
//! gateway's 503 says nothing about the server behind it), and so may 408 and R2's 499, a timeout and a reset; so they
//! are *unknown*. 501 is the exception: a store that does not implement a request did not run it. Without a connection
//! nothing was sent, and 429 is given before the work: both are *unavailable*. Any other refusal names the store's code,
//! because a person must act on it.

use crate::{
    CreateError, DeleteError, ReadError, ReplaceError,
    profile::{Means, Provider, Special},
};

use super::{
    attempt::{Answer, Attempt},
    words,
};

/// What is known of a request when its outcome is decided.
#[derive(Debug)]
pub(crate) struct Reading {
    pub attempt: Attempt,
    /// The provider's exceptions from the rule.
    pub special: &'static [Special],
    pub keys: Keys,
}

/// What can be done about refused credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    /// Nothing: they are what they are.
    Fixed,
    /// They are renewed in time, and are still the same.
    Renewable,
    /// There are others now, or there will be.
    Changed,
}

impl Reading {
    /// No request was made.
    pub(crate) fn of_nothing() -> Self {
        Self { attempt: Attempt::NotMade, special: &[], keys: Keys::Fixed }
    }

    /// Whether the store refused the credentials, rather than what was asked for.
    pub(crate) fn doubts_keys(&self) -> bool {
        match &self.attempt {
            Attempt::Answered(answer) => {
                matches!(meaning(answer, self.special), Means::KeysExpired | Means::KeysUnknown)
            }
            _ => false,
        }
    }

    /// Whether there is no such bucket.
    pub(crate) fn misses_bucket(&self) -> bool {
        matches!(&self.attempt, Attempt::Answered(answer) if answer.status == 404
            && matches!(answer.code.as_str(), "NoSuchBucket" | "ContainerNotFound"))
    }

    /// What the answer means for a request with these keys.
    fn means(&self, answer: &Answer) -> Means {
        match (meaning(answer, self.special), self.keys) {
            (Means::KeysExpired, Keys::Renewable) | (Means::KeysExpired | Means::KeysUnknown, Keys::Changed) => {
                Means::Later
            }
            (Means::KeysExpired | Means::KeysUnknown, _) => Means::Never,
            (means, _) => means,
        }
    }
}

/// The rule, after what the provider is known to mean otherwise.
fn meaning(answer: &Answer, special: &[Special]) -> Means {
    let fits = |special: &&Special| {
        special.status == answer.status && (special.code.is_empty() || special.code == answer.code)
    };
    if let Some(special) = special.iter().find(fits) {
        return special.means;
    }
    match (answer.status, answer.code.as_str()) {
        (429, _) => Means::Later,
        // The body did not arrive whole, says S3: not applied.
        (400, "RequestTimeout" | "IncompleteBody") => Means::Later,
        (400 | 403, "ExpiredToken" | "TokenRefreshRequired") => Means::KeysExpired,
        (401, _) | (403, "InvalidAccessKeyId" | "InvalidToken" | "SignatureDoesNotMatch") => Means::KeysUnknown,
        (501, _) => Means::Never,
        (408 | 499 | 500..=599, _) => Means::Unknown,
        (409 | 412 | 304, _) => Means::Taken,
        (404, _) => Means::Absent,
        // A success that could not be made sense of.
        (200..=299, _) => Means::Unknown,
        _ => Means::Never,
    }
}

fn text(answer: &Answer, raw: &str) -> String {
    let Answer { status, code, message, .. } = answer;
    match (status, code.as_str()) {
        (200..=299, _) => format!("unreadable answer: {}", words::line(raw)),
        (300..=399, "") => format!("redirected (HTTP {status}): the endpoint or the region is wrong"),
        (_, "") if message.is_empty() => format!("HTTP {status}"),
        (_, "") => format!("HTTP {status}: {message}"),
        _ => format!("{code}: {message} (HTTP {status}){}", hint(code)),
    }
}

/// What the code does not say by itself to whoever meets it for the first time.
fn hint(code: &str) -> &'static str {
    match code {
        "RequestTimeTooSkewed" => ": this machine's clock is not the store's, set it right",
        _ => "",
    }
}

/// Why nothing is created at a provider that cannot create only what is absent.
pub(crate) fn no_conditional_create(provider: Provider) -> String {
    format!(
        "not asked: the profile {provider} says that it cannot create an object only if it is absent, so it cannot hold the log"
    )
}

/// Why a create failed. `raw` is `object_store`'s error; `wishes`: the request asked for more than to be a create.
pub(crate) fn create(reading: Reading, raw: &str, wishes: bool) -> CreateError {
    match &reading.attempt {
        Attempt::NotMade => CreateError::Refused(raw.to_owned()),
        Attempt::NotConnected(reason) => CreateError::Unavailable { reason: reason.clone(), retry_after: None },
        Attempt::Unanswered(reason) => CreateError::Unknown(reason.clone()),
        Attempt::Answered(answer) => match (reading.means(answer), text(answer, raw)) {
            (Means::Later, reason) => CreateError::Unavailable { reason, retry_after: answer.retry_after },
            (Means::Unknown, reason) => CreateError::Unknown(reason),
            (Means::Taken, _) => CreateError::AlreadyExists,
            (Means::Never, reason) if answer.status == 501 => {
                CreateError::Refused(format!("{}: {reason}", not_implemented(wishes)))
            }
            (Means::Absent | Means::Never | Means::KeysExpired | Means::KeysUnknown, reason) => {
                CreateError::Refused(reason)
            }
        },
    }
}

/// What a store has nothing of that answers a create with 501: the status does not say which header it means.
fn not_implemented(wishes: bool) -> &'static str {
    if wishes {
        "the store does not implement a header of this create, which may be what encryption, storage class or tags ask for, \
         or the condition (If-None-Match: *)"
    } else {
        "the store cannot create an object only if it is absent (If-None-Match: *)"
    }
}

/// Why a replace failed.
pub(crate) fn replace(reading: Reading, raw: &str) -> ReplaceError {
    match &reading.attempt {
        Attempt::NotMade => ReplaceError::Refused(raw.to_owned()),
        Attempt::NotConnected(reason) => ReplaceError::Unavailable(reason.clone()),
        Attempt::Unanswered(reason) => ReplaceError::Unknown(reason.clone()),
        Attempt::Answered(answer) => match (reading.means(answer), text(answer, raw)) {
            (Means::Later | Means::Taken, reason) => ReplaceError::Unavailable(reason),
            (Means::Unknown, reason) => ReplaceError::Unknown(reason),
            (Means::Absent | Means::Never | Means::KeysExpired | Means::KeysUnknown, reason) => {
                ReplaceError::Refused(reason)
            }
        },
    }
}

/// Why a get or a listing failed.
pub(crate) fn read(reading: Reading, raw: &str) -> ReadError {
    match &reading.attempt {
        Attempt::NotMade => ReadError::Refused(raw.to_owned()),
        Attempt::NotConnected(reason) | Attempt::Unanswered(reason) => ReadError::Unavailable(reason.clone()),
        Attempt::Answered(answer) => match (reading.means(answer), text(answer, raw)) {
            (Means::Later | Means::Unknown | Means::Taken, reason) => ReadError::Unavailable(reason),
            (Means::Absent, reason) => ReadError::NotFound(reason),
            (Means::Never | Means::KeysExpired | Means::KeysUnknown, reason) => ReadError::Refused(reason),
        },
    }
}

/// Why a deletion failed.
pub(crate) fn delete(reading: Reading, raw: &str) -> DeleteError {
    match &reading.attempt {
        Attempt::NotMade => DeleteError::Refused(raw.to_owned()),
        Attempt::NotConnected(reason) | Attempt::Unanswered(reason) => DeleteError::Unavailable(reason.clone()),
        Attempt::Answered(answer) => match (reading.means(answer), text(answer, raw)) {
            (Means::Later | Means::Unknown | Means::Taken, reason) => {
                // One answer for many objects: those that failed are named in its body with S3's code.
                if reason.contains("AccessDenied") || reason.contains("AuthorizationPermissionMismatch") {
                    DeleteError::Refused(reason)
                } else {
                    DeleteError::Unavailable(reason)
                }
            }
            (Means::Absent | Means::Never | Means::KeysExpired | Means::KeysUnknown, reason) => {
                DeleteError::Refused(reason)
            }
        },
    }
}
