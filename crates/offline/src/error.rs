//! Why a tool stops.

use kafscale_broker::cluster::ClusterError;

/// One error of all tools here; the command line maps it to exit codes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store does not answer, or refuses.
    #[error("{name}: {reason}")]
    Store {
        /// What was asked for.
        name: String,
        /// What the store said.
        reason: String,
    },
    /// The marker says something that does not fit.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// There is nothing of a cluster here.
    #[error("there is no cluster.json: this is not the store of a cluster")]
    NoCluster,
    /// A later release wrote it.
    #[error("{name} was written by a newer version: {reason}")]
    Newer {
        /// Which object.
        name: String,
        /// What was found.
        reason: String,
    },
    /// An object that is needed is not there.
    #[error("{0} is missing")]
    Missing(String),
    /// An object is not what it should be.
    #[error("{name} is damaged: {reason}")]
    Damaged {
        /// Which one.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// What was named is not there.
    #[error("{0}")]
    NotFound(String),
    /// What was asked for must not be done.
    #[error("{0}")]
    Refused(String),
}

impl Error {
    /// An object that is not what it should be.
    pub fn damaged(name: &str, reason: impl ToString) -> Self {
        Self::Damaged { name: name.to_owned(), reason: reason.to_string() }
    }
}
