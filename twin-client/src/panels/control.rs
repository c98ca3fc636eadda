//! Commanding one device: power and how long, asked back once, then what became of it.

use super::{device::status_word, parts, rights};
use crate::{
    i18n::I18n,
    model::{Fault, ParkModel},
    net::{Asked, Notice},
    ui::{commands::UiCommand, format, theme},
};
use egui::{Button, DragValue, RichText, Ui};
use shared::{
    alarm::Severity,
    command::{CommandRequest, CommandStatus},
    id::CommandId,
    scene::{Device, Rating},
    thing_model::ThingModel,
};

const SET_POWER: &str = "setPower";
const RELEASE: &str = "release";
const LONGEST_MIN: u32 = 24 * 60;

/// What is being prepared for one device. It leaves the form only as a command.
#[derive(Default)]
pub struct ControlForm {
    device: Option<u32>,
    power_kw: f64,
    minutes: u32,
    stage: Stage,
}

#[derive(Default)]
enum Stage {
    #[default]
    Editing,
    Confirming(Box<CommandRequest>),
    Asked {
        id: CommandId,
        /// The server would not take it.
        refused: Option<Fault>,
    },
}

impl ControlForm {
    /// Hears what became of the request itself; what becomes of the command comes with the stream.
    pub fn hear<'a>(&mut self, outcomes: impl Iterator<Item = &'a Notice>) {
        if let Stage::Asked { refused, .. } = &mut self.stage {
            let failed = outcomes.filter(|n| n.what == Asked::Command).find_map(|n| n.error.clone());
            if failed.is_some() {
                *refused = failed;
            }
        }
    }

    /// Another device is another form.
    fn turn_to(&mut self, device: u32, range: (f64, f64), now_kw: Option<f64>) {
        if self.device != Some(device) {
            let power_kw = now_kw.unwrap_or(0.0).clamp(range.0, range.1).round();
            *self = Self { device: Some(device), power_kw, minutes: 15, stage: Stage::Editing };
        }
    }
}

/// What a person may set, kW: the thing model's bounds within the device's rating. `None` where power cannot be set.
pub fn power_range(thing: &ThingModel, rating: &Rating) -> Option<(f64, f64)> {
    let power = thing.command(SET_POWER)?.parameters.iter().find(|p| p.key == "power")?;
    let (low, high) = match rating {
        Rating::Storage { charge_kw, discharge_kw, .. } => (-discharge_kw, *charge_kw),
        Rating::Pv { .. } | Rating::Wind { .. } => (-rating.nameplate_kw(), 0.0),
        other => (0.0, other.nameplate_kw()),
    };
    let (low, high) = (low.max(power.min.unwrap_or(low)), high.min(power.max.unwrap_or(high)));
    (low < high).then_some((low, high))
}

fn request(
    model: &ParkModel,
    device: &Device,
    index: u32,
    power: Option<(f64, u32)>,
) -> Option<CommandRequest> {
    let mut parameters = serde_json::Map::new();
    if let Some((kw, minutes)) = power {
        parameters.insert("power".into(), kw.into());
        parameters.insert("duration".into(), (minutes * 60).into());
    }
    Some(CommandRequest {
        device_id: device.id.clone(),
        command_id: format!("ui-{}-{index}", model.now.0).parse().ok()?,
        command: if power.is_some() { SET_POWER } else { RELEASE }.into(),
        parameters,
        timestamp: model.now,
        expires: None,
    })
}

pub fn control_ui(
    ui: &mut Ui,
    model: &ParkModel,
    i18n: &I18n,
    index: u32,
    form: &mut ControlForm,
    out: &mut Vec<UiCommand>,
) {
    let Some(scene) = &model.scene else { return };
    let Some(device) = scene.device(index) else { return };
    let Some(thing) = scene.scene.model_of(device) else { return };
    let Some(range) = power_range(thing, &device.rating) else { return };
    form.turn_to(index, range, model.value(index, "power").map(|v| v.value));
    parts::card(
        ui,
        &i18n.t("control-title"),
        |_| {},
        |ui| {
            let next = match &form.stage {
                Stage::Editing => editing(ui, model, i18n, (device, thing, index), range, form),
                Stage::Confirming(wanted) => confirming(ui, model, i18n, device, wanted, out),
                Stage::Asked { id, refused } => asked(ui, model, i18n, id, refused.as_ref()),
            };
            if let Some(next) = next {
                form.stage = next;
            }
        },
    );
}

