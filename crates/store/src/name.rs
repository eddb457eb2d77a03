//! Which names an object may have.
//!
//! The rule is narrow so that a name means the same on every store: no escaping in URLs, no case folding surprises that
//! matter, no path that leaves the root of a directory. Every store checks names before it does anything with them.

/// Longest name in bytes; with a bucket's prefix in front it stays below S3's limit of 1,024.
pub const NAME_BYTES_MAX: usize = 512;

/// Longest component in bytes: that of a topic's name, of which segments have their path. File systems allow 255.
const COMPONENT_BYTES_MAX: usize = 249;

/// A name that no store accepts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the object name {name:?} is not allowed: {why}")]
pub struct BadName {
    name: String,
    why: &'static str,
}

/// Checks a whole name.
pub(crate) fn check(name: &str) -> Result<(), BadName> {
    match fault(name) {
        None => Ok(()),
        Some(why) => Err(BadName { name: name.chars().take(NAME_BYTES_MAX).collect(), why }),
    }
}

/// Whether an allowed name may begin with this.
pub(crate) fn can_begin(prefix: &str) -> bool {
    let (folders, last) = prefix.rsplit_once('/').map_or((None, prefix), |(folders, last)| (Some(folders), last));
    folders.is_none_or(|folders| fault(folders).is_none())
        && (matches!(last, "" | "." | "..") || component_fault(last).is_none())
}

/// Checks one component of a name, as found on a disk.
pub(crate) fn is_component(component: &str) -> bool {
    component_fault(component).is_none()
}

fn fault(name: &str) -> Option<&'static str> {
    if name.len() > NAME_BYTES_MAX {
        return Some("it is longer than 512 bytes");
    }
    name.split('/').find_map(component_fault)
}

fn component_fault(component: &str) -> Option<&'static str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    match component {
        "" => Some("a component is empty"),
        "." | ".." => Some("a component is '.' or '..'"),
        _ if component.len() > COMPONENT_BYTES_MAX => Some("a component is longer than 249 bytes"),
        _ if !component.bytes().all(allowed) => {
            Some("only ASCII letters, digits, '.', '-', '_' and '/' may stand in it")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_pass() {
        for name in ["a", "floor", "log/00000000000000000001/00000000000000000002", "data/x-y_z/...", "a.b/c-d"] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn a_prefix_may_end_anywhere_in_a_name() {
        for prefix in ["", "a", "a/", "a/b", "a/.", "a/..", "log/0000", "..."] {
            assert!(can_begin(prefix), "{prefix:?}");
        }
        for prefix in ["/", "//", "a//", "../", "a/../", "a/./b", "a b", "a/b%", "ä"] {
            assert!(!can_begin(prefix), "{prefix:?}");
        }
    }

    #[test]
    fn names_that_leave_the_root_or_need_escaping_are_refused() {
        let long = "x".repeat(250);
        let longer = "abc/".repeat(128) + "x";
        for name in
            ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "a b", "a+b", "ä", "a\0b", "a\\b", "a%2e"]
                .into_iter()
                .chain([long.as_str(), longer.as_str()])
        {
            assert!(check(name).is_err(), "{name:?}");
        }
    }
}
