//! The weather station: the park's weather as its instruments read it.

use super::{Moment, Report, Site};

pub(crate) fn report(moment: &Moment<'_>, site: &Site, report: &mut Report) {
    let sky = moment.climate.sky_over(moment.conditions, site.position);
    let weather = &moment.conditions.weather;
    report.number("dni", sky.dni_w_m2);
    report.number("dhi", sky.dhi_w_m2);
    report.number("irradiance", sky.ghi_w_m2);
    report.number(
        "temperature",
        weather.temperature_c + 0.15 * site.noise.of("t").at(moment.conditions.at, 120.0),
    );
    report.number("humidity", weather.relative_humidity_pct);
    report.number("pressure", weather.pressure_hpa);
    report.number("wind_speed", weather.wind_m_s);
    report.number("wind_direction", weather.wind_direction_deg);
    // The year has no rain gauge: it rains when the air is saturated and the sky closed.
    let raining = weather.relative_humidity_pct > 93.0 && moment.conditions.broken_sky < 0.6;
    report.number("rainfall", if raining { (weather.relative_humidity_pct - 93.0) * 0.4 } else { 0.0 });
    report.number("sun_elevation", moment.conditions.sun.elevation_deg);
    report.state("status", "running");
}
