//! How full a building is, from 0 to 1, by what it is used for and the local time.

use jiff::civil::{DateTime, Weekday};
use shared::scene::BuildingUse;

/// Share of the people who belong there. Working days are Monday to Friday; shifts and kitchens run on Saturdays too.
pub(crate) fn occupancy(used_as: BuildingUse, local: DateTime) -> f64 {
    let hour = f64::from(local.hour()) + f64::from(local.minute()) / 60.0;
    let weekend = matches!(local.weekday(), Weekday::Saturday | Weekday::Sunday);
    match used_as {
        BuildingUse::Office | BuildingUse::Laboratory => {
            let lunch = 1.0 - 0.4 * bump(hour, 11.8, 13.2);
            let day = bump(hour, 8.0, 18.2) * lunch + 0.12 * bump(hour, 18.2, 21.0);
            day * if weekend { 0.12 } else { 1.0 }
        }
        BuildingUse::Factory => {
            let shifts = 0.35 + 0.65 * bump(hour, 7.5, 19.5);
            shifts * if local.weekday() == Weekday::Sunday { 0.35 } else { 1.0 }
        }
        BuildingUse::Warehouse => bump(hour, 7.0, 20.0) * if weekend { 0.5 } else { 0.9 },
        BuildingUse::DataHall => 0.15 + 0.15 * bump(hour, 9.0, 18.0),
        BuildingUse::Canteen => {
            let meals = bump(hour, 7.0, 8.4) * 0.5 + bump(hour, 11.4, 13.2) + bump(hour, 17.2, 18.8) * 0.7;
            meals.min(1.0) * if weekend { 0.4 } else { 1.0 }
        }
        BuildingUse::Dormitory => {
            let away = bump(hour, 7.8, 17.8) * if weekend { 0.35 } else { 0.85 };
            0.9 - away * 0.9
        }
        BuildingUse::EnergyStation | BuildingUse::Gatehouse => 0.3 + 0.2 * bump(hour, 8.0, 18.0),
    }
}

/// 1 between two hours of the day, with half an hour to rise and fall around each.
fn bump(hour: f64, from: f64, to: f64) -> f64 {
    let rise = ((hour - from) / 0.5 + 0.5).clamp(0.0, 1.0);
    let fall = ((to - hour) / 0.5 + 0.5).clamp(0.0, 1.0);
    rise.min(fall)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn offices_fill_by_day_and_dormitories_by_night() {
        let wednesday = date(2026, 7, 1);
        let sunday = date(2026, 7, 5);
        for (used_as, local, range) in [
            (BuildingUse::Office, wednesday.at(10, 0, 0, 0), 0.9..=1.0),
            (BuildingUse::Office, wednesday.at(3, 0, 0, 0), 0.0..=0.0),
            (BuildingUse::Office, sunday.at(10, 0, 0, 0), 0.0..=0.2),
            (BuildingUse::Dormitory, wednesday.at(2, 0, 0, 0), 0.85..=1.0),
            (BuildingUse::Dormitory, wednesday.at(11, 0, 0, 0), 0.0..=0.2),
            (BuildingUse::Canteen, wednesday.at(12, 0, 0, 0), 0.95..=1.0),
            (BuildingUse::Factory, wednesday.at(3, 0, 0, 0), 0.3..=0.4),
        ] {
            let share = occupancy(used_as, local);
            assert!(range.contains(&share), "{used_as:?} at {local}: {share}");
        }
    }
}
