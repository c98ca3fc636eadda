//! `ev_sessions.csv`: cars that came, wanted energy and left.

use super::{
    SeriesFile,
    table::{Problems, rows},
};
use crate::scene::Problem;
use jiff::{
    ToSpan,
    civil::{Date, DateTime, date},
};
use std::collections::{BTreeMap, BTreeSet};

/// A car's stay at a station, on the park's local wall clock.
#[derive(Debug, Clone, PartialEq)]
pub struct EvSession {
    /// Place in [`EvSessions::stations`].
    pub station: usize,
    pub arrival: DateTime,
    pub departure: DateTime,
    /// What the driver said on arrival.
    pub estimated_departure: DateTime,
    /// What the driver asked for.
    pub requested_kwh: f64,
    /// What the car took in the measured session: the energy it really needed.
    pub delivered_kwh: f64,
}

/// Charging sessions of some months, cycling through all years.
///
/// Columns: `station,arrival,departure,estimated_departure,requested_kwh,delivered_kwh`, times as `2019-05-01T08:15` on the
/// wall clock of where they were measured. The whole weeks (Monday to Sunday) within the file repeat for ever, so a
/// Tuesday always has a Tuesday's sessions and wall-clock times stay; sessions outside them serve no day.
#[derive(Debug, Clone, PartialEq)]
pub struct EvSessions {
    stations: Vec<String>,
    first_monday: Date,
    /// By day after `first_monday`, by arrival; as many days as whole weeks have.
    days: Vec<Vec<EvSession>>,
}

const COLUMNS: [&str; 6] =
    ["station", "arrival", "departure", "estimated_departure", "requested_kwh", "delivered_kwh"];

/// A Monday from which days are counted, so that a date always has the same sessions.
const EPOCH: Date = date(1970, 1, 5);

fn days_between(from: Date, to: Date) -> i32 {
    from.until(to).map_or(0, |span| span.get_days())
}

impl EvSessions {
    pub fn parse(file: &SeriesFile) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::new(file);
        let rows = rows(file, &COLUMNS, &mut problems);
        let stations: BTreeSet<&str> = rows.iter().map(|row| row.cell(0)).collect();
        let places: BTreeMap<&str, usize> = stations.iter().copied().zip(0..).collect();
        let mut sessions = Vec::with_capacity(rows.len());
        for row in &rows {
            let arrival = row.time::<DateTime>(1, COLUMNS[1], &mut problems);
            let departure = row.time::<DateTime>(2, COLUMNS[2], &mut problems);
            let estimated_departure = row.time::<DateTime>(3, COLUMNS[3], &mut problems);
            let requested_kwh = row.number(4, COLUMNS[4], 0.0..=1_000.0, &mut problems);
            let delivered_kwh = row.number(5, COLUMNS[5], 0.0..=1_000.0, &mut problems);
            let (Some(arrival), Some(departure)) = (arrival, departure) else { continue };
            if departure <= arrival {
                let message = format!("{departure} is not after the arrival {arrival}");
                problems.push(Some(row.line), "departure", message);
            }
            sessions.push(EvSession {
                station: places[row.cell(0)],
                arrival,
                departure,
                estimated_departure: estimated_departure.unwrap_or(departure),
                requested_kwh: requested_kwh.unwrap_or_default(),
                delivered_kwh: delivered_kwh.unwrap_or_default(),
            });
        }
        sessions.sort_by_key(|session| (session.arrival, session.station));

