//! What is known of a provider from its host name. It decides pacing and which request deletes, never correctness.

/// One provider's ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Profile {
    /// Whether a PUT is billed.
    pub requests_cost_money: bool,
    /// Whether a second write to a name is welcome while the first may still be under way.
    pub may_hedge: bool,
    /// Whether it knows the deletion of many objects in one request.
    pub bulk_delete: bool,
}

impl Profile {
    /// Of the provider at this host; an unknown one is taken to be billed.
    pub(crate) fn of(host: &str) -> Self {
        let usual = Self { requests_cost_money: true, may_hedge: true, bulk_delete: true };
        let free = Self { requests_cost_money: false, ..usual };
        let is =
            |suffix: &str| host.strip_suffix(suffix).is_some_and(|before| before.is_empty() || before.ends_with('.'));
        if is("r2.cloudflarestorage.com") {
            // One write a second per name, else 429.
            Self { may_hedge: false, ..usual }
        } else if is("storage.googleapis.com") {
            // The same; and its S3 dialect has no bulk deletion.
            Self { may_hedge: false, bulk_delete: false, ..usual }
        } else if is("backblazeb2.com") {
            // Every write of a name is a version of its own, kept and billed.
            Self { may_hedge: false, ..free }
        } else if ["digitaloceanspaces.com", "linodeobjects.com", "vultrobjects.com", "wasabisys.com"]
            .into_iter()
            .any(is)
        {
            free
        } else {
            usual
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_are_known_by_their_hosts() {
        assert!(!Profile::of("abc.r2.cloudflarestorage.com").may_hedge);
        assert!(!Profile::of("storage.googleapis.com").bulk_delete);
        assert!(!Profile::of("nyc3.digitaloceanspaces.com").requests_cost_money);
        assert!(Profile::of("s3.eu-west-1.amazonaws.com").may_hedge);
        assert!(Profile::of("127.0.0.1").requests_cost_money, "unknown endpoints count as billed");
        assert!(Profile::of("evilbackblazeb2.com").requests_cost_money, "a suffix is whole labels");
    }
}
