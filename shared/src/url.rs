//! Addresses as they may be shown.

/// A URL without its password. A password may hold anything, also `@`, `/` and `://`, and the URL need not be a good one, so nothing
/// before the last `@` is shown but a scheme that is one.
pub fn without_password(url: &str) -> String {
    let Some((before, host)) = url.rsplit_once('@') else { return url.to_owned() };
    match before.split_once("://") {
        Some((scheme, _)) if scheme.bytes().all(|b| b.is_ascii_lowercase()) => format!("{scheme}://…@{host}"),
        _ => format!("…@{host}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_password_is_shown() {
        for (url, shown) in [
            ("mqtt://u:hunter2@broker:1884", "mqtt://…@broker:1884"),
            ("mqtt://u:hun@ter2@broker", "mqtt://…@broker"),
            ("mqtts://u:hun/ter?2#@broker/x", "mqtts://…@broker/x"),
            ("u:hun://ter2@broker", "…@broker"),
            ("u:hunter2@broker:1883", "…@broker:1883"),
            ("mqtt://broker?client_id=a@b", "mqtt://…@b"),
            ("postgres://park:se@cret@db:5432/park", "postgres://…@db:5432/park"),
            ("mqtt://broker", "mqtt://broker"),
        ] {
            assert_eq!(without_password(url), shown, "{url}");
        }
    }
}
