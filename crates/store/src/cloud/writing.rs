//! What is asked for with every write: encryption by the store, a storage class, tags for the bill. A profile that does not
//! have it refuses it before the first request, because some providers would take the request and ignore the wish.

use object_store::{Attribute, Attributes, TagSet};

use crate::profile::{Profile, Provider};

/// Tags that a provider takes on one object (S3 and Azure).
const TAGS_MAX: usize = 10;

/// Wishes for every object that is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Writing {
    /// Encryption on request. Without it the bucket's own default rules.
    pub encryption: Option<Encryption>,
    /// A storage class (an access tier on Azure).
    pub storage_class: Option<String>,
    /// Keys and values.
    pub tags: Vec<(String, String)>,
}

/// Encryption by the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encryption {
    /// With the store's own keys (SSE-S3).
    Store,
    /// With this key of the key service (SSE-KMS).
    Kms(String),
}

/// A wish that the provider does not grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotOffered {
    /// It has nothing like it.
    #[error("{provider} does not offer {what}")]
    Nothing {
        /// Who.
        provider: Provider,
        /// Of what.
        what: &'static str,
    },
    /// It has others.
    #[error("{provider} has no storage class {class} that can be read at once: use one of {}", classes.join(", "))]
    Class {
        /// Who.
        provider: Provider,
        /// What was asked for.
        class: String,
        /// What there is.
        classes: &'static [&'static str],
    },
    /// The tags themselves are unusable.
    #[error("at most 10 tags, of 128 and 256 characters, none of them empty")]
    Tags,
}

/// What goes with every PUT.
#[derive(Debug, Clone, Default)]
pub(crate) struct Headers {
    pub attributes: Attributes,
    pub tags: TagSet,
    /// Whether a write carries any wish, encryption included: then a store may have refused that.
    pub wishes: bool,
}

impl Writing {
    /// Refuses what the provider does not have, and makes headers of the rest. Encryption is asked for by the client.
    pub(crate) fn headers(&self, profile: &Profile) -> Result<Headers, NotOffered> {
        let (provider, options) = (profile.provider, &profile.options);
        let nothing = |what| Err(NotOffered::Nothing { provider, what });
        match self.encryption {
            Some(Encryption::Store) if !options.sse_s3 => return nothing("server-side encryption on request"),
            Some(Encryption::Kms(_)) if !options.sse_kms => return nothing("encryption with keys of a key service"),
            _ => {}
        }
        let mut headers = Headers { wishes: *self != Self::default(), ..Headers::default() };
        if let Some(class) = &self.storage_class {
            if options.storage_classes.is_empty() {
                return nothing("storage classes");
            }
            if !options.other_classes && !options.storage_classes.contains(&class.as_str()) {
                let classes = options.storage_classes;
                return Err(NotOffered::Class { provider, class: class.clone(), classes });
            }
            headers.attributes.insert(Attribute::StorageClass, class.clone().into());
        }
        if !self.tags.is_empty() && !options.tags {
            return nothing("tags");
        }
        let fits = |text: &str, most| (1..=most).contains(&text.chars().count());
        if self.tags.len() > TAGS_MAX || !self.tags.iter().all(|(key, value)| fits(key, 128) && fits(value, 256)) {
            return Err(NotOffered::Tags);
        }
        for (key, value) in &self.tags {
            headers.tags.push(key, value);
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(provider: Provider, writing: Writing) -> Option<String> {
        writing.headers(provider.profile()).err().map(|error| error.to_string())
    }

    #[test]
    fn what_a_provider_does_not_have_is_refused_by_name() {
        let kms = || Writing { encryption: Some(Encryption::Kms("key".to_owned())), ..Writing::default() };
        let class = |class: &str| Writing { storage_class: Some(class.to_owned()), ..Writing::default() };
        let tag = || Writing { tags: vec![("team".to_owned(), "a".to_owned())], ..Writing::default() };
        assert_eq!(refusal(Provider::Aws, kms()), None);
        assert_eq!(refusal(Provider::Aws, class("INTELLIGENT_TIERING")), None);
        assert_eq!(refusal(Provider::Aws, tag()), None);
        assert_eq!(refusal(Provider::GenericS3, class("REDUCED")), None, "a deployment names its own");
        for (writing, reason) in [
            (kms(), "r2 does not offer encryption with keys of a key service"),
            (tag(), "r2 does not offer tags"),
            (
                class("GLACIER"),
                "r2 has no storage class GLACIER that can be read at once: use one of STANDARD, STANDARD_IA",
            ),
        ] {
            assert_eq!(refusal(Provider::R2, writing).as_deref(), Some(reason));
        }
        assert!(refusal(Provider::Aws, class("DEEP_ARCHIVE")).is_some(), "it could not be read");
        assert!(refusal(Provider::Vultr, class("x")).is_some());
        assert_eq!(refusal(Provider::B2, class("STANDARD")).as_deref(), Some("b2 does not offer storage classes"));
        let many = (0..11).map(|number| (format!("key{number}"), "x".to_owned())).collect();
        assert!(refusal(Provider::Aws, Writing { tags: many, ..Writing::default() }).is_some());
    }
}
