//! `kafscale cluster describe`: brokers, features, versions of the protocol, the quorum.

use std::collections::BTreeMap;

use clap::{ArgMatches, Command};
use krafka::{
    admin::{DescribeClusterOptions, DescribeFeaturesOptions, DescribeMetadataQuorumOptions, QuorumInfo},
    error::{ErrorCode, KrafkaError},
};
use serde::Serialize;

use super::arguments::switch;
use crate::{
    client::{self, Session, failure_of, session, versions},
    exit::Failure,
    logging,
    output::{self, Format, Row},
};

/// The command with its subcommand.
pub fn command() -> Command {
    let describe = Command::new("describe")
        .about("Show the cluster: brokers, features, and the quorum where there is one")
        .arg(switch("api-versions", "The versions of each API that the first reachable broker speaks, too"));
    Command::new("cluster")
        .about("Describe a cluster")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(super::arguments::client(describe))
}

/// Runs it.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let Some((_, matches)) = matches.subcommand() else { unreachable!("clap requires a subcommand") };
    session::run(matches, async |session| describe(session, matches).await)
}

#[derive(Serialize)]
struct Cluster {
    cluster_id: String,
    controller: Option<i32>,
    brokers: Vec<Broker>,
    features: Vec<Feature>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quorum: Option<Quorum>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_versions: Option<Vec<Api>>,
}

#[derive(Serialize)]
struct Broker {
    id: i32,
    host: String,
    port: i32,
    rack: Option<String>,
    fenced: bool,
}

impl Row for Broker {
    const HEADINGS: &'static [&'static str] = &["BROKER", "HOST", "PORT", "RACK", "STATE"];
    fn cells(&self) -> Vec<String> {
        let rack = self.rack.clone().unwrap_or_else(|| "-".to_owned());
        let state = if self.fenced { "fenced" } else { "active" };
        vec![self.id.to_string(), self.host.clone(), self.port.to_string(), rack, state.into()]
    }
}

#[derive(Serialize)]
struct Feature {
    feature: String,
    supported: Option<(i16, i16)>,
    finalized: Option<i16>,
}

impl Row for Feature {
    const HEADINGS: &'static [&'static str] = &["FEATURE", "SUPPORTED", "FINALIZED"];
    fn cells(&self) -> Vec<String> {
        let supported = self.supported.map_or("-".to_owned(), |(min, max)| format!("{min}-{max}"));
        vec![self.feature.clone(), supported, self.finalized.map_or("-".to_owned(), |level| level.to_string())]
    }
}

#[derive(Serialize)]
struct Quorum {
    leader: i32,
    epoch: i32,
    high_watermark: i64,
    replicas: Vec<Replica>,
}

#[derive(Serialize)]
struct Replica {
    replica: i32,
    role: &'static str,
    end: i64,
    lag: i64,
}

impl Row for Replica {
    const HEADINGS: &'static [&'static str] = &["REPLICA", "ROLE", "END", "LAG"];
    fn cells(&self) -> Vec<String> {
        vec![self.replica.to_string(), self.role.into(), self.end.to_string(), self.lag.to_string()]
    }
}

#[derive(Serialize)]
struct Api {
    key: i16,
    api: String,
    min: i16,
    max: i16,
}

impl Row for Api {
    const HEADINGS: &'static [&'static str] = &["KEY", "API", "VERSIONS"];
    fn cells(&self) -> Vec<String> {
        vec![self.key.to_string(), self.api.clone(), format!("{}-{}", self.min, self.max)]
    }
}

async fn describe(session: &Session, matches: &ArgMatches) -> Result<(), Failure> {
    let described = session.admin.describe_cluster(DescribeClusterOptions::default()).await;
    let described = described.map_err(failure_of("cannot describe the cluster"))?;
    let mut brokers: Vec<Broker> = described
        .brokers
        .into_iter()
        .map(|broker| Broker {
            id: broker.id,
            host: broker.host,
            port: broker.port,
            rack: broker.rack,
            fenced: broker.is_fenced,
        })
        .collect();
    brokers.sort_by_key(|broker| broker.id);
    let api_versions = match matches.get_flag("api-versions") {
        true => Some(api_versions(session).await?),
        false => None,
    };
    let cluster = Cluster {
        cluster_id: described.cluster_id,
        controller: (described.controller_id >= 0).then_some(described.controller_id),
        brokers,
        features: features(session).await?,
        quorum: quorum(session).await,
        api_versions,
    };
    print(Format::of(matches), &cluster)
}

