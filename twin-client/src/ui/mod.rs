//! The shell around the panels: bar on top, energy on the left, detail and alarms on the right, the park in between.

pub mod commands;
pub mod fonts;
pub mod format;
pub mod overlay;
pub mod theme;

use crate::{
    camera::{Eye, FreeRect, ParkCamera, PictureTarget},
    i18n::I18n,
    model::{ParkModel, Selection},
    net::Notice,
    panels::{self, PanelState, login::LoginForm},
    world::{
        flow_lines::Flows,
        landmarks::{Landmark, landmarks},
        sunlight::SunClock,
    },
};
use bevy::{
    asset::AssetEventSystems,
    camera::{CameraOutputMode, ClearColorConfig, visibility::RenderLayers},
    prelude::*,
    render::{render_resource::BlendState, view::Msaa},
};
use bevy_egui::{
    EguiContexts, EguiGlobalSettings, EguiPlugin, EguiPostUpdateSet, EguiPrimaryContextPass,
    PrimaryEguiContext,
};
use commands::UiQueue;
use egui::{Frame, LayerId, Margin, Panel, UiBuilder};
use shared::time::Timestamp;

const LEFT_WIDTH: f32 = 336.0;
const RIGHT_WIDTH: f32 = 336.0;
const BAR_HEIGHT: f32 = 46.0;
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
    pub panels: PanelState,
    /// Outcomes on show, with when they go.
    pub notices: Vec<(Notice, Timestamp)>,
    /// Wishes the link was too busy to take.
    pub refused_asks: u32,
    styled: bool,
}

impl Default for UiState {
    fn default() -> Self {
        Self {
            search: String::new(),
            chart: None,
            left_open: true,
            right_open: true,
            login: LoginForm::default(),
            panels: PanelState::default(),
            notices: Vec::new(),
            refused_asks: 0,
            styled: false,
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
            // Otherwise what a frame adds to the font's texture may be drawn a frame late: a number with digits missing.
            .configure_sets(PostUpdate, EguiPostUpdateSet::PostProcessOutput.before(AssetEventSystems))
            .add_systems(Startup, spawn_camera)
            .add_systems(EguiPrimaryContextPass, shell)
            .add_systems(Update, (commands::execute, commands::title_window));
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

/// The landmarks of the scene of a version.
#[derive(Default)]
struct KnownLandmarks {
    version: u64,
    all: Vec<Landmark>,
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
    camera: Single<(&Camera, &GlobalTransform), With<ParkCamera>>,
    (eye, flows, sun): (Res<Eye>, Option<Res<Flows>>, Res<SunClock>),
    mut known: Local<KnownLandmarks>,
) -> Result {
    let ctx = contexts.ctx_mut()?.clone();
    if !state.styled {
        ctx.set_fonts(fonts::definitions());
        theme::apply(&ctx);
        state.styled = true;
        // Fonts hold from the next pass on.
        return Ok(());
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
    if known.version != model.scene_version {
        known.version = model.scene_version;
        known.all = model.scene.as_deref().map(landmarks).unwrap_or_default();
    }
    let (camera, transform) = *camera;
    let seen = overlay::Seen {
        camera,
        transform,
        eye: &eye,
        flows: flows.as_deref(),
        landmarks: &known.all,
        light_of: sun.fixed,
    };
    overlay::overlay_ui(&mut root, rect, &view, &seen);
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
            panels::columns::left_ui(ui, model, i18n, out);
        });
    }
    if state.right_open && model.scene.is_some() {
        Panel::right("detail").exact_size(RIGHT_WIDTH).resizable(false).frame(side).show(root, |ui| {
            let chart = state.chart.as_deref();
            panels::columns::right_ui(ui, model, i18n, selection, chart, &mut state.panels, out);
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
    if state.panels.help_open {
        panels::keys::help_ui(root, i18n, out);
    }
    if state.panels.quality_open {
        panels::quality::quality_ui(root, model, i18n, out);
    }
    let PanelState { help_open: help, quality_open: quality, .. } = state.panels;
    let open = panels::keys::Open { help, quality, search: &state.search, selection };
    panels::keys::keys_ui(root, i18n, &open, out);
    root.available_rect_before_wrap()
}

/// Outcomes of what was asked, for a few seconds.
fn notices(ui: &mut egui::Ui, view: &View, state: &mut UiState) {
    let now = view.model.now;
    state.notices.retain(|(_, until)| *until > now);
    let busy = std::mem::take(&mut state.refused_asks) > 0;
    state.panels.control.hear(state.notices.iter().map(|(notice, _)| notice));
    panels::notices::notices_ui(ui, view.i18n, state.notices.iter().map(|(notice, _)| notice), busy);
}
