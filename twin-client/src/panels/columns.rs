//! How cards share the two columns: each column has one plot that grows and shrinks so that the column is just full.

use super::{PanelState, alarms, balance, building, carbon, device, plan, storage, tariff, today};
use crate::{
    i18n::I18n,
    model::{ParkModel, Selection, selection::Thing},
    ui::commands::UiCommand,
};
use egui::{Frame, Id, Margin, Panel, ScrollArea, Ui};

/// Heights of the plot that gives way: a plot lower than this says nothing, a higher one nothing more.
const PLOT_MIN: f32 = 64.0;
const PLOT_MAX: f32 = 260.0;
/// A column lower than this says less, so that all of it is in sight: a laptop's 720 lines.
const RIGHT_ROOMY: f32 = 600.0;
const LEFT_ROOMY: f32 = 760.0;
/// The most of the right column that alarms take.
const ALARMS_SHARE: f32 = 0.38;

/// The height that just fills `room`, when everything but the plot needs `rest`.
fn plot_height(room: f32, rest: Option<f32>) -> f32 {
    rest.map_or(PLOT_MIN, |rest| (room - rest).floor()).clamp(PLOT_MIN, PLOT_MAX)
}

/// A scrolling column; `body` gets the height of its plot and draws everything.
fn column(ui: &mut Ui, name: &str, body: impl FnOnce(&mut Ui, f32)) {
    let id = Id::new(("column", name));
    let height = plot_height(ui.available_height(), ui.data(|d| d.get_temp(id)));
    let shown = ScrollArea::vertical().id_salt(id).auto_shrink([false, false]).show(ui, |ui| {
        let top = ui.cursor().top();
        body(ui, height);
        ui.min_rect().bottom() - top
    });
    // What the rest needs is known once it was drawn: the plot fits from the next frame on.
    let rest = shown.inner - height;
    if ui.data(|d| d.get_temp::<f32>(id)).is_none_or(|known| (known - rest).abs() > 0.5) {
        ui.data_mut(|d| d.insert_temp(id, rest));
        ui.ctx().request_repaint();
    }
}

pub fn left_ui(ui: &mut Ui, model: &ParkModel, i18n: &I18n, out: &mut Vec<UiCommand>) {
    let roomy = ui.available_height() >= LEFT_ROOMY;
    column(ui, "left", |ui, height| {
        balance::balance_ui(ui, model, i18n, out);
        today::today_figures_ui(ui, model, i18n, roomy, out);
        today::today_curves_ui(ui, model, i18n, height, out);
        carbon::carbon_ui(ui, model, i18n, out);
    });
}

pub fn right_ui(
    ui: &mut Ui,
    model: &ParkModel,
    i18n: &I18n,
    selection: &Selection,
    chart: Option<&str>,
    state: &mut PanelState,
    out: &mut Vec<UiCommand>,
) {
    let alarms_height = alarms::wanted_height(model).min(ui.available_height() * ALARMS_SHARE);
    Panel::bottom("alarms")
        .exact_size(alarms_height.floor())
        .resizable(false)
        .show_separator_line(false)
        .frame(Frame::new().inner_margin(Margin { left: 0, right: 0, top: 8, bottom: 0 }))
        .show(ui, |ui| alarms::alarms_ui(ui, model, i18n, out));
    match selection.selected {
        Some(Thing::Device(index)) => {
            ScrollArea::vertical().id_salt(("device", index)).auto_shrink([false, false]).show(ui, |ui| {
                device::device_ui(ui, model, i18n, index, chart, &mut state.control, out);
            });
        }
        Some(Thing::Building(index)) => {
            ScrollArea::vertical().id_salt(("building", index)).auto_shrink([false, false]).show(ui, |ui| {
                building::building_ui(ui, model, i18n, index, out);
            });
        }
        None => {
            let roomy = ui.available_height() >= RIGHT_ROOMY;
            column(ui, "right", |ui, height| {
                plan::plan_ui(ui, model, i18n, height, out);
                storage::storage_ui(ui, model, i18n, roomy, out);
                tariff::tariff_ui(ui, model, i18n, roomy, out);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plot_takes_what_the_rest_of_the_column_leaves_within_reason() {
        for (room, rest, height) in [
            (800.0, Some(600.5), 199.0),
            (600.0, Some(590.0), PLOT_MIN),
            (2_000.0, Some(500.0), PLOT_MAX),
            (700.0, None, PLOT_MIN),
        ] {
            assert_eq!(plot_height(room, rest), height);
        }
    }
}
