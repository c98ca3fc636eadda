//! `park.toml`.

use super::report::{Document, Report};
use crate::scene::Park;

/// The park, when its file is sound.
pub(super) fn check(document: &Document, report: &mut Report) -> Option<Park> {
    let park = report.typed::<Park>(document, "");
    if let Some(zone) = document.root.text("time_zone")
        && jiff::tz::TimeZone::get(zone).is_err()
    {
        report.at(document, "time_zone", format!("{zone:?} is not an IANA time zone such as Asia/Shanghai"));
    }
    park
}
