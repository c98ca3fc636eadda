//! The small card beside what the pointer is over: what it measures, how old that is, what the plan asks of it now.

use super::{View, plate, sum, write};
use crate::{
    model::{ParkModel, SceneIndex, selection::Thing},
    ui::{format, theme},
};
use egui::{Align2, Color32, FontId, Painter, Pos2, Rect, Stroke, pos2, vec2};
use shared::{
    alarm::Severity,
    id::DeviceId,
    telemetry::Quality,
    thing_model::{Measurement, MeasurementKind, ThingModel},
};

/// Values older than this are shown faded.
const STALE_MS: i64 = 30_000;
/// How many measurements a card shows.
const MOST: usize = 3;
const ROW: f32 = 17.0;
const MARGIN: f32 = 9.0;

struct Row {
    name: String,
    value: String,
    age: String,
    colour: Color32,
}

/// A card that has its place.
pub(super) struct Card {
    room: Rect,
    title: String,
    state: (String, Color32),
    rows: Vec<Row>,
    /// Where values end and ages begin, from the left.
    columns: [f32; 2],
}

impl Card {
    pub(super) fn about(
        painter: &Painter,
        free: Rect,
        at: Pos2,
        scene: &SceneIndex,
        view: &View,
        thing: Thing,
    ) -> Option<Self> {
        let (title, state, rows) = match thing {
            Thing::Device(index) => device(scene, view, index)?,
            Thing::Building(index) => building(scene, view, index)?,
        };
        let width = |text: &str, size: f32| {
            painter.layout_no_wrap(text.to_owned(), FontId::proportional(size), theme::TEXT).size().x
        };
        let widest = |of: &dyn Fn(&Row) -> f32| rows.iter().map(of).fold(0.0, f32::max);
        let value_end = widest(&|r| width(&r.name, 12.0)) + 14.0 + widest(&|r| width(&r.value, 12.5));
        let age_end =
            value_end + widest(&|r| if r.age.is_empty() { 0.0 } else { width(&r.age, 10.5) + 10.0 });
        let head = width(&title, 13.0) + 16.0 + width(&state.0, 11.5);
        let size = vec2(
            age_end.max(head) + 2.0 * MARGIN,
            2.0 * MARGIN - 4.0 + 18.0 + ROW * rows.len() as f32 + if rows.is_empty() { 0.0 } else { 3.0 },
        );
        let mut room = Rect::from_min_size(pos2(at.x - size.x / 2.0, at.y - size.y - 14.0), size);
        let within = free.shrink(4.0);
        if room.top() < within.top() {
            room = room.translate(vec2(0.0, size.y + 34.0));
        }
        let slide = |low: f32, high: f32, from: f32, to: f32| (from - low).max(0.0) - (high - to).max(0.0);
        room = room.translate(vec2(
            slide(room.left(), room.right(), within.left(), within.right()),
            slide(room.top(), room.bottom(), within.top(), within.bottom()),
        ));
        Some(Self { room, title, state, rows, columns: [value_end, age_end.max(head)] })
    }

    pub(super) fn room(&self) -> Rect {
        self.room
    }

    pub(super) fn draw(&self, painter: &Painter) {
        plate(painter, self.room, true);
        painter.rect_stroke(self.room, 5, Stroke::new(1.0, theme::LINE), egui::StrokeKind::Inside);
        let inner = self.room.shrink(MARGIN);
        let mut y = inner.top() + 5.0;
        write(painter, pos2(inner.left(), y), Align2::LEFT_CENTER, &self.title, 13.0, theme::TEXT);
        write(painter, pos2(inner.right(), y), Align2::RIGHT_CENTER, &self.state.0, 11.5, self.state.1);
        y += 20.0;
        for row in &self.rows {
            let left = inner.left();
            write(painter, pos2(left, y), Align2::LEFT_CENTER, &row.name, 12.0, theme::WEAK);
            let end = pos2(left + self.columns[0], y);
            write(painter, end, Align2::RIGHT_CENTER, &row.value, 12.5, row.colour);
            let end = pos2(left + self.columns[1], y);
            write(painter, end, Align2::RIGHT_CENTER, &row.age, 10.5, theme::FAINT);
            y += ROW;
        }
    }
}

type Content = (String, (String, Color32), Vec<Row>);

fn device(scene: &SceneIndex, view: &View, index: u32) -> Option<Content> {
    let (model, i18n) = (view.model, view.i18n);
    let device = scene.device(index)?;
    let thing = scene.scene.model_of(device);
    let (mut state, colour) = match model.connected(index).online {
        Some(true) => (i18n.t("device-online").into_owned(), theme::ACCENT),
        Some(false) => (i18n.t("device-offline").into_owned(), theme::severity(Severity::Critical)),
        None => (i18n.t("device-unknown").into_owned(), theme::WEAK),
    };
    if let Some(word) = thing.and_then(|t| state_word(t, model, index)) {
        state = format!("{state} · {}", i18n.text(&word));
    }
    let mut rows: Vec<Row> = thing
        .map(main_measurements)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|measurement| {
            let live = model.value(index, measurement.key.as_str())?;
            let value = format::grouped(live.value, usize::from(measurement.decimals));
            let stale = model.now.since(live.timestamp) > STALE_MS;
            Some(Row {
                name: i18n.text(&measurement.name).to_owned(),
                value: format!("{value} {}", measurement.unit),
                age: format::age(i18n, model.now, live.timestamp),
                colour: match (stale, live.quality) {
                    (true, _) => theme::FAINT,
                    (_, Quality::OutOfRange | Quality::Suspect) => theme::severity(Severity::Warning),
                    _ => theme::TEXT,
                },
            })
        })
        .collect();
    if let Some(kw) = planned_kw(model, &device.id) {
        let (value, unit) = format::power(kw);
        rows.push(Row {
            name: i18n.t("card-planned-now").into_owned(),
            value: format!("{value} {unit}"),
            age: String::new(),
            colour: theme::WEAK,
        });
    }
    Some((i18n.text(&device.name).to_owned(), (state, colour), rows))
}

