//! What a probe found, and what follows from it.

use super::{ClockSkew, Latency};

/// What was looked at, in the order in which it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// The prefix can be listed.
    List,
    /// An object can be written, whatever is there.
    Put,
    /// It comes back as it was written.
    Get,
    /// An absent name can be created.
    Create,
    /// A name that is taken cannot be created, and its object stays as it is.
    CreateOnce,
    /// Of creates that race for one name one wins.
    CreateRace,
    /// Parts of an object can be read, cut at its end.
    Ranges,
    /// What was written is listed at once, in order, with its length, and from any name on.
    ListAfterWrite,
    /// An overwritten object is read as it is now.
    Overwrite,
    /// Many objects can be deleted in one call, and are gone at once.
    Delete,
}

impl Check {
    /// All of them, in order.
    pub const ALL: [Self; 10] = [
        Self::List,
        Self::Put,
        Self::Get,
        Self::Create,
        Self::CreateOnce,
        Self::CreateRace,
        Self::Ranges,
        Self::ListAfterWrite,
        Self::Overwrite,
        Self::Delete,
    ];

    /// A stable name for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Put => "put",
            Self::Get => "get",
            Self::Create => "create",
            Self::CreateOnce => "create-once",
            Self::CreateRace => "create-race",
            Self::Ranges => "ranges",
            Self::ListAfterWrite => "list-after-write",
            Self::Overwrite => "overwrite",
            Self::Delete => "delete",
        }
    }

    /// What it means, for people.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::List => "the prefix can be listed",
            Self::Put => "an object can be written",
            Self::Get => "it comes back as it was written",
            Self::Create => "an object can be created only if it is absent",
            Self::CreateOnce => "a name that is taken cannot be created again",
            Self::CreateRace => "of racing creates of one name exactly one wins",
            Self::Ranges => "parts of an object can be read",
            Self::ListAfterWrite => "what was written is listed at once, in order",
            Self::Overwrite => "an overwritten object is read as it is now",
            Self::Delete => "many objects are deleted at once, and are gone",
        }
    }

    /// Whether a log needs it, beside what data needs.
    pub fn is_of_the_log(self) -> bool {
        matches!(self, Self::Create | Self::CreateOnce | Self::CreateRace)
    }
}

/// What keys may be allowed to do. These four are all that a broker needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Read objects.
    Get,
    /// Write objects.
    Put,
    /// Delete objects.
    Delete,
    /// List names.
    List,
}

impl Permission {
    /// Its name in an AWS policy.
    pub fn action(self) -> &'static str {
        match self {
            Self::Get => "s3:GetObject",
            Self::Put => "s3:PutObject",
            Self::Delete => "s3:DeleteObject",
            Self::List => "s3:ListBucket",
        }
    }
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Passed,
    /// The store answered, and it does not hold.
    Failed(String),
    /// The keys may not do this, which it takes.
    Denied(Permission, String),
    /// There was no answer that tells, after several tries.
    Unanswered(String),
    /// It could not be tried, because what it builds on does not hold.
    Skipped(Check),
}

impl Verdict {
    /// Whether it holds.
    pub fn passed(&self) -> bool {
        *self == Self::Passed
    }

    /// Whether the store does not know the keys, so that no policy helps.
    pub fn doubts_keys(&self) -> bool {
        let codes = ["SignatureDoesNotMatch", "InvalidAccessKeyId", "AuthenticationFailed"];
        matches!(self, Self::Denied(_, reason) if codes.iter().any(|code| reason.contains(code)))
    }

    /// Why it does not hold; nothing if it does.
    pub fn reason(&self) -> String {
        match self {
            Self::Passed => String::new(),
            Self::Failed(reason) | Self::Denied(_, reason) | Self::Unanswered(reason) => reason.clone(),
            Self::Skipped(check) => format!("not tried, because {} failed", check.as_str()),
        }
    }
}

/// One check and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub check: Check,
    /// What came of it.
    pub verdict: Verdict,
}

/// Everything that a probe found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// One finding per check that was made, in the order of [`Check::ALL`]; [`probe`](super::probe) makes all of them.
    pub findings: Vec<Finding>,
    /// Measurements, if they were asked for and objects could be written and read.
    pub latency: Option<Latency>,
    /// Whether the store takes a body that is not what its checksum says; nothing where that was not asked, or cannot be told.
    pub takes_damage: Option<bool>,
    /// How the store's clock differs from this machine's, if it tells the time.
    pub clock_skew: Option<ClockSkew>,
}

/// Why a store cannot be used for something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It does not do what is needed.
    #[error("the store does not keep its contract ({}): {reason}", .check.meaning())]
    Broken {
        /// What it does not keep.
        check: Check,
        /// What it did.
        reason: String,
    },
    /// The keys are not allowed to do what is needed.
    #[error("the keys may not do {} here: {reason}", .permission.action())]
    Denied {
        /// What they may not do.
        permission: Permission,
        /// What the store said.
        reason: String,
    },
    /// It did not answer.
    #[error("the store did not answer when asked whether {}: {reason}", .check.meaning())]
    Unanswered {
        /// What was tried.
        check: Check,
        /// What happened instead.
        reason: String,
    },
}

impl Report {
    /// What came of one check.
    pub fn verdict(&self, check: Check) -> &Verdict {
        let found = self.findings.iter().find(|finding| finding.check == check);
        &found.expect("the check was made").verdict
    }

    /// Whether every question had an answer: only then is the result worth keeping.
    pub fn is_answered(&self) -> bool {
        !self.findings.iter().any(|finding| matches!(finding.verdict, Verdict::Unanswered(_)))
    }

    /// Whether records may lie here.
    pub fn fit_for_data(&self) -> Result<(), Unfit> {
        self.fit(|check| !check.is_of_the_log())
    }

    /// Whether the log, and with it everything, may lie here.
    pub fn fit_for_log(&self) -> Result<(), Unfit> {
        self.fit(|_| true)
    }

    /// What the keys were not allowed to do, each once; nothing where the store does not know the keys.
    pub fn missing_permissions(&self) -> Vec<Permission> {
        let denied = |finding: &Finding| match finding.verdict {
            Verdict::Denied(permission, _) if !finding.verdict.doubts_keys() => Some(permission),
            _ => None,
        };
        let mut missing: Vec<_> = self.findings.iter().filter_map(denied).collect();
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    fn fit(&self, counts: impl Fn(Check) -> bool) -> Result<(), Unfit> {
        for Finding { check, verdict } in self.findings.iter().filter(|finding| counts(finding.check)) {
            let (check, reason) = (*check, verdict.reason());
            match verdict {
                Verdict::Passed => {}
                Verdict::Failed(_) => return Err(Unfit::Broken { check, reason }),
                Verdict::Denied(permission, _) => return Err(Unfit::Denied { permission: *permission, reason }),
                Verdict::Unanswered(_) => return Err(Unfit::Unanswered { check, reason }),
                // What it builds on failed and stands before it.
                Verdict::Skipped(_) => return Err(Unfit::Broken { check, reason }),
            }
        }
        Ok(())
    }
}
