//! The PV chain against an independent program, hour by hour over a weather year.
//!
//! Every `*.csv` in `tests/reference/pv` and in `pv/` of the folders named by `PARK_REFERENCE_DIR` (colon-separated) is a case: site, plane
//! and system stand in its first lines, one row an hour follows.
//!
//! The bar is 0.1 % of nameplate for the AC power of every hour; the shipped case is met within 0.0001 %, the digits it is printed
//! with.

// A broken case must stop the test with its place.
#![allow(clippy::unwrap_used)]

#[path = "../../../tests/reference/cases.rs"]
mod reference;

use physics::{
    irradiance::{Irradiance, Plane, extraterrestrial_dni_w_m2},
    pv::PvArray,
};
use shared::{sun::sun_position, time::Timestamp};
use std::{collections::HashMap, fs, path::Path};

const TOLERANCE: f64 = 0.001;

struct Case {
    latitude_deg: f64,
    longitude_deg: f64,
    elevation_m: f64,
    array: PvArray,
    rows: Vec<HashMap<String, String>>,
}

/// The number after a word of the header, such as `tilt` in `tilt 25.0 azimuth 180.0`.
fn number_after(header: &str, word: &str) -> f64 {
    let words: Vec<&str> = header
        .split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '(' | ':'))
        .filter(|w| !w.is_empty())
        .collect();
    let at = words.iter().position(|w| *w == word).unwrap_or_else(|| panic!("header lacks {word}: {header}"));
    let text = words[at + 1..].iter().find(|w| **w != "=").unwrap();
    // `1/1.2/0.96` is a division, the rest of `-0.004/K` a unit.
    let mut parts = text.split('/');
    let first = parse(parts.next().unwrap(), word);
    parts.map_while(|part| part.parse::<f64>().ok()).fold(first, |value, divisor| value / divisor)
}

fn parse(text: &str, what: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("{what}: {text:?} is not a number"))
}

fn read_case(path: &Path) -> Case {
    let text = fs::read_to_string(path).unwrap();
    let header: String =
        text.lines().filter(|l| l.starts_with('#')).map(|l| format!("{} ", &l[1..])).collect();
    let mut lines = text.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty());
    let columns: Vec<&str> = lines.next().unwrap().split(',').collect();
    let rows = lines
        .map(|line| columns.iter().map(|c| (*c).to_owned()).zip(line.split(',').map(str::to_owned)).collect())
        .collect();
    let inverter_efficiency = number_after(&header, "eta_nom");
    let array = PvArray {
        plane: Plane {
            tilt_deg: number_after(&header, "tilt"),
            azimuth_deg: number_after(&header, "azimuth"),
            albedo: number_after(&header, "albedo"),
        },
        peak_kw: 1.0,
        inverter_kw: number_after(&header, "pdc0") * inverter_efficiency,
        temperature_coefficient_per_k: number_after(&header, "gamma"),
        losses: number_after(&header, "losses") / 100.0,
        inverter_efficiency,
    };
    Case {
        latitude_deg: number_after(&header, "lat"),
        longitude_deg: number_after(&header, "lon"),
        elevation_m: number_after(&header, "alt"),
        array,
        rows,
    }
}

#[test]
fn every_hour_of_every_reference_year_is_within_a_permille_of_nameplate() {
    for path in reference::cases("pv", "csv") {
        let case = read_case(&path);
        assert!(case.rows.len() > 24, "{}: only {} rows", path.display(), case.rows.len());
        let mut worst = HashMap::new();
        for row in &case.rows {
            let number = |column: &str| parse(&row[column], column);
            let at = Timestamp::parse(&row["time_utc"]).unwrap();
            let sun = sun_position(at, case.latitude_deg, case.longitude_deg, case.elevation_m).unwrap();
            let day = at.local(&jiff::tz::TimeZone::UTC).date().day_of_year() as u16;
            let sky =
                Irradiance { ghi_w_m2: number("ghi"), dni_w_m2: number("dni"), dhi_w_m2: number("dhi") };
            let out = case.array.output(
                &sun,
                &sky,
                extraterrestrial_dni_w_m2(day),
                number("temp_air_c"),
                number("wind_speed_m_s"),
            );
            for (column, got, scale) in [
                ("ac_kw_per_kwp", out.ac_kw, case.array.inverter_kw),
                ("dc_kw_per_kwp", out.dc_kw, case.array.peak_kw),
                ("poa_w_m2", out.poa_w_m2, 1000.0),
                ("cell_temp_c", out.cell_temp_c, 50.0),
                ("apparent_zenith_deg", 90.0 - sun.elevation_deg, 180.0),
            ] {
                let off = (got - number(column)).abs() / scale;
                let entry = worst.entry(column).or_insert((0.0, String::new()));
                if off > entry.0 {
                    *entry = (off, row["time_utc"].clone());
                }
            }
        }
        println!("{}: worst relative deviations {worst:?}", path.display());
        let (off, at) = &worst["ac_kw_per_kwp"];
        assert!(
            *off <= TOLERANCE,
            "{}: AC power is {:.3} % of nameplate off at {at}",
            path.display(),
            off * 100.0
        );
    }
}
