//! The shell around the panels: bar on top, energy on the left, detail and alarms on the right, the park in between.

pub mod commands;
pub mod fonts;
pub mod format;
pub mod overlay;
pub mod theme;

use crate::{
    camera::{FreeRect, PictureTarget},
    i18n::I18n,
    model::{ParkModel, Selection, selection::Thing},
    net::{Asked, Notice},
    panels::{self, login::LoginForm},
};
use bevy::{
    camera::{CameraOutputMode, ClearColorConfig, visibility::RenderLayers},
    prelude::*,
    render::{render_resource::BlendState, view::Msaa},
};
use bevy_egui::{EguiContexts, EguiGlobalSettings, EguiPlugin, EguiPrimaryContextPass, PrimaryEguiContext};
use commands::UiQueue;
use egui::{Frame, LayerId, Margin, Panel, RichText, ScrollArea, UiBuilder};
use shared::time::Timestamp;

const LEFT_WIDTH: f32 = 336.0;
const RIGHT_WIDTH: f32 = 336.0;
const BAR_HEIGHT: f32 = 46.0;
const ALARMS_HEIGHT: f32 = 236.0;
/// How long an outcome stays on show.
const NOTICE_MS: i64 = 5_000;

/// What the interface itself remembers.
#[derive(Resource)]
pub struct UiState {
    pub search: String,
    /// The measurement the device chart shows, when one was chosen.
    pub chart: Option<String>,
    pub left_open: bool,
    pub right_open: bool,
    pub login: LoginForm,
    /// Outcomes on show, with when they go.
    pub notices: Vec<(Notice, Timestamp)>,
    /// Wishes the link was too busy to take.
    pub refused_asks: u32,
    styled: bool,
    digits_ready: bool,
}

impl Default for UiState {
    fn default() -> Self {
        Self {
            search: String::new(),
            chart: None,
            left_open: true,
            right_open: true,
            login: LoginForm::default(),
            notices: Vec::new(),
            refused_asks: 0,
            styled: false,
            digits_ready: false,
        }
    }
}

impl UiState {
    pub fn show_notice(&mut self, notice: Notice, now: Timestamp) {
        self.notices.push((notice, Timestamp(now.0 + NOTICE_MS)));
    }
}

pub struct UiPlugin;

impl Plugin for UiPlugin {
    fn build(&self, app: &mut App) {
        app.add_plugins(EguiPlugin::default())
            .insert_resource(EguiGlobalSettings { auto_create_primary_context: false, ..default() })
            .init_resource::<UiState>()
            .init_resource::<UiQueue>()
            .add_systems(Startup, spawn_camera)
            .add_systems(EguiPrimaryContextPass, shell)
            .add_systems(Update, commands::execute);
    }
}

/// The panels' own camera, over the park's: that one shrinks to the space between them.
fn spawn_camera(mut commands: Commands, target: Res<PictureTarget>) {
    commands.spawn((
        PrimaryEguiContext,
        Camera2d,
        target.render_target(),
        RenderLayers::none(),
        Msaa::Off,
        Camera {
            order: 1,
            output_mode: CameraOutputMode::Write {
                blend_state: Some(BlendState::PREMULTIPLIED_ALPHA_BLENDING),
                clear_color: ClearColorConfig::None,
            },
            clear_color: ClearColorConfig::Custom(Color::NONE),
            ..default()
        },
    ));
}

/// Everything the panels read.
pub struct View<'a> {
    pub model: &'a ParkModel,
    pub i18n: &'a I18n,
    pub selection: &'a Selection,
}

#[expect(clippy::too_many_arguments, reason = "all that the panels read meets here")]
fn shell(
    mut contexts: EguiContexts,
    model: Res<ParkModel>,
    i18n: Res<I18n>,
    selection: Res<Selection>,
    mut state: ResMut<UiState>,
    mut queue: ResMut<UiQueue>,
    mut free: ResMut<FreeRect>,
    camera: Single<(&Camera, &GlobalTransform), With<crate::camera::ParkCamera>>,
) -> Result {
    let ctx = contexts.ctx_mut()?.clone();
    if !state.styled {
        ctx.set_fonts(fonts::definitions());
        theme::apply(&ctx);
        state.styled = true;
        // Fonts hold from the next pass on.
        return Ok(());
    }
    if !state.digits_ready {
        fonts::prepare_digits(&ctx);
        state.digits_ready = true;
    }
    let view = View { model: &model, i18n: &i18n, selection: &selection };
    let mut root = egui::Ui::new(
        ctx.clone(),
        "root".into(),
        UiBuilder::new().layer_id(LayerId::background()).max_rect(ctx.viewport_rect()),
    );
    let rect = arrange(&mut root, &view, &mut state, &mut queue.0);
    let wanted = FreeRect(Rect::new(rect.left(), rect.top(), rect.right(), rect.bottom()));
    if *free != wanted {
        *free = wanted;
    }
    overlay::overlay_ui(&mut root, rect, &view, *camera);
    Ok(())
}

