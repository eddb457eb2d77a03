//! Where the process listens and what clients are told.

use std::{io, net::SocketAddr};

use anyhow::Context;
use tokio::net::TcpListener;

use crate::{
    exit::{Exit, Failure},
    settings::Address,
};

/// Binds a listening socket; `setting` names the setting in the error.
pub async fn bind(setting: &str, address: &Address) -> Result<TcpListener, Failure> {
    let bound: io::Result<TcpListener> = TcpListener::bind((address.host.as_str(), address.port)).await;
    let bound = bound.with_context(|| format!("cannot listen on {address} (--{setting})"));
    bound.map_err(|error| Failure::new(Exit::AddressUnusable, error))
}

/// The address that clients are given in answers: `advertise` if set, else the host of `listen`, else (where that stands
/// for every address) this machine's host name. Port 0 becomes the port that was bound.
pub fn advertised(listen: &Address, advertise: Option<&Address>, bound: SocketAddr, host_name: &str) -> Address {
    let mut address = match advertise {
        Some(address) => address.clone(),
        None if listen.is_unspecified() => Address { host: host_name.to_owned(), port: 0 },
        None => Address { host: listen.host.clone(), port: 0 },
    };
    if address.port == 0 {
        address.port = bound.port();
    }
    address
}

/// The name by which this machine knows itself.
pub fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::value::Value;

    fn told(listen: &str, advertise: Option<&str>) -> String {
        let address = |text| Address::parse(text).unwrap();
        let bound = "127.0.0.1:41000".parse().unwrap();
        advertised(&address(listen), advertise.map(address).as_ref(), bound, "box").to_string()
    }

    #[test]
    fn clients_are_told_what_they_can_reach() {
        assert_eq!(told("127.0.0.1:0", None), "127.0.0.1:41000");
        assert_eq!(told("localhost:41000", None), "localhost:41000");
        assert_eq!(told("0.0.0.0:41000", None), "box:41000");
        assert_eq!(told("[::]:0", None), "box:41000");
        assert_eq!(told("0.0.0.0:41000", Some("kafka.example:9092")), "kafka.example:9092");
        assert_eq!(told("0.0.0.0:0", Some("kafka.example:0")), "kafka.example:41000");
    }
}
