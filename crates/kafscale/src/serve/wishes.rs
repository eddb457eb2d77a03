//! What is asked for with every write, where the log lives at another provider than the records.
//!
//! Encryption, class and tags are said of the store of the records. Another provider may have none of them, other names
//! for its classes, and no key of the first one's key service. A log holds no records then, so what its store does not
//! have is left out there instead of refused, and said: nobody is to believe in an encryption that was not asked for.

use kafscale_store::{Encryption, Writing, profile::Profile};

/// What is asked for at `there` of the wishes for `here`, and in words what is not.
pub fn granted(wishes: &Writing, here: &Profile, there: &Profile) -> (Writing, Vec<&'static str>) {
    let (mut granted, mut left_out) = (wishes.clone(), Vec::new());
    if here.provider == there.provider {
        return (granted, left_out);
    }
    match wishes.encryption {
        Some(Encryption::Store) if !there.options.sse_s3 => left_out.push("encryption on request (sse-s3)"),
        // The key lies with the first provider, even where the other one has a key service of its own.
        Some(Encryption::Kms(_)) => left_out.push("encryption with a key of the records' provider (sse-kms)"),
        _ => {}
    }
    if !left_out.is_empty() {
        granted.encryption = None;
    }
    // Names of classes are the provider's own, also where it takes any.
    if wishes.storage_class.as_deref().is_some_and(|class| !there.options.storage_classes.contains(&class)) {
        granted.storage_class = None;
        left_out.push("the storage class");
    }
    if !wishes.tags.is_empty() && !there.options.tags {
        granted.tags.clear();
        left_out.push("tags");
    }
    (granted, left_out)
}
