//! A consumer that follows a measured shape: production, lighting, sockets, servers.

use super::{Moment, Report, Site};

#[derive(Debug, Clone)]
pub(crate) struct Load {
    peak_kw: f64,
    shape: String,
    power_kw: f64,
}

impl Load {
    pub(crate) fn new(peak_kw: f64, shape: String) -> Self {
        Self { peak_kw, shape, power_kw: 0.0 }
    }

    /// Shape × peak, with the flicker of single machines and now and then a batch that runs for a while.
    pub(crate) fn step(&mut self, moment: &Moment<'_>, site: &Site, set_point_kw: Option<f64>) -> f64 {
        let conditions = moment.conditions;
        let share = moment.series.load_shapes.value(&self.shape, conditions.local).unwrap_or(0.0);
        let noise = site.noise;
        let flicker = 0.02 * noise.of("slow").at(conditions.at, 300.0)
            + 0.015 * noise.of("fast").at(conditions.at, 7.0);
        let half_hour = conditions.at.millis().div_euclid(1_800_000);
        let batch = if noise.of("batch").slot(half_hour) < 0.06 { 0.07 } else { 0.0 };
        self.power_kw = (self.peak_kw * share * (1.0 + flicker + batch)).max(0.0);
        if let Some(limit) = set_point_kw {
            self.power_kw = self.power_kw.min(limit.max(0.0));
        }
        self.power_kw
    }

    pub(crate) fn report(&self, report: &mut Report) {
        report.number("load_rate", 100.0 * self.power_kw / self.peak_kw);
        report.state("status", if self.power_kw > 0.0 { "running" } else { "stopped" });
    }
}
