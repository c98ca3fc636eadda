//! Where may be pushed to: a webhook must not become a way into the network the server stands in.

use access::Network;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Public addresses, and those networks that the operator names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reach {
    pub(crate) networks: Vec<Network>,
}

impl Reach {
    pub(crate) fn includes(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(address)) || is_public(address)
    }

    /// Why it does not.
    pub(crate) fn refusal(address: IpAddr) -> String {
        format!("{address} is not a public address, and --webhook-network does not name its network")
    }
}

/// By the IANA registries of special-purpose addresses; what they do not call globally reachable is not.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127, ..)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
            | (224..=255, ..)
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([p, q], [r, s]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(p, q, r, s))
    };
    match address.segments() {
        // Translated to IPv4 on the way: as public as what it is translated to.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        // Global unicast, but for protocols' own (Teredo among them), 6to4 and documentation.
        [0x2000..=0x3fff, ..] => {
            !(a == 0x2001 && (b < 0x200 || b == 0xdb8)) && a != 0x2002 && !(a == 0x3fff && b < 0x1000)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_reached() {
        let reach = Reach::default();
        for address in [
            "8.8.8.8",
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.1.1",
            "198.20.1.1",
            "223.255.255.255",
            "2606:4700::1111",
            "240e::1",
            "64:ff9b::808:808",
            "::ffff:8.8.8.8",
        ] {
            assert!(reach.includes(address.parse().unwrap()), "{address}");
        }
        for address in [
            "0.0.0.0",
            "10.0.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "100.64.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!reach.includes(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn named_networks_are_reached_too() {
        let reach = Reach { networks: vec!["10.1.0.0/16".parse().unwrap(), "fd00::/8".parse().unwrap()] };
        let includes = |address: &str| reach.includes(address.parse().unwrap());
        assert!(
            includes("10.1.2.3") && includes("::ffff:10.1.2.3") && includes("fd00::1") && includes("8.8.8.8")
        );
        assert!(!includes("10.2.0.1") && !includes("127.0.0.1"));
    }
}