        let first = sessions.first().map_or(EPOCH, |session| session.arrival.date());
        let last = sessions.last().map_or(EPOCH, |session| session.arrival.date());
        let to_monday = i64::from((7 - days_between(EPOCH, first).rem_euclid(7)) % 7);
        let first_monday = first.saturating_add(to_monday.days());
        let weeks = (days_between(first_monday, last) + 1) / 7;
        let mut days = vec![Vec::new(); usize::try_from(weeks * 7).unwrap_or(0)];
        if days.is_empty() && !rows.is_empty() {
            problems.push(None, "arrival", "the sessions cover no whole week from Monday to Sunday");
        }
        for session in sessions {
            let day = days_between(first_monday, session.arrival.date());
            if let Some(day) = usize::try_from(day).ok().and_then(|day| days.get_mut(day)) {
                day.push(session);
            }
        }
        let stations = stations.into_iter().map(str::to_owned).collect();
        problems.finish(Self { stations, first_monday, days })
    }

    /// The measured stations' names, sorted; a park's chargers, sorted by id, take their sessions in this order.
    pub fn stations(&self) -> &[String] {
        &self.stations
    }

    /// The sessions that begin on `date`, by arrival. They may end on a later day.
    pub fn on(&self, date: Date) -> Vec<EvSession> {
        if self.days.is_empty() {
            return Vec::new();
        }
        let cycle = i32::try_from(self.days.len()).unwrap_or(i32::MAX);
        let day = days_between(EPOCH, date).rem_euclid(cycle);
        let shift = i64::from(days_between(self.first_monday.saturating_add(day.days()), date)).days();
        self.days[day.unsigned_abs() as usize]
            .iter()
            .map(|session| EvSession {
                arrival: session.arrival.saturating_add(shift),
                departure: session.departure.saturating_add(shift),
                estimated_departure: session.estimated_departure.saturating_add(shift),
                ..session.clone()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two whole weeks from Monday 6 May 2019, and a Saturday and Sunday before them; one session a day,
    /// its energy the day of the month.
    fn file() -> SeriesFile {
        let mut text = COLUMNS.join(",") + "\n";
        for day in date(2019, 5, 4).series(1.day()).take(16) {
            let next = day.tomorrow().unwrap();
            text += &format!("S{},{day}T22:10,{next}T06:40,{next}T07:00,30,{}\n", day.day() % 2, day.day());
        }
        SeriesFile { path: "series/ev_sessions.csv".to_owned(), text }
    }

    #[test]
    fn sessions_cycle_by_whole_weeks_and_keep_weekday_and_wall_clock() {
        let sessions = EvSessions::parse(&file()).unwrap();
        assert_eq!(sessions.stations(), ["S0", "S1"]);
        let mut seen = BTreeSet::new();
        for day in date(2025, 12, 20).series(1.day()).take(400) {
            let today = sessions.on(day);
            assert_eq!(today.len(), 1, "{day}");
            let source = date(2019, 5, today[0].delivered_kwh as i8);
            assert_eq!(source.weekday(), day.weekday(), "{day}");
            assert_eq!(today[0].arrival, day.at(22, 10, 0, 0));
            assert_eq!(today[0].departure, day.tomorrow().unwrap().at(6, 40, 0, 0));
            assert_eq!(sessions.on(day.saturating_add(14.days()))[0].delivered_kwh, today[0].delivered_kwh);
            seen.insert(today[0].delivered_kwh as i8);
        }
        // All fourteen days of the whole weeks, none of the days before them.
        assert_eq!(seen, (6..=19).collect());
    }

    #[test]
    fn problems_name_line_and_column() {
        let text = COLUMNS.join(",")
            + "\nA,2019-05-06T09:00,2019-05-06T08:00,2019-05-06T10:00,5,5\nA,soon,2019-05-06T08:00,2019-05-06T10:00,-5,5\n";
        let file = SeriesFile { path: "series/ev_sessions.csv".to_owned(), text };
        let shown: Vec<String> =
            EvSessions::parse(&file).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "series/ev_sessions.csv:2: departure: 2019-05-06T08:00:00 is not after the arrival 2019-05-06T09:00:00",
                "series/ev_sessions.csv:3: arrival: \"soon\" is not a date or local time",
                "series/ev_sessions.csv:3: requested_kwh: -5 is not within 0…1000",
                "series/ev_sessions.csv: arrival: the sessions cover no whole week from Monday to Sunday",
            ]
        );
    }
}
