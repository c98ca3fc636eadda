//! Who a request says it comes from, and where it comes from.

use crate::{KEY_PREFIX, KeyFault, Network};
use http::{HeaderMap, header};
use std::net::{IpAddr, SocketAddr};

/// Most hops of proxies that are looked through.
const HOPS_MAX: usize = 32;

/// What a request's `Authorization` holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Credential<'a> {
    /// By its looks an API key.
    Key(&'a str),
    /// A token of another kind: a person's, a wall's, a device's.
    Other(&'a str),
}

/// Reads `Authorization: Bearer <token>`; an API key may also come as `Token <key>`, as programs that write to InfluxDB send it.
/// Two such headers are refused: whoever checks one and whoever uses the other would not mean the same caller.
pub fn credential(headers: &HeaderMap) -> Result<Credential<'_>, KeyFault> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(KeyFault::Missing)?;
    if values.next().is_some() {
        return Err(KeyFault::Twice);
    }
    let text = value.to_str().map_err(|_| KeyFault::Malformed)?;
    let (scheme, token) = text.trim().split_once(' ').ok_or(KeyFault::Malformed)?;
    let token = token.trim();
    let is_key = token.starts_with(KEY_PREFIX);
    if is_key && (scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token")) {
        Ok(Credential::Key(token))
    } else if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() {
        Ok(Credential::Other(token))
    } else {
        Err(KeyFault::Malformed)
    }
}

/// Where a request comes from: whoever opened the connection, unless that is a proxy one trusts. Then `X-Forwarded-For` is read
/// from its end, which is what the proxy itself wrote, past further trusted proxies; what stands before is the client's to
/// invent. Where it says nothing that reads, the proxy is the client.
pub fn client_address(headers: &HeaderMap, peer: IpAddr, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer.to_canonical();
    if !is_trusted(client) {
        return client;
    }
    let lines: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().map(|value| value.to_str().unwrap_or("?")).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')).take(HOPS_MAX) {
        let hop = hop.trim();
        let parsed = hop.parse().or_else(|_| hop.parse().map(|at: SocketAddr| at.ip()));
        let Ok(address) = parsed else { break };
        client = address.to_canonical();
        if !is_trusted(client) {
            break;
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn a_key_comes_as_bearer_or_token_and_other_tokens_as_bearer() {
        let read = |value: &str| match credential(&headers("authorization", &[value])) {
            Ok(Credential::Key(key)) => format!("key {key}"),
            Ok(Credential::Other(token)) => format!("other {token}"),
            Err(fault) => fault.code().to_owned(),
        };
        for (value, expected) in [
            ("Bearer ptk_1", "key ptk_1"),
            ("bEARER   ptk_1  ", "key ptk_1"),
            ("Token ptk_1", "key ptk_1"),
            ("token ptk_1", "key ptk_1"),
            ("Bearer a.b.c", "other a.b.c"),
            ("Bearer PTK_1", "other PTK_1"),
            ("Token a.b.c", "UNAUTHENTICATED"),
            ("Basic ptk_1", "UNAUTHENTICATED"),
            ("Basic cHRrXzE6", "UNAUTHENTICATED"),
            ("ptk_1", "UNAUTHENTICATED"),
            ("Bearer", "UNAUTHENTICATED"),
            ("Bearer ", "UNAUTHENTICATED"),
            ("Bearer\tptk_1", "UNAUTHENTICATED"),
            ("Bearer ключ", "UNAUTHENTICATED"),
            ("", "UNAUTHENTICATED"),
        ] {
            assert_eq!(read(value), expected, "{value:?}");
        }
        let twice = headers("authorization", &["Bearer ptk_1", "Bearer ptk_2"]);
        assert_eq!(credential(&twice).err(), Some(KeyFault::Twice));
        assert_eq!(credential(&HeaderMap::new()).err(), Some(KeyFault::Missing));
    }

    #[test]
    fn what_a_client_says_of_its_address_counts_only_through_a_trusted_proxy() {
        let trusted: Vec<Network> = ["10.0.0.0/8", "fd00::/8"].map(|text| text.parse().unwrap()).to_vec();
        for (peer, forwarded, client) in [
            ("203.0.113.9", vec!["1.1.1.1"], "203.0.113.9"),
            ("10.0.0.1", vec!["1.1.1.1"], "1.1.1.1"),
            ("::ffff:10.0.0.1", vec!["1.1.1.1"], "1.1.1.1"),
            ("fd00::1", vec!["2001:db8::5"], "2001:db8::5"),
            // The client wrote the first one.
            ("10.0.0.1", vec!["6.6.6.6, 1.1.1.1"], "1.1.1.1"),
            ("10.0.0.1", vec!["6.6.6.6", "1.1.1.1"], "1.1.1.1"),
            // Through two proxies of ours.
            ("10.0.0.1", vec!["6.6.6.6, 1.1.1.1, 10.0.0.2"], "1.1.1.1"),
            ("10.0.0.1", vec!["10.0.0.3,10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", vec!["1.1.1.1:5678"], "1.1.1.1"),
            ("10.0.0.1", vec!["[2001:db8::5]:443"], "2001:db8::5"),
            ("10.0.0.1", vec!["::ffff:1.1.1.1"], "1.1.1.1"),
            ("10.0.0.1", vec![], "10.0.0.1"),
            ("10.0.0.1", vec![""], "10.0.0.1"),
            ("10.0.0.1", vec!["1.1.1.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", vec!["1.1.1.1", "\u{ff}"], "10.0.0.1"),
        ] {
            let headers = headers("x-forwarded-for", &forwarded);
            let found = client_address(&headers, peer.parse().unwrap(), &trusted);
            assert_eq!(found, client.parse::<IpAddr>().unwrap(), "{peer} {forwarded:?}");
        }
        let headers = headers("x-forwarded-for", &["1.1.1.1"]);
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        assert_eq!(client_address(&headers, peer, &[]), peer);
    }
}
