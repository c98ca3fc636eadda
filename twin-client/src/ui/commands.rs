//! What panels ask for, and the one place where it is done.

use crate::{
    camera::{Eye, FreeRect},
    i18n::I18n,
    model::{ParkModel, Selection, selection::Thing},
    net::{Net, NetCommand},
    ui::UiState,
};
use bevy::{prelude::*, window::PrimaryWindow};
use shared::{command::CommandRequest, id::AlarmId, text::Language};

#[derive(Debug, Clone, PartialEq)]
pub enum UiCommand {
    SetLanguage(Language),
    Select(Option<Thing>),
    /// Select and fly there.
    GoTo(Thing),
    ShowAll,
    Acknowledge(AlarmId),
    PlanNow,
    /// Which measurement of the selected device the chart shows.
    Chart(String),
    Search(String),
    Login {
        user: String,
        password: String,
    },
    Logout,
    /// A command to a device, confirmed by a person.
    Control(Box<CommandRequest>),
    ToggleLeft,
    ToggleRight,
    ToggleHelp,
    ToggleQuality,
}

/// Commands of this frame's panels.
#[derive(Resource, Default)]
pub struct UiQueue(pub Vec<UiCommand>);

/// Carries out what the panels asked for.
#[expect(clippy::too_many_arguments, reason = "the one place where wishes meet everything they may touch")]
pub fn execute(
    mut queue: ResMut<UiQueue>,
    mut i18n: ResMut<I18n>,
    mut selection: ResMut<Selection>,
    mut eye: ResMut<Eye>,
    mut state: ResMut<UiState>,
    model: Res<ParkModel>,
    free: Res<FreeRect>,
    net: Option<Res<Net>>,
) {
    if queue.0.is_empty() {
        return;
    }
    let mut ask = |command| {
        if !net.as_ref().is_some_and(|n| n.ask(command)) {
            state.refused_asks += 1;
        }
    };
    let mut chart = None;
    let mut search = None;
    let (mut toggle_left, mut toggle_right) = (false, false);
    let (mut toggle_help, mut toggle_quality) = (false, false);
    for command in queue.0.drain(..) {
        match command {
            UiCommand::SetLanguage(language) => i18n.set_language(language),
            UiCommand::Select(thing) => selection.selected = thing,
            UiCommand::GoTo(thing) => {
                selection.selected = Some(thing);
                eye.focus(&model, thing);
            }
            UiCommand::ShowAll => {
                let aspect = free.0.width() / free.0.height().max(1.0);
                eye.frame_all(&model, aspect);
            }
            UiCommand::Acknowledge(id) => ask(NetCommand::Acknowledge(id)),
            UiCommand::PlanNow => ask(NetCommand::PlanNow),
            UiCommand::Chart(measurement) => chart = Some(measurement),
            UiCommand::Search(text) => search = Some(text),
            UiCommand::Login { user, password } => ask(NetCommand::Login { user, password }),
            UiCommand::Logout => ask(NetCommand::Logout),
            UiCommand::Control(request) => ask(NetCommand::Command(request)),
            UiCommand::ToggleLeft => toggle_left = !toggle_left,
            UiCommand::ToggleRight => toggle_right = !toggle_right,
            UiCommand::ToggleHelp => toggle_help = !toggle_help,
            UiCommand::ToggleQuality => toggle_quality = !toggle_quality,
        }
    }
    if let Some(measurement) = chart {
        state.chart = Some(measurement);
    }
    if let Some(text) = search {
        state.search = text;
    }
    state.left_open ^= toggle_left;
    state.right_open ^= toggle_right;
    state.panels.help_open ^= toggle_help;
    state.panels.quality_open ^= toggle_quality;
}

/// Keeps the window's title in the language in use, with the park's name once it is known.
pub fn title_window(
    i18n: Res<I18n>,
    model: Res<ParkModel>,
    mut told: Local<Option<(Language, u64)>>,
    window: Option<Single<&mut Window, With<PrimaryWindow>>>,
) {
    let now = (i18n.language(), model.scene_version);
    let Some(mut window) = window.filter(|_| *told != Some(now)) else { return };
    *told = Some(now);
    let title = i18n.t("app-title");
    window.title = match &model.scene {
        Some(scene) => format!("{} · {title}", i18n.text(&scene.scene.park.name)),
        None => title.into_owned(),
    };
}
