//! This broker as clients are told to reach it: the one node of Metadata, DescribeCluster and FindCoordinator.

use std::net::IpAddr;

use kafka_protocol::protocol::StrBytes;

use crate::net::Peer;
use crate::settings::Settings;

/// Node id, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The node id.
    pub node_id: i32,
    /// Host name or address.
    pub host: StrBytes,
    /// Port.
    pub port: i32,
}

/// The endpoint for the client of `peer`: what the settings advertise, or the address and port it reached.
pub fn endpoint(settings: &Settings, peer: &Peer) -> Endpoint {
    let host = match &settings.advertised_host {
        Some(host) => host.clone(),
        None => reached(peer.local.ip()),
    };
    Endpoint {
        node_id: settings.node_id,
        host: StrBytes::from_string(host),
        port: settings.advertised_port.unwrap_or(peer.local.port()).into(),
    }
}

/// An IPv4 client of a dual-stack socket must get an address of its own kind.
fn reached(address: IpAddr) -> String {
    address.to_canonical().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advertised(local: &str, host: Option<&str>, port: Option<u16>) -> (String, i32) {
        let settings = Settings {
            advertised_host: host.map(str::to_owned),
            advertised_port: port,
            ..Settings::default()
        };
        let local = local.parse().unwrap();
        let endpoint = endpoint(&settings, &Peer { client: local, local });
        (endpoint.host.to_string(), endpoint.port)
    }

    #[test]
    fn clients_are_told_the_address_they_reached_unless_settings_say_otherwise() {
        assert_eq!(advertised("127.0.0.1:9092", None, None), ("127.0.0.1".to_owned(), 9092));
        assert_eq!(advertised("[::1]:9093", None, None), ("::1".to_owned(), 9093));
        assert_eq!(advertised("[::ffff:10.0.0.1]:1", None, None), ("10.0.0.1".to_owned(), 1));
        assert_eq!(advertised("127.0.0.1:9092", Some("db"), Some(5)), ("db".to_owned(), 5));
    }
}
