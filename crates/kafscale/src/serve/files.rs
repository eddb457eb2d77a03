//! The limit of open files, of which every connection takes one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files besides connections: the store's, the listeners', the runtime's own.
const OTHER_FILES: u64 = 256;

/// Raises this process's limit as far as it may, and warns where that is too little for so many connections. The usual
/// soft limit of 1,024 is meant for programs that use `select`.
pub fn raise_limit(connections: u32) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // Absent means unlimited.
    let raised = match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(_) => current,
    };
    if let Some(files) = raised.filter(|files| *files < u64::from(connections) + OTHER_FILES) {
        tracing::warn!(
            files,
            connections,
            "the limit of open files (ulimit -n) is too low for max-connections: clients beyond it will not be accepted"
        );
    }
}
