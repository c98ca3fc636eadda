//! A charging point and the cars that come to it, as they came to a real one.
//!
//! Without a set-point a car charges at full power from the moment it is plugged.

use super::{Moment, Report};
use jiff::{ToSpan, tz::TimeZone};
use physics::ev::{Car, ChargingPoint};
use serde::{Deserialize, Serialize};
use shared::{
    series::{EvSession, EvSessions},
    time::Timestamp,
};

#[derive(Debug, Clone)]
pub(crate) struct Charger {
    point: ChargingPoint,
    /// Which measured station's cars come here, and by how many whole weeks they are shifted.
    station: usize,
    weeks: i64,
    pub(crate) car: Option<PluggedCar>,
    power_kw: f64,
    /// The day whose sessions are in `sessions`, so that they are looked up once a day.
    looked_up: Option<jiff::civil::Date>,
    sessions: Vec<EvSession>,
}

/// The car at the point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PluggedCar {
    pub(crate) arrival: Timestamp,
    /// When it will really leave.
    pub(crate) departure: Timestamp,
    /// What its driver said.
    pub(crate) estimated_departure: Timestamp,
    pub(crate) capacity_kwh: f64,
    pub(crate) soc: f64,
    /// From the meter into the car since it was plugged.
    pub(crate) drawn_kwh: f64,
    /// At the meter: what the car wanted on arrival.
    pub(crate) requested_kwh: f64,
}

impl PluggedCar {
    pub(crate) fn car(&self) -> Car {
        Car { capacity_kwh: self.capacity_kwh, soc: self.soc, target_soc: 1.0 }
    }

    /// What is still to be drawn, kWh at the meter.
    fn needed_kwh(&self, efficiency: f64) -> f64 {
        self.car().needed_kwh() / efficiency
    }
}

impl Charger {
    /// The `place`-th charger of the park, by id: the sessions of the station of that place; where there are more chargers than
    /// stations, the same cars come again a week later.
    pub(crate) fn new(power_kw: f64, min_kw: f64, efficiency: f64, place: usize, stations: usize) -> Self {
        let stations = stations.max(1);
        Self {
            point: ChargingPoint { power_kw, min_kw, efficiency },
            station: place % stations,
            weeks: (place / stations) as i64,
            car: None,
            power_kw: 0.0,
            looked_up: None,
            sessions: Vec::new(),
        }
    }

    pub(crate) fn point(&self) -> &ChargingPoint {
        &self.point
    }

    /// The sessions that may touch a day: those that began on it or on the two days before.
    fn look_up(&mut self, sessions: &EvSessions, day: jiff::civil::Date) {
        if self.looked_up == Some(day) {
            return;
        }
        self.looked_up = Some(day);
        self.sessions.clear();
        let shift = (self.weeks * 7).days();
        for back in 0..3 {
            let began = day.saturating_sub(back.days());
            self.sessions.extend(
                sessions
                    .on(began.saturating_sub(shift))
                    .into_iter()
                    .filter(|s| s.station == self.station)
                    .map(|session| EvSession {
                        arrival: session.arrival.saturating_add(shift),
                        departure: session.departure.saturating_add(shift),
                        estimated_departure: session.estimated_departure.saturating_add(shift),
                        ..session
                    }),
            );
        }
    }

    pub(crate) fn step(&mut self, moment: &Moment<'_>, zone: &TimeZone, set_point_kw: Option<f64>) -> f64 {
        self.look_up(&moment.series.ev_sessions, moment.now.local(zone).date());
        let instant = |wall: jiff::civil::DateTime| {
            wall.to_zoned(zone.clone()).map_or(Timestamp(0), |z| Timestamp(z.timestamp().as_millisecond()))
        };
        // Of overlapping stays at one station the later is believed: the earlier car must have left.
        let present = self
            .sessions
            .iter()
            .filter(|s| s.delivered_kwh > 0.0)
            .map(|s| (instant(s.arrival), instant(s.departure), s))
            .filter(|(arrival, departure, _)| *arrival < moment.now && moment.now < *departure)
            .max_by_key(|(arrival, _, _)| *arrival);
        match present {
            None => self.car = None,
            Some((arrival, departure, session)) if self.car.is_none_or(|car| car.arrival != arrival) => {
                let car = Car::needing(session.delivered_kwh * self.point.efficiency);
                self.car = Some(PluggedCar {
                    arrival,
                    departure,
                    estimated_departure: instant(session.estimated_departure).max(arrival),
                    capacity_kwh: car.capacity_kwh,
                    soc: car.soc,
                    drawn_kwh: 0.0,
                    requested_kwh: session.delivered_kwh,
                });
            }
            Some(_) => {}
        }
        self.power_kw = 0.0;
        if let Some(plugged) = &mut self.car {
            let wanted_kw = set_point_kw.unwrap_or(self.point.power_kw);
            // A car that came during the step charges only for the rest of it.
            let there_h = (moment.now.since(plugged.arrival) as f64 / 3.6e6).min(moment.hours);
            let (after, drawn_kw) = self.point.step(plugged.car(), wanted_kw, there_h);
            plugged.soc = after.soc;
            plugged.drawn_kwh += drawn_kw * there_h;
            self.power_kw = if moment.hours > 0.0 { drawn_kw * there_h / moment.hours } else { 0.0 };
        }
        self.power_kw
    }

    pub(crate) fn report(&self, now: Timestamp, report: &mut Report) {
        let plugged = self.car.as_ref();
        let from_car = |value: fn(&PluggedCar) -> f64| plugged.map_or(0.0, value);
        report.state("plugged", if plugged.is_some() { "plugged" } else { "free" });
        report.number("car_soc", from_car(|car| 100.0 * car.soc));
        report.number("session_energy", from_car(|car| car.drawn_kwh));
        report.number("session_energy_requested", from_car(|car| car.requested_kwh));
        let needed_kwh = plugged.map_or(0.0, |car| car.needed_kwh(self.point.efficiency));
        report.number("session_energy_needed", needed_kwh);
        let stays_min = plugged.map_or(0.0, |car| car.estimated_departure.since(now).max(0) as f64 / 60e3);
        report.number("departure_in", stays_min);
        report.number(
            "session_duration",
            plugged.map_or(0.0, |car| now.since(car.arrival).max(0) as f64 / 60e3),
        );
        report.number("temperature", 28.0 + 22.0 * self.power_kw / self.point.power_kw);
        report.state(
            "status",
            match plugged {
                None => "idle",
                Some(_) if self.power_kw > 0.01 => "charging",
                Some(car) if car.car().is_full() => "finished",
                Some(_) => "paused",
            },
        );
    }
}