fn building(scene: &SceneIndex, view: &View, index: u32) -> Option<Content> {
    let (model, i18n) = (view.model, view.i18n);
    let building = scene.building(index)?;
    let devices = scene.devices_in(index);
    let offline = devices.iter().filter(|d| model.connected(**d).online == Some(false)).count();
    let terms: Vec<u32> = devices
        .iter()
        .copied()
        .filter(|d| scene.device(*d).is_some_and(|d| scene.scene.role_of(d).is_balance_term()))
        .collect();
    let mut rows = Vec::new();
    if let Some(kw) = sum(view, &terms, "power") {
        let (value, unit) = format::power(kw);
        rows.push(Row {
            name: i18n.t("building-power").into_owned(),
            value: format!("{value} {unit}"),
            age: String::new(),
            colour: theme::TEXT,
        });
    }
    let state = if offline > 0 {
        (i18n.t1("card-some-offline", "n", offline as i64), theme::severity(Severity::Critical))
    } else {
        (i18n.t1("card-devices", "n", devices.len() as i64), theme::WEAK)
    };
    Some((i18n.text(&building.name).to_owned(), state, rows))
}

/// What a kind of device mainly measures: power and charge first, then the model's own order. Meter readings that only
/// count up and a supply's volts and amperes are for the panel.
fn main_measurements(thing: &ThingModel) -> Vec<&Measurement> {
    let gauges = || thing.measurements.iter().filter(|m| m.kind == MeasurementKind::Gauge);
    let first = |m: &&Measurement| matches!(m.key.as_str(), "power" | "soc");
    let electrical = |m: &&Measurement| matches!(m.unit.as_str(), "V" | "A" | "kvar" | "Hz");
    let mut chosen: Vec<&Measurement> = gauges().filter(first).collect();
    chosen.extend(gauges().filter(|m| !first(m) && !electrical(m)));
    chosen.extend(gauges().filter(electrical));
    chosen.truncate(MOST);
    chosen
}

/// The word of a device's `status`.
fn state_word(thing: &ThingModel, model: &ParkModel, index: u32) -> Option<shared::text::Text> {
    let code = model.value(index, "status")?.value.round() as i32;
    thing.measurement("status")?.states.iter().find(|s| s.code == code).map(|s| s.name.clone())
}

/// What the plan asks of a device at this moment, kW.
fn planned_kw(model: &ParkModel, device: &DeviceId) -> Option<f64> {
    let plan = model.plan.as_ref().filter(|_| model.has_plan())?;
    let own = plan.devices.iter().find(|d| &d.device_id == device)?;
    let step = model.now.since(plan.start).div_euclid(i64::from(plan.step_s.max(1)) * 1_000);
    own.power_kw.get(usize::try_from(step).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use shared::{stream::ServerMessage, time::Timestamp};

    #[test]
    fn a_card_shows_what_matters_of_a_kind_first() {
        let scene = fixture::sample_park();
        let keys = |model: &str| {
            let thing = scene.models.values().find(|m| m.id.as_str() == model).unwrap();
            main_measurements(thing).iter().map(|m| m.key.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(keys("bess"), ["power", "soc", "temperature"]);
        assert_eq!(keys("weather"), ["power", "wind_speed"]);
        assert_eq!(keys("charger"), ["power"], "a state is a word, not a figure");
    }

    #[test]
    fn the_planned_power_is_that_of_the_present_step_and_nothing_outside_the_plan() {
        let scene = fixture::sample_park();
        let now = Timestamp(1_780_000_000_000);
        let mut model = ParkModel::default();
        model.set_scene(scene.clone(), "v1".into());
        model.apply(ServerMessage::Plan(Box::new(fixture::plan(&scene, now))), now);
        model.now = now;
        let bess = "bess-1".parse().unwrap();
        let plan = model.plan.clone().unwrap();
        assert_eq!(planned_kw(&model, &bess), Some(plan.devices[0].power_kw[0]));
        model.now = Timestamp(plan.start.0 + 900_000 * 3 + 1);
        assert_eq!(planned_kw(&model, &bess), Some(plan.devices[0].power_kw[3]));
        model.now = Timestamp(plan.start.0 + 900_000 * 96);
        assert_eq!(planned_kw(&model, &bess), None);
        assert_eq!(planned_kw(&model, &"load-f4".parse().unwrap()), None);
    }
}