fn editing(
    ui: &mut Ui,
    model: &ParkModel,
    i18n: &I18n,
    (device, thing, index): (&Device, &ThingModel, u32),
    (low, high): (f64, f64),
    form: &mut ControlForm,
) -> Option<Stage> {
    let allowed = rights::may_operate(model).is_ok();
    ui.add_enabled_ui(allowed, |ui| {
        egui::Grid::new("control").num_columns(2).spacing([10.0, 4.0]).show(ui, |ui| {
            ui.label(RichText::new(i18n.t("control-power")).size(12.0).color(theme::WEAK));
            ui.horizontal(|ui| {
                ui.add(DragValue::new(&mut form.power_kw).range(low..=high).speed(1.0).suffix(" kW"));
                let bounds = format!("{} … {} kW", format::grouped(low, 0), format::grouped(high, 0));
                ui.label(RichText::new(bounds).size(11.0).color(theme::WEAK));
            });
            ui.end_row();
            ui.label(RichText::new(i18n.t("control-duration")).size(12.0).color(theme::WEAK));
            let minutes = DragValue::new(&mut form.minutes).range(1..=LONGEST_MIN).speed(0.5);
            ui.add(minutes.suffix(format!(" {}", i18n.t("control-minutes"))));
            ui.end_row();
        });
    });
    if let Some(power) = thing.command(SET_POWER).and_then(|c| c.parameters.iter().find(|p| p.key == "power"))
    {
        ui.label(RichText::new(i18n.text(&power.text)).size(11.0).color(theme::WEAK));
    }
    let mut next = None;
    ui.horizontal(|ui| {
        let send = Button::new(RichText::new(i18n.t("control-set")).size(12.0));
        if rights::operate_button(ui, model, i18n, send).clicked() {
            next = request(model, device, index, Some((form.power_kw, form.minutes)));
        }
        if thing.command(RELEASE).is_some() {
            let release = Button::new(RichText::new(i18n.t("control-release")).size(12.0));
            if rights::operate_button(ui, model, i18n, release).clicked() {
                next = request(model, device, index, None);
            }
        }
    });
    if let Err(barred) = rights::may_operate(model) {
        ui.label(RichText::new(barred.words(i18n)).size(11.0).color(theme::WEAK));
    }
    next.map(|wanted| Stage::Confirming(Box::new(wanted)))
}

/// The command in words, as the person is asked to confirm it.
fn in_words(i18n: &I18n, device: &Device, wanted: &CommandRequest) -> String {
    let name = i18n.text(&device.name);
    let number = |key: &str| wanted.parameters.get(key).and_then(serde_json::Value::as_f64);
    match (number("power"), number("duration")) {
        (Some(kw), Some(seconds)) => {
            let mut arguments = fluent_bundle::FluentArgs::new();
            arguments.set("device", name);
            arguments.set("power", format::grouped(kw, 0));
            arguments.set("minutes", format::grouped(seconds / 60.0, 0));
            i18n.tf("control-confirm-power", &arguments).into_owned()
        }
        _ => i18n.t1("control-confirm-release", "device", name),
    }
}

fn confirming(
    ui: &mut Ui,
    model: &ParkModel,
    i18n: &I18n,
    device: &Device,
    wanted: &CommandRequest,
    out: &mut Vec<UiCommand>,
) -> Option<Stage> {
    ui.label(RichText::new(in_words(i18n, device, wanted)).size(13.0));
    ui.label(RichText::new(i18n.t("control-plan-may-change")).size(11.0).color(theme::WEAK));
    let mut next = None;
    ui.horizontal(|ui| {
        let send = Button::new(RichText::new(i18n.t("control-send")).size(12.0));
        if rights::operate_button(ui, model, i18n, send).clicked() {
            // Asked for at the moment of confirming, so that it does not age while someone thinks.
            let wanted = CommandRequest { timestamp: model.now, ..wanted.clone() };
            next = Some(Stage::Asked { id: wanted.command_id.clone(), refused: None });
            out.push(UiCommand::Control(Box::new(wanted)));
        }
        if ui.button(RichText::new(i18n.t("control-cancel")).size(12.0)).clicked() {
            next = Some(Stage::Editing);
        }
    });
    next
}

fn asked(
    ui: &mut Ui,
    model: &ParkModel,
    i18n: &I18n,
    id: &CommandId,
    refused: Option<&Fault>,
) -> Option<Stage> {
    let update = model.commands.iter().find(|c| &c.command_id == id);
    let (text, colour) = match (update, refused) {
        (Some(update), _) => {
            let reason = update.reason.as_deref().map_or(String::new(), |r| format!(": {r}"));
            let colour = match update.status {
                CommandStatus::Acknowledged => theme::ACCENT,
                CommandStatus::Rejected | CommandStatus::Expired => theme::severity(Severity::Major),
                CommandStatus::Queued | CommandStatus::Sent => theme::TEXT,
            };
            (format!("{}{reason}", status_word(i18n, update.status)), colour)
        }
        (None, Some(told)) => {
            (i18n.t1("notice-failed", "reason", i18n.fault(told)), theme::severity(Severity::Major))
        }
        (None, None) => (i18n.t("control-asking").into_owned(), theme::TEXT),
    };
    ui.label(RichText::new(text).size(13.0).color(colour));
    let again = ui.button(RichText::new(i18n.t("control-again")).size(12.0));
    again.clicked().then_some(Stage::Editing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::{
        text::Text,
        thing_model::{CommandModel, ParameterModel},
    };

    #[test]
    fn power_stays_within_both_the_thing_models_bounds_and_the_rating() {
        let mut scene = crate::fixture::tiny_scene();
        let device = scene.devices.remove(0);
        let mut thing = scene.models[&device.model].clone();
        thing.commands.clear();
        assert_eq!(power_range(&thing, &device.rating), None, "nothing to set");
        thing.commands.push(CommandModel {
            name: SET_POWER.into(),
            text: Text::new("设定", "Set"),
            parameters: vec![ParameterModel {
                key: "power".into(),
                text: Text::new("功率", "Power"),
                unit: "kW".into(),
                required: true,
                min: Some(-600.0),
                max: Some(5_000.0),
                words: Vec::new(),
            }],
        });
        // The battery of 2000 kWh charges and discharges at 1000 kW.
        assert_eq!(power_range(&thing, &device.rating), Some((-600.0, 1_000.0)));
    }
}