/// Lays the panels out and returns what is left between them.
pub fn arrange(
    root: &mut egui::Ui,
    view: &View,
    state: &mut UiState,
    out: &mut Vec<commands::UiCommand>,
) -> egui::Rect {
    let View { model, i18n, selection } = *view;
    let plain = Frame::new().fill(theme::PANEL);
    Panel::top("bar")
        .exact_size(BAR_HEIGHT)
        .resizable(false)
        .frame(plain.inner_margin(Margin::symmetric(14, 0)))
        .show(root, |ui| panels::top_bar::top_bar_ui(ui, model, i18n, &state.search, out));
    let side = plain.inner_margin(Margin { left: 10, right: 10, top: 4, bottom: 8 });
    if state.left_open && model.scene.is_some() {
        Panel::left("energy").exact_size(LEFT_WIDTH).resizable(false).frame(side).show(root, |ui| {
            ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
                panels::balance::balance_ui(ui, model, i18n, out);
                panels::today::today_figures_ui(ui, model, i18n, out);
                panels::today::today_curves_ui(ui, model, i18n, out);
                panels::plan::plan_ui(ui, model, i18n, out);
            });
        });
    }
    if state.right_open && model.scene.is_some() {
        Panel::right("detail").exact_size(RIGHT_WIDTH).resizable(false).frame(side).show(root, |ui| {
            Panel::bottom("alarms")
                .exact_size(ALARMS_HEIGHT)
                .resizable(false)
                .show_separator_line(false)
                .frame(Frame::new().inner_margin(Margin { left: 0, right: 0, top: 8, bottom: 0 }))
                .show(ui, |ui| panels::alarms::alarms_ui(ui, model, i18n, out));
            ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| match selection.selected {
                Some(Thing::Device(index)) => {
                    panels::device::device_ui(ui, model, i18n, index, state.chart.as_deref(), out);
                }
                Some(Thing::Building(index)) => panels::building::building_ui(ui, model, i18n, index, out),
                None => {
                    panels::storage::storage_ui(ui, model, i18n, out);
                    panels::tariff::tariff_ui(ui, model, i18n, out);
                    panels::carbon::carbon_ui(ui, model, i18n, out);
                }
            });
        });
    }
    if matches!(model.link, crate::model::LinkState::Lost { .. }) {
        let fill = theme::severity(shared::alarm::Severity::Critical).linear_multiply(0.9);
        Panel::top("lost")
            .resizable(false)
            .frame(Frame::new().fill(fill).inner_margin(Margin::symmetric(14, 6)))
            .show(root, |ui| panels::top_bar::lost_banner_ui(ui, model, i18n));
    }
    panels::login::login_ui(root, model, i18n, &mut state.login, out);
    notices(root, view, state);
    root.available_rect_before_wrap()
}

/// Outcomes of what was asked, for a few seconds.
fn notices(ui: &mut egui::Ui, view: &View, state: &mut UiState) {
    let now = view.model.now;
    state.notices.retain(|(_, until)| *until > now);
    let i18n = view.i18n;
    let mut lines: Vec<(String, bool)> = state
        .notices
        .iter()
        .map(|(notice, _)| match (&notice.error, notice.what) {
            (Some(reason), _) => (i18n.t1("notice-failed", "reason", i18n.fault(reason)), true),
            (None, Asked::Acknowledge) => (i18n.t("notice-acknowledge-done").into_owned(), false),
            (None, Asked::PlanNow) => (i18n.t("notice-plan-done").into_owned(), false),
            (None, Asked::Command) => (i18n.t("notice-command-done").into_owned(), false),
        })
        .collect();
    if std::mem::take(&mut state.refused_asks) > 0 {
        lines.push((i18n.t("notice-busy").into_owned(), true));
    }
    if lines.is_empty() {
        return;
    }
    egui::Area::new("notices".into())
        .anchor(egui::Align2::CENTER_BOTTOM, egui::vec2(0.0, -24.0))
        .interactable(false)
        .show(ui.ctx(), |ui| {
            for (line, bad) in lines {
                let colour =
                    if bad { theme::severity(shared::alarm::Severity::Major) } else { theme::ACCENT };
                theme::card().stroke(egui::Stroke::new(1.0, colour)).show(ui, |ui| {
                    ui.label(RichText::new(line).size(13.0));
                });
            }
        });
}
