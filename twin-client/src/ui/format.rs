//! Numbers and times as people read them: a unit always, no more digits than matter.

use crate::i18n::I18n;
use jiff::tz::TimeZone;
use shared::{telemetry::Provenance, time::Timestamp};

/// Groups thousands with a thin space: `12 345`.
pub fn grouped(value: f64, decimals: usize) -> String {
    let plain = format!("{value:.decimals$}");
    let (sign, digits) = plain.strip_prefix('-').map_or(("", plain.as_str()), |rest| ("−", rest));
    let (whole, fraction) = digits.split_once('.').map_or((digits, ""), |(w, f)| (w, f));
    let mut out = String::with_capacity(plain.len() + 4);
    out.push_str(if whole.bytes().all(|b| b == b'0') && fraction.bytes().all(|b| b == b'0') {
        ""
    } else {
        sign
    });
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            out.push('\u{2009}');
        }
        out.push(digit);
    }
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// A power with its unit, kW below 10 MW.
pub fn power(kw: f64) -> (String, &'static str) {
    match kw.abs() {
        a if a >= 10_000.0 => (grouped(kw / 1_000.0, 2), "MW"),
        a if a >= 100.0 => (grouped(kw, 0), "kW"),
        _ => (grouped(kw, 1), "kW"),
    }
}

/// An energy with its unit, kWh below 10 MWh.
pub fn energy(kwh: f64) -> (String, &'static str) {
    if kwh.abs() >= 10_000.0 { (grouped(kwh / 1_000.0, 2), "MWh") } else { (grouped(kwh, 0), "kWh") }
}

/// A mass of CO₂e with its unit.
pub fn mass(kg: f64) -> (String, &'static str) {
    if kg.abs() >= 10_000.0 { (grouped(kg / 1_000.0, 2), "t") } else { (grouped(kg, 0), "kg") }
}

/// How old something is.
pub fn age(i18n: &I18n, now: Timestamp, at: Timestamp) -> String {
    let seconds = (now.since(at).max(0) as f64 / 1_000.0).round() as i64;
    match seconds {
        0..=119 => i18n.t1("age-seconds", "n", seconds),
        120..=7_199 => i18n.t1("age-minutes", "n", seconds / 60),
        7_200..=172_799 => i18n.t1("age-hours", "n", seconds / 3_600),
        _ => i18n.t1("age-days", "n", seconds / 86_400),
    }
}

/// `HH:MM` in the park's time zone.
pub fn clock(at: Timestamp, zone: &TimeZone) -> String {
    let local = at.local(zone);
    format!("{:02}:{:02}", local.hour(), local.minute())
}

/// A moment as a log names it: `HH:MM:SS` today, `MM-DD HH:MM` before, in the park's time zone.
pub fn moment(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let (then, today) = (at.local(zone), now.local(zone));
    if then.date() == today.date() {
        format!("{:02}:{:02}:{:02}", then.hour(), then.minute(), then.second())
    } else {
        format!("{:02}-{:02} {:02}:{:02}", then.month(), then.day(), then.hour(), then.minute())
    }
}

pub fn provenance(i18n: &I18n, provenance: Provenance) -> String {
    match provenance {
        Provenance::Measured => i18n.t("provenance-measured"),
        Provenance::Estimated => i18n.t("provenance-estimated"),
        Provenance::Simulated => i18n.t("provenance-simulated"),
        Provenance::Forecast => i18n.t("provenance-forecast"),
    }
    .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::text::Language;

    #[test]
    fn numbers_are_grouped_and_minus_zero_is_zero() {
        for (value, decimals, text) in [
            (0.0, 1, "0.0"),
            (-0.01, 1, "0.0"),
            (-5.25, 1, "−5.2"),
            (999.0, 0, "999"),
            (1_234.5, 1, "1\u{2009}234.5"),
            (-1_234_567.0, 0, "−1\u{2009}234\u{2009}567"),
        ] {
            assert_eq!(grouped(value, decimals), text);
        }
    }

    #[test]
    fn moments_of_other_days_carry_their_date() {
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        let now = Timestamp::parse("2026-06-22T00:10:00+08:00").unwrap();
        for (ago_s, text) in [(65, "00:08:55"), (660, "06-21 23:59")] {
            assert_eq!(moment(Timestamp(now.0 - ago_s * 1_000), now, &zone), text);
        }
        assert_eq!(clock(now, &zone), "00:10");
    }

    #[test]
    fn units_follow_size() {
        assert_eq!(power(42.0), ("42.0".into(), "kW"));
        assert_eq!(power(12_340.0), ("12.34".into(), "MW"));
        assert_eq!(energy(9_999.0).1, "kWh");
        assert_eq!(mass(12_000.0), ("12.00".into(), "t"));
    }

    #[test]
    fn ages_are_told_in_the_largest_unit_that_fits() {
        let i18n = I18n::new(Language::English);
        let now = Timestamp(1_000_000_000);
        for (ago_s, digits) in [(5, "5"), (119, "119"), (150, "2"), (7_200, "2"), (300_000, "3")] {
            assert!(age(&i18n, now, Timestamp(now.0 - ago_s * 1_000)).contains(digits));
        }
    }
}
