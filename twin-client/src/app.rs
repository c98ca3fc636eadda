//! Puts the client together: with a window, or off-screen for pictures and measurements.

use crate::{
    camera::{CameraPlugin, PictureTarget},
    feed::FeedPlugin,
    i18n::I18n,
    options::Size,
    pace::PacePlugin,
    picking::PickingPlugin,
    picture::{PicturePlugin, Task},
    recovery::RecoveryPlugin,
    ui::UiPlugin,
    world::{WorldPlugin, sunlight::SunClock},
};
use bevy::{
    app::ScheduleRunnerPlugin,
    asset::RenderAssetUsages,
    log::LogPlugin,
    prelude::*,
    render::{
        RenderPlugin,
        pipelined_rendering::PipelinedRenderingPlugin,
        render_resource::{Extent3d, TextureDimension, TextureFormat, TextureUsages},
    },
    window::{ExitCondition, MonitorSelection, WindowMode, WindowResolution},
    winit::WinitPlugin,
};
use shared::{text::Language, time::Timestamp};
use std::time::Duration;

/// How the client shows itself.
pub struct Setup {
    pub language: Language,
    pub size: Size,
    /// Show the sun of this time instead of now's.
    pub at: Option<Timestamp>,
    /// For a wall: full screen, drawn all the time, larger, without a pointer.
    pub wall: bool,
    /// No window; what to do instead.
    pub headless: Option<Task>,
}

/// The whole client but for the link: insert [`crate::net::Net`], or fill [`crate::model::ParkModel`] yourself.
pub fn build(setup: Setup) -> App {
    let mut app = App::new();
    let log = LogPlugin {
        filter: "warn,twin_client=info,wgpu=error,naga=error,bevy_render::view::window=error".into(),
        ..default()
    };
    let size = setup.size;
    match setup.headless {
        None => {
            let window = Window {
                title: "Park Twin".into(),
                resolution: WindowResolution::new(size.width, size.height),
                mode: match setup.wall {
                    true => WindowMode::BorderlessFullscreen(MonitorSelection::Current),
                    false => WindowMode::Windowed,
                },
                ..default()
            };
            app.add_plugins(
                DefaultPlugins.set(log).set(WindowPlugin { primary_window: Some(window), ..default() }),
            )
            .add_plugins(PacePlugin { wall: setup.wall });
        }
        Some(task) => {
            app.add_plugins(
                DefaultPlugins
                    .set(log)
                    .set(WindowPlugin {
                        primary_window: None,
                        exit_condition: ExitCondition::DontExit,
                        ..default()
                    })
                    // A picture is taken when its shaders are there, so they may as well be waited for.
                    .set(RenderPlugin { synchronous_pipeline_compilation: true, ..default() })
                    .disable::<PipelinedRenderingPlugin>()
                    .disable::<WinitPlugin>(),
            )
            .add_plugins(ScheduleRunnerPlugin::run_loop(Duration::ZERO));
            let image = app.world_mut().resource_mut::<Assets<Image>>().add(target_image(size));
            app.insert_resource(PictureTarget(Some(image.clone())));
            app.add_plugins(PicturePlugin { image, task });
        }
    }
    app.insert_resource(I18n::new(setup.language))
        .insert_resource(ClearColor(Color::srgb(0.08, 0.09, 0.11)))
        .add_plugins((UiPlugin, FeedPlugin, CameraPlugin, WorldPlugin, PickingPlugin, RecoveryPlugin))
        .insert_resource(SunClock::at(setup.at));
    app
}

/// An image to render to and read back.
fn target_image(size: Size) -> Image {
    let extent = Extent3d { width: size.width, height: size.height, depth_or_array_layers: 1 };
    let mut image = Image::new_fill(
        extent,
        TextureDimension::D2,
        &[0; 4],
        TextureFormat::Rgba8UnormSrgb,
        RenderAssetUsages::default(),
    );
    image.texture_descriptor.usage |= TextureUsages::RENDER_ATTACHMENT | TextureUsages::COPY_SRC;
    image
}
