//! A webhook: where to tell what.

use crate::{Secret, telemetry::TelemetryPush};
use access::{Invalid, check_text, given};
use records::Happened;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::{selector::Selector, time::Timestamp};
use url::Url;

const NAME_MAX: usize = 100;
const URL_MAX: usize = 2_000;
const SCOPE_MAX: usize = 1_000;

/// A webhook as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    pub id: String,
    pub name: String,
    pub url: String,
    /// What it is told of what happens; empty is everything, but nothing where it is told telemetry.
    pub events: Vec<Happened>,
    /// What devices measure, if it is told that.
    #[serde(default)]
    pub telemetry: Option<TelemetryPush>,
    /// Of which devices; empty is all of them and the park itself. Measurements restrict telemetry.
    pub scope: Selector,
    /// While it is not, nothing is queued for it and what waits stays. What is measured meanwhile is told afterwards.
    pub enabled: bool,
    /// Why the server itself disabled it.
    pub disabled_because: Option<String>,
    pub created_at: Timestamp,
    /// The administrator who made it.
    pub created_by: String,
}

/// A webhook to be made.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewWebhook {
    /// 1 to 100 characters.
    pub name: String,
    /// `https://…`, or `http://…` within a network one trusts.
    pub url: String,
    /// What to tell of what happens; when left out, everything, but nothing where telemetry is told.
    #[serde(default)]
    pub events: Vec<Happened>,
    /// Also what devices measure, summed up step by step.
    #[serde(default)]
    pub telemetry: Option<TelemetryPush>,
    /// Of which devices; of all and of the park itself when left out. Measurements are named only where telemetry is told.
    #[serde(default)]
    pub scope: Selector,
}

/// What to change of a webhook; what is left out stays.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WebhookChange {
    pub name: Option<String>,
    pub url: Option<String>,
    pub events: Option<Vec<Happened>>,
    /// `null` to tell it no longer.
    #[serde(deserialize_with = "given")]
    #[schemars(with = "Option<TelemetryPush>")]
    pub telemetry: Option<Option<TelemetryPush>>,
    pub scope: Option<Selector>,
    pub enabled: Option<bool>,
}

/// A webhook as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    #[serde(flatten)]
    pub(crate) webhook: Webhook,
    /// All that sign: the newest, and those it replaced a short while ago.
    pub(crate) secrets: Vec<KeptSecret>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeptSecret {
    pub(crate) secret: Secret,
    /// From then on it no longer signs.
    pub(crate) until: Option<Timestamp>,
}

impl Webhook {
    /// Whether it is told of what happens by this name.
    pub(crate) fn is_told(&self, event: Happened) -> bool {
        let everything = self.events.is_empty() && self.telemetry.is_none();
        everything || self.events.contains(&event)
    }
}

impl Kept {
    pub(crate) fn new(new: NewWebhook, id: String, by: &str, now: Timestamp) -> Result<Kept, Invalid> {
        let webhook = Webhook {
            id,
            name: new.name,
            url: new.url,
            events: new.events,
            telemetry: new.telemetry,
            scope: new.scope,
            enabled: true,
            disabled_because: None,
            created_at: now,
            created_by: by.to_owned(),
        };
        let secrets = vec![KeptSecret { secret: Secret::generate(), until: None }];
        Ok(Kept { webhook: checked(webhook)?, secrets })
    }

    pub(crate) fn changed(&self, change: WebhookChange) -> Result<Kept, Invalid> {
        let old = self.webhook.clone();
        let webhook = Webhook {
            name: change.name.unwrap_or(old.name),
            url: change.url.unwrap_or(old.url),
            events: change.events.unwrap_or(old.events),
            telemetry: change.telemetry.unwrap_or(old.telemetry),
            scope: change.scope.unwrap_or(old.scope),
            enabled: change.enabled.unwrap_or(old.enabled),
            disabled_because: old.disabled_because.filter(|_| change.enabled.is_none()),
            ..old
        };
        Ok(Kept { webhook: checked(webhook)?, secrets: self.secrets.clone() })
    }

    /// With another secret; those before it sign along for `overlap_ms`, so that the receiver can change over.
    pub(crate) fn rotated(&self, overlap_ms: i64, now: Timestamp) -> Kept {
        let until = Timestamp(now.0.saturating_add(overlap_ms));
        let mut secrets = vec![KeptSecret { secret: Secret::generate(), until: None }];
        let old = self
            .secrets
            .iter()
            .cloned()
            .map(|old| KeptSecret { until: Some(old.until.map_or(until, |at| at.min(until))), ..old });
        secrets.extend(old.filter(|old| old.until.is_some_and(|at| at > now)));
        Kept { webhook: self.webhook.clone(), secrets }
    }

