//! Networks as people write them: `10.1.0.0/16`, `2001:db8::/32`, or one address.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr, str::FromStr};

/// A range of IP addresses. An IPv4 address that comes wrapped in IPv6 (`::ffff:10.1.2.3`) is the IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Network(IpNet);

/// A text that is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a network such as 10.1.0.0/16, 2001:db8::/32 or 10.1.2.3{hint}")]
pub struct InvalidNetwork {
    text: String,
    hint: String,
}

impl Network {
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Network, InvalidNetwork> {
        let invalid = |hint: String| InvalidNetwork { text: text.chars().take(64).collect(), hint };
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Network(address.to_canonical().into()));
        }
        let network: IpNet = text.parse().map_err(|_| invalid(String::new()))?;
        // A set bit beyond the prefix is a slip of the finger that would silently take more or less than was meant.
        if network.addr() != network.network() {
            return Err(invalid(format!(": did you mean {}?", network.trunc())));
        }
        if let IpAddr::V6(address) = network.addr()
            && address.to_ipv4_mapped().is_some()
        {
            return Err(invalid(": write it as an IPv4 network".into()));
        }
        Ok(Network(network))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for Network {
    type Error = InvalidNetwork;
    fn try_from(text: String) -> Result<Network, InvalidNetwork> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> String {
        network.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn contains(network: &str, address: &str) -> bool {
        network.parse::<Network>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        for (network, address, held) in [
            ("10.1.0.0/16", "10.1.255.255", true),
            ("10.1.0.0/16", "10.2.0.0", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("10.1.0.0/16", "::ffff:10.1.2.3", true),
            ("::ffff:10.1.2.3", "10.1.2.3", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::", false),
            ("::/0", "10.0.0.1", false),
        ] {
            assert_eq!(contains(network, address), held, "{network} {address}");
        }
    }

    #[test]
    fn what_is_no_network_is_told_with_what_may_have_been_meant() {
        for (text, hint) in [
            ("10.1.2.3/16", "10.1.0.0/16"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("::ffff:10.0.0.0/104", "IPv4"),
            ("10.0.0.0/33", "10.0.0.0/33"),
            ("", "10.1.0.0/16"),
            ("office", "office"),
        ] {
            let error = text.parse::<Network>().unwrap_err().to_string();
            assert!(error.contains(hint), "{error}");
        }
        let shown = |text: &str| text.parse::<Network>().unwrap().to_string();
        assert_eq!([shown("10.1.2.3"), shown("2001:db8::/32")], ["10.1.2.3/32", "2001:db8::/32"]);
    }

    proptest! {
        /// Bit by bit, as RFC 4632 has it.
        #[test]
        fn an_address_is_held_where_its_first_bits_are_the_networks(base: u32, length in 0_u8..=32, other: u32, near in 0_u32..32) {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            let address = |bits: u32| IpAddr::from(bits.to_be_bytes());
            let network: Network = format!("{}/{length}", address(base & mask)).parse().unwrap();
            for bits in [base, other, base ^ (1 << near)] {
                prop_assert_eq!(network.contains(address(bits)), bits & mask == base & mask);
            }
        }

        #[test]
        fn the_same_holds_for_the_longer_addresses(base: u128, length in 0_u8..=128, other: u128, near in 0_u32..128) {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            let address = |bits: u128| IpAddr::from(bits.to_be_bytes());
            prop_assume!([base, base & mask, other, base ^ (1 << near)].iter().all(|b| address(*b).to_canonical() == address(*b)));
            let network: Network = format!("{}/{length}", address(base & mask)).parse().unwrap();
            for bits in [base, other, base ^ (1 << near)] {
                prop_assert_eq!(network.contains(address(bits)), bits & mask == base & mask);
            }
        }
    }
}
