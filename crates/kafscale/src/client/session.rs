//! One connection for one command: what the administrative commands begin with, and how they tell what became of many
//! things asked for at once.

use anyhow::Context;
use clap::ArgMatches;
use krafka::{Kafka, admin::AdminClient, error::KrafkaError};

use super::{AbsentTopic, Properties, admin, connect, failure, flags};
use crate::{exit::Failure, logging, text::escape::safe};

/// A connected client.
pub struct Session {
    /// What it was told.
    pub properties: Properties,
    /// The cluster.
    pub kafka: Kafka,
    /// For administration.
    pub admin: AdminClient,
}

impl Session {
    /// Connects with these properties.
    pub async fn open(properties: Properties, absent: AbsentTopic) -> Result<Self, Failure> {
        let kafka = connect(&properties, absent).await?;
        let admin = admin(&kafka, &properties)?;
        Ok(Self { properties, kafka, admin })
    }
}

/// Reads the connection's flags, connects, and does the work of an administrative command on this thread.
pub fn run(matches: &ArgMatches, work: impl AsyncFnOnce(&Session) -> Result<(), Failure>) -> Result<(), Failure> {
    let properties = flags::read(matches)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the client")?;
    runtime.block_on(async {
        let session = Session::open(properties, AbsentTopic::Leave).await?;
        work(&session).await
    })
}

/// The results that are good, in the order of `order`, and the failure of the whole if some are not. If there are several
/// failures each is said on stderr; the exit code is the first one's.
pub fn sort_out<K: Ord, V>(
    results: impl IntoIterator<Item = (K, Result<V, KrafkaError>)>,
    what: impl Fn(&K) -> String,
) -> (Vec<(K, V)>, Result<(), Failure>) {
    let mut all: Vec<(K, Result<V, KrafkaError>)> = results.into_iter().collect();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    let asked = all.len();
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for (key, result) in all {
        match result {
            Ok(value) => good.push((key, value)),
            Err(error) => bad.push(failure(error, &safe(&what(&key)))),
        }
    }
    (good, together(bad, asked))
}

/// One failure is itself; several are said one by one and end as their number.
pub fn together(failures: Vec<Failure>, asked: usize) -> Result<(), Failure> {
    let count = failures.len();
    let mut failures = failures.into_iter();
    match (failures.next(), count) {
        (None, _) => Ok(()),
        (Some(only), 1) => Err(only),
        (Some(first), count) => {
            let exit = first.exit;
            for failure in std::iter::once(first).chain(failures) {
                logging::say("ERROR", &format!("kafscale: {failure}"));
            }
            Err(Failure::new(exit, anyhow::anyhow!("{count} of {asked} failed")))
        }
    }
}