    /// What signs at that time, newest first. The newest always does.
    pub(crate) fn signing(&self, now: Timestamp) -> impl Iterator<Item = &Secret> {
        let in_force = self.secrets.iter().filter(move |kept| kept.until.is_none_or(|until| now < until));
        in_force.map(|kept| &kept.secret)
    }
}

fn checked(webhook: Webhook) -> Result<Webhook, Invalid> {
    check_text("name", &webhook.name, 1, NAME_MAX)?;
    let url = checked_url(&webhook.url)?;
    let scope = &webhook.scope;
    match webhook.telemetry {
        Some(telemetry) => telemetry.check()?,
        None if scope.measurements.is_empty() => {}
        None => {
            let message = "what happens is told of devices, whatever they measure; leave measurements out";
            return Err(Invalid::new("scope", message));
        }
    }
    let Selector { devices, types, buildings, groups, measurements } = scope;
    let names = devices.len() + types.len() + buildings.len() + groups.len() + measurements.len();
    if names > SCOPE_MAX {
        return Err(Invalid::new("scope", format!("at most {SCOPE_MAX} names, not {names}")));
    }
    Ok(Webhook { url: url.into(), ..webhook })
}

fn checked_url(text: &str) -> Result<Url, Invalid> {
    let invalid = |message: String| Err(Invalid::new("url", message));
    if text.len() > URL_MAX {
        return invalid(format!("at most {URL_MAX} bytes"));
    }
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => return invalid(format!("not an address such as https://example.com/hook: {error}")),
    };
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return invalid(format!("an address begins with https:// or http://, not {}:", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return invalid("no user name or password: the signature says who sends".into());
    }
    if url.fragment().is_some() {
        return invalid("what stands behind # is not sent; leave it out".into());
    }
    if url.port() == Some(0) {
        return invalid("port 0 is no port".into());
    }
    if url.as_str().parse::<http::Uri>().is_err() {
        return invalid("write what is special in it as %XX".into());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_plain_http_or_https() {
        for (text, expected) in [
            ("https://example.com/hook?a=1", "https://example.com/hook?a=1"),
            ("HTTPS://EXAMPLE.com", "https://example.com/"),
            ("http://0x7f.1/", "http://127.0.0.1/"),
            ("https://例子.中国/", "https://xn--fsqu00a.xn--fiqs8s/"),
        ] {
            assert_eq!(checked_url(text).unwrap().as_str(), expected);
        }
        for text in [
            "",
            "example.com/hook",
            "ftp://example.com",
            "file:///etc/passwd",
            "https://",
            "https://u:p@example.com/",
            "https://u@example.com/",
            "https://example.com/#x",
            "https://example.com:0/",
            "https://exa mple.com/",
            "javascript:alert(1)",
        ] {
            assert_eq!(checked_url(text).unwrap_err().field, "url", "{text}");
        }
        assert!(checked_url(&format!("https://example.com/{}", "x".repeat(2_000))).is_err());
    }

    #[test]
    fn replaced_secrets_sign_along_for_a_while() {
        let now = Timestamp(1_000_000);
        let new = NewWebhook {
            name: "erp".into(),
            url: "https://example.com".into(),
            events: vec![],
            telemetry: None,
            scope: Selector::default(),
        };
        let first = Kept::new(new, "w".into(), "admin", now).unwrap();
        let second = first.rotated(1_000, now);
        let third = second.rotated(5_000, Timestamp(now.0 + 500));
        let signing = |kept: &Kept, at: i64| kept.signing(Timestamp(now.0 + at)).cloned().collect::<Vec<_>>();
        let secret = |kept: &Kept| kept.secrets[0].secret.clone();
        assert_eq!(signing(&second, 999), [secret(&second), secret(&first)]);
        assert_eq!(signing(&second, 1_000), [secret(&second)]);
        // Being replaced again does not lengthen a secret's life.
        assert_eq!(signing(&third, 999), [secret(&third), secret(&second), secret(&first)]);
        assert_eq!(signing(&third, 1_000), [secret(&third), secret(&second)]);
        assert_eq!(signing(&third, 5_500), [secret(&third)]);
        let at_once = second.rotated(0, now);
        assert_eq!(signing(&at_once, 0), [secret(&at_once)]);
    }
}
