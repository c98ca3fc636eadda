//! `tariffs.toml`: every minute of every month belongs to exactly one period.

use super::report::{Document, Report};
use crate::tariff::Season;

const DAY_MIN: u32 = 24 * 60;

pub(super) fn check(document: &Document, report: &mut Report) {
    if let Some(minutes) = document.root.number("demand_interval_min")
        && minutes > 0.0
        && f64::from(DAY_MIN) % minutes != 0.0
    {
        report.at(document, "demand_interval_min", format!("{minutes} min do not divide a day"));
    }
    if let Some(currency) = document.root.text("currency")
        && !(currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_uppercase()))
    {
        report.at(document, "currency", format!("{currency:?} is not an ISO 4217 code such as CNY"));
    }

    let mut owner: [Option<String>; 12] = Default::default();
    // A month counts as covered by a season that has other problems, or each fault would draw twelve more.
    for (index, node) in document.root.list("seasons").iter().enumerate() {
        let path = format!("seasons[{index}]");
        for (at, month) in node.list("months").iter().enumerate() {
            let super::tree::Value::Integer(month) = month.value else { continue };
            let Some(place) = usize::try_from(month - 1).ok().and_then(|month| owner.get_mut(month)) else {
                continue;
            };
            match place {
                Some(first) => {
                    let message = format!("month {month} belongs to {first} already");
                    report.at(document, &format!("{path}.months[{at}]"), message);
                }
                None => *place = Some(path.clone()),
            }
        }
    }
    let missing: Vec<String> = (1..)
        .zip(&owner)
        .filter(|(_, season)| season.is_none())
        .map(|(month, _)| month.to_string())
        .collect();
    if !missing.is_empty() {
        report.at(document, "seasons", format!("no season covers month {}", missing.join(", ")));
    }

    for season in report.items::<Season>(document, "seasons") {
        check_periods(document, &season.path, &season.value, report);
    }
}

fn check_periods(document: &Document, path: &str, season: &Season, report: &mut Report) {
    let months: Vec<String> = season.months.iter().map(u8::to_string).collect();
    let months = months.join(", ");
    let mut periods = Vec::new();
    let mut readable = true;
    for (index, period) in season.periods.iter().enumerate() {
        let at = format!("{path}.periods[{index}]");
        match period.minutes() {
            None => {
                readable = false;
                let message = format!("{:?} to {:?} are not both HH:MM up to 24:00", period.from, period.to);
                report.at(document, &at, message);
            }
            Some((from, to)) if from >= to => {
                readable = false;
                report.at(document, &at, format!("{} is not before {}", period.from, period.to));
            }
            Some((from, to)) => periods.push((from, to, at)),
        }
    }
    if !readable {
        return;
    }
    periods.sort();
    let mut covered = 0;
    for (from, to, at) in &periods {
        if *from > covered {
            let hole = format!("no period covers {} to {} in month {months}", clock(covered), clock(*from));
            report.at(document, at, hole);
        }
        if *from < covered {
            let end = covered.min(*to);
            let overlap = format!(
                "{} to {} is covered by another period too, in month {months}",
                clock(*from),
                clock(end)
            );
            report.at(document, at, overlap);
        }
        covered = covered.max(*to);
    }
    if covered < DAY_MIN {
        let hole = format!("no period covers {} to 24:00 in month {months}", clock(covered));
        report.at(document, &format!("{path}.periods"), hole);
    }
}

fn clock(minute: u32) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}
