//! What is said of the columns of an answer: their names, what their series share, their units.

use super::{
    figure::{Across, Figure},
    points::Point,
    write::Column,
};
use shared::selector::Kind;

/// A series of its own, as it was sent.
pub(super) fn of_series(point: &Point) -> Column {
    let name = [point.name(Kind::Device), point.name(Kind::Measurement)].join("/");
    described(name, &[point], None)
}

/// What members share; the unit is theirs.
pub(super) fn described(name: String, members: &[&Point], figure: Option<String>) -> Column {
    let shared = |of: &dyn Fn(&Point) -> &str| -> Option<String> {
        let (first, rest) = members.split_first()?;
        let value = of(first);
        rest.iter().all(|member| of(member) == value).then(|| value.to_owned())
    };
    // Nobody is in the building "(none)".
    let kind = |kind: Kind| shared(&|point| point.name(kind)).filter(|name| !name.starts_with('('));
    Column {
        name,
        device: kind(Kind::Device),
        r#type: kind(Kind::Type),
        building: kind(Kind::Building),
        group: kind(Kind::Group),
        measurement: kind(Kind::Measurement),
        unit: shared(&|point| &point.measurement().unit),
        figure,
        series: members.len(),
    }
}

/// A figure of some series, combined or of one alone.
pub(super) fn of_figure(name: String, members: &[&Point], figure: Figure, across: Option<Across>) -> Column {
    let says = match across {
        None => figure.as_str().to_owned(),
        Some(across) => format!("{} of {}", across.as_str(), figure.as_str()),
    };
    let column = described(name, members, Some(says));
    let is_count = matches!(figure, Figure::Count | Figure::Filled) || across == Some(Across::Count);
    if is_count { Column { unit: Some(String::new()), ..column } } else { column }
}