/// Features that the broker supports, that are in force, or both.
async fn features(session: &Session) -> Result<Vec<Feature>, Failure> {
    let told = session.admin.describe_features(DescribeFeaturesOptions::default()).await;
    let told = told.map_err(failure_of("cannot describe features"))?;
    let empty = |name: &str| Feature { feature: name.to_owned(), supported: None, finalized: None };
    let mut features: BTreeMap<String, Feature> = BTreeMap::new();
    for one in told.supported {
        features.entry(one.name.clone()).or_insert_with(|| empty(&one.name)).supported =
            Some((one.min_version, one.max_version));
    }
    for one in told.finalized {
        features.entry(one.name.clone()).or_insert_with(|| empty(&one.name)).finalized = Some(one.max_version_level);
    }
    Ok(features.into_values().collect())
}

/// The quorum of the metadata, where the Kafka has one and shows it.
async fn quorum(session: &Session) -> Option<Quorum> {
    match session.admin.describe_metadata_quorum(DescribeMetadataQuorumOptions::default()).await {
        Ok(told) => Some(quorum_of(&told)),
        // It has no such API, or no such log: then there is nothing to show.
        Err(KrafkaError::Protocol { .. })
        | Err(KrafkaError::Broker {
            code: ErrorCode::UnsupportedVersion | ErrorCode::UnknownTopicOrPartition | ErrorCode::InvalidRequest,
            ..
        }) => None,
        Err(error) => {
            logging::say("WARN", &format!("the quorum is left out: {}", client::plain(&error)));
            None
        }
    }
}

fn quorum_of(told: &QuorumInfo) -> Quorum {
    let leader_end =
        told.voters.iter().find(|voter| voter.replica_id == told.leader_id).map(|voter| voter.log_end_offset);
    let replica = |of: &krafka::admin::QuorumReplica, role| Replica {
        replica: of.replica_id,
        role,
        end: of.log_end_offset,
        lag: leader_end.map_or(0, |end| (end - of.log_end_offset).max(0)),
    };
    let voter = |of| replica(of, if of.replica_id == told.leader_id { "leader" } else { "voter" });
    let observers = told.observers.iter().map(|of| replica(of, "observer"));
    Quorum {
        leader: told.leader_id,
        epoch: told.leader_epoch,
        high_watermark: told.high_watermark,
        replicas: told.voters.iter().map(voter).chain(observers).collect(),
    }
}

async fn api_versions(session: &Session) -> Result<Vec<Api>, Failure> {
    let ranges = versions::ask(&session.properties).await?;
    let name = |key| kafscale_protocol::ApiKey::from_code(key).map_or("unknown", |api| api.facts().name).to_owned();
    Ok(ranges.into_iter().map(|(key, min, max)| Api { key, api: name(key), min, max }).collect())
}

fn print(format: Format, cluster: &Cluster) -> Result<(), Failure> {
    if format == Format::Json {
        return output::json(cluster);
    }
    let controller = cluster.controller.map_or("none".to_owned(), |id| id.to_string());
    output::line(&format!("cluster {}, controller {controller}", cluster.cluster_id))?;
    output::rows(format, &cluster.brokers)?;
    if !cluster.features.is_empty() {
        output::line("")?;
        output::rows(format, &cluster.features)?;
    }
    if let Some(quorum) = &cluster.quorum {
        output::line(&format!(
            "\nquorum: leader {}, epoch {}, high watermark {}",
            quorum.leader, quorum.epoch, quorum.high_watermark
        ))?;
        output::rows(format, &quorum.replicas)?;
    }
    if let Some(apis) = &cluster.api_versions {
        output::line("")?;
        output::rows(format, apis)?;
    }
    Ok(())
}
