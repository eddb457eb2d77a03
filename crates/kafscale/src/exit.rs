//! The exit codes of the process: a promise to scripts and supervisors, listed in `--help` and `docs/running.md`.

use std::{fmt, process::ExitCode};

/// How a command ended. The numbers are stable: never renumber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Something that has no code of its own.
    Unexpected = 1,
    /// The command line, a variable or the settings file is wrong.
    Usage = 2,
    /// The store cannot be opened: no such place, keys refused, or locked by another process.
    StoreUnusable = 3,
    /// Another broker took over this store, or the store lost what it had confirmed.
    Fenced = 4,
    /// Something that was in the store is missing or damaged: nothing was changed, or records cannot be read.
    DataLoss = 5,
    /// The store was written by a newer version.
    NewerVersion = 6,
    /// No Kafka answered: nobody listens there, or not in time.
    Unreachable = 7,
    /// The Kafka does not know this client, or does not allow it what it asked.
    Denied = 8,
    /// What was named is not there: a topic, a partition, a group.
    NotFound = 9,
    /// The Kafka understood and said no.
    Refused = 10,
    /// A check found something that is not as it should be, and no record is touched by it.
    Flawed = 11,
    /// An address where the broker shall listen cannot be had.
    AddressUnusable = 12,
    /// A second Ctrl-C: shells call the end by that signal so.
    Interrupted = 130,
}

/// The list for help and documentation.
pub const TABLE: &[(u8, &str)] = &[
    (0, "ended as asked (after a drain, when a signal asked for it)"),
    (Exit::Unexpected as u8, "an unexpected error, or a drain that did not end in time"),
    (Exit::Usage as u8, "the command line, a variable or the settings file is wrong"),
    (
        Exit::StoreUnusable as u8,
        "the store cannot be opened: no such place, keys refused, or in use by another process",
    ),
    (
        Exit::Fenced as u8,
        "fenced: another broker took over this store, or the store lost what it had confirmed while the broker ran",
    ),
    (
        Exit::DataLoss as u8,
        "part of the store is missing or damaged: refused to start, nothing was changed; or records cannot be read from a store",
    ),
    (Exit::NewerVersion as u8, "the store was written by a newer version"),
    (Exit::Unreachable as u8, "no Kafka answered: nobody listens there, or not in time"),
    (Exit::Denied as u8, "the Kafka refused the credentials, or does not allow this to whom they belong"),
    (Exit::NotFound as u8, "what was named is not there: a topic, a partition, a group"),
    (Exit::Refused as u8, "the Kafka refused what it was asked; the message says why"),
    (Exit::Flawed as u8, "a check found something that is not as it should be, and no record is touched by it"),
    (
        Exit::AddressUnusable as u8,
        "the broker cannot listen where it shall: the port is taken, or no address of this machine",
    ),
    (Exit::Interrupted as u8, "ended at once by a second Ctrl-C; a group's last offsets may not be committed"),
];

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error of a command, with the code that the process ends with.
#[derive(Debug)]
pub struct Failure {
    /// The code.
    pub exit: Exit,
    /// What happened.
    pub error: anyhow::Error,
}

impl Failure {
    /// Wraps an error with a code.
    pub fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: error.into() }
    }
}

impl fmt::Display for Failure {
    /// The error and its causes; a cause whose words stand there already is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for cause in self.error.chain().map(ToString::to_string) {
            if !text.contains(&cause) {
                text.push_str(if text.is_empty() { "" } else { ": " });
                text.push_str(&cause);
            }
        }
        f.write_str(&text)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self { exit: Exit::Unexpected, error }
    }
}

impl From<crate::settings::Error> for Failure {
    fn from(error: crate::settings::Error) -> Self {
        Self::new(Exit::Usage, error)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn causes_are_told_once() {
        let failure = |error: anyhow::Error| Failure::from(error).to_string();
        let io = || std::io::Error::other("no space");
        assert_eq!(failure(Err::<(), _>(io()).context("cannot write").unwrap_err()), "cannot write: no space");
        assert_eq!(
            failure(Err::<(), _>(io()).context("cannot write: no space").unwrap_err()),
            "cannot write: no space"
        );
    }
}
