//! How commands reach a Kafka: any Kafka, this one or another.
//!
//! A command collects [`Properties`] (flags, variables, a file in the form of Kafka's own tools), connects with
//! [`connect`], and turns the library's errors into exit codes and advice with [`failure`]. The names of properties are
//! those of Kafka's Java clients, so that a file that works with `kafka-topics.sh --command-config` works here.
//!
//! ```text
//! flags ─▶ Properties (catalogue: names, defaults, meaning) ─▶ connect ─▶ krafka::Kafka
//!                                                            ─▶ roles: producer, consumer
//! ```

pub mod catalogue;
mod errors;
mod file;
pub mod flags;
pub mod offsets;
pub mod print;
mod properties;
mod roles;
mod security;
pub mod session;
pub mod versions;

use std::time::Duration;

use krafka::{Kafka, admin::AdminClient};

pub use errors::{failure, failure_of, plain};
pub use properties::Properties;
pub use roles::{consumer, producer};
pub use session::Session;

use crate::exit::Failure;

/// What asking for a topic that does not exist does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AbsentTopic {
    /// It stays absent.
    Leave,
    /// The broker creates it, if its own settings allow that.
    Create,
}

/// Connects and learns the cluster's brokers. Each call opens connections of its own.
pub async fn connect(properties: &Properties, absent: AbsentTopic) -> Result<Kafka, Failure> {
    let millis = |name| properties.number::<u64>(name).map(Duration::from_millis);
    let buffer = |name| properties.number::<i64>(name).map(|bytes| usize::try_from(bytes).ok());
    let request_timeout = millis("request.timeout.ms")?;
    let idle = millis("connections.max.idle.ms")?;
    let builder = Kafka::builder(properties.text("bootstrap.servers"))
        .client_id(properties.text("client.id"))
        .security(security::of(properties)?)
        .request_timeout(request_timeout)
        // The library wants it no longer than a request may take.
        .connect_timeout(millis("socket.connection.setup.timeout.ms")?.min(request_timeout))
        .connections_max_idle((!idle.is_zero()).then_some(idle))
        .metadata_max_age(millis("metadata.max.age.ms")?)
        .socket_send_buffer(buffer("send.buffer.bytes")?)
        .socket_receive_buffer(buffer("receive.buffer.bytes")?)
        .allow_auto_create_topics(absent == AbsentTopic::Create);
    let asked = properties.text("bootstrap.servers");
    builder.connect().await.map_err(|error| failure(error, &format!("cannot reach a Kafka at {asked}")))
}

/// A client for administration whose calls end within `default.api.timeout.ms`.
pub fn admin(kafka: &Kafka, properties: &Properties) -> Result<AdminClient, Failure> {
    let timeout = Duration::from_millis(properties.number("default.api.timeout.ms")?);
    Ok(kafka.admin().default_api_timeout(timeout))
}
