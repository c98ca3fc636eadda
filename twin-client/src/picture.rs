//! Off-screen work: wait until everything is there, then save a picture or measure frames, and end.
//!
//! "There" is a condition, not a time: the model is complete, the world is built from it, and no shader waits to be
//! compiled, for some frames in a row.

use crate::{
    camera::{Eye, FreeRect},
    model::{LinkState, ParkModel},
    world::WorldRoot,
};
use bevy::{
    app::AppExit,
    prelude::*,
    render::{
        Render, RenderApp, RenderSystems,
        render_resource::{PipelineCache, PollType},
        renderer::RenderDevice,
        view::screenshot::{Screenshot, ScreenshotCaptured},
    },
};
use std::{
    num::NonZero,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Frames in a row that must be settled: what is spawned in one is drawn in the next.
const SETTLED_FRAMES: u32 = 5;

/// What to do once everything is there.
#[derive(Clone)]
pub struct Task {
    pub screenshot: Option<PathBuf>,
    pub bench_frames: Option<u32>,
    pub give_up_after: Duration,
    /// Where frame times go.
    pub report: Option<Report>,
}

/// Takes the measured frame times, in milliseconds.
pub type Report = Arc<dyn Fn(&[f64]) + Send + Sync>;

/// Exit codes beside 0.
pub const EXIT_TIMED_OUT: u8 = 2;
pub const EXIT_NOT_SAVED: u8 = 3;
pub const EXIT_REFUSED: u8 = 4;
/// The graphics device is lost or failed.
pub const EXIT_GRAPHICS: u8 = 5;

pub struct PicturePlugin {
    pub image: Handle<Image>,
    pub task: Task,
}

/// How many shaders the renderer still has to compile; counted in the render world.
#[derive(Resource, Clone, Default)]
struct WaitingPipelines(Arc<AtomicUsize>);

#[derive(Resource)]
struct Work {
    image: Handle<Image>,
    task: Task,
    started: Instant,
    settled: u32,
    capturing: bool,
    frame_ms: Vec<f64>,
    last_frame: Option<Instant>,
}

impl Plugin for PicturePlugin {
    fn build(&self, app: &mut App) {
        let waiting = WaitingPipelines(Arc::new(AtomicUsize::new(usize::MAX)));
        app.insert_resource(waiting.clone())
            .insert_resource(Work {
                image: self.image.clone(),
                task: self.task.clone(),
                started: Instant::now(),
                settled: 0,
                capturing: false,
                frame_ms: Vec::new(),
                last_frame: None,
            })
            .add_systems(Startup, |mut eye: ResMut<Eye>| eye.glides = false)
            .add_systems(Last, proceed);
        if let Some(render_app) = app.get_sub_app_mut(RenderApp) {
            render_app
                .insert_resource(waiting)
                .add_systems(Render, (count_pipelines, finish_frame).chain().in_set(RenderSystems::Cleanup));
        }
    }
}

fn count_pipelines(cache: Res<PipelineCache>, waiting: Res<WaitingPipelines>) {
    waiting.0.store(cache.waiting_pipelines().count(), Ordering::Relaxed);
}

/// Nothing paces frames without a screen: wait for each, so that they neither pile up nor seem free.
fn finish_frame(device: Res<RenderDevice>) {
    if let Err(error) = device.poll(PollType::wait_indefinitely()) {
        warn!("the graphics device does not finish its frame: {error}");
    }
}

fn proceed(
    mut commands: Commands,
    mut work: ResMut<Work>,
    model: Res<ParkModel>,
    free: Res<FreeRect>,
    waiting: Res<WaitingPipelines>,
    worlds: Query<(), With<WorldRoot>>,
    mut exit: MessageWriter<AppExit>,
) {
    if work.capturing {
        return;
    }
    if let LinkState::Refused { .. } = &model.link {
        error!("the link is {}", model.link);
        exit.write(failure(EXIT_REFUSED));
        return;
    }
    if work.started.elapsed() > work.task.give_up_after {
        error!(
            "gave up after {} s: the link is {}; still waiting for: {}",
            work.task.give_up_after.as_secs(),
            model.link,
            if model.is_complete() { "shaders".into() } else { model.missing().join(", ") }
        );
        exit.write(failure(EXIT_TIMED_OUT));
        return;
    }
    let there = model.is_complete()
        && !worlds.is_empty()
        && !free.0.is_empty()
        && waiting.0.load(Ordering::Relaxed) == 0;
    if !there {
        work.settled = 0;
        return;
    }
    work.settled += 1;
    if work.settled < SETTLED_FRAMES {
        return;
    }
    if let Some(frames) = work.task.bench_frames {
        let now = Instant::now();
        if let Some(last) = work.last_frame.replace(now) {
            work.frame_ms.push((now - last).as_secs_f64() * 1_000.0);
        }
        if work.frame_ms.len() < frames as usize {
            return;
        }
        if let Some(report) = &work.task.report {
            report(&work.frame_ms);
        }
    }
    work.capturing = true;
    match work.task.screenshot.clone() {
        Some(path) => {
            commands.spawn(Screenshot::image(work.image.clone())).observe(
                move |captured: On<ScreenshotCaptured>, mut exit: MessageWriter<AppExit>| {
                    exit.write(match save(&captured.image, &path) {
                        Ok(()) => AppExit::Success,
                        Err(error) => {
                            error!("cannot save {}: {error}", path.display());
                            failure(EXIT_NOT_SAVED)
                        }
                    });
                },
            );
        }
        None => {
            exit.write(AppExit::Success);
        }
    }
}

/// The client's end with a code.
pub fn failure(code: u8) -> AppExit {
    AppExit::Error(NonZero::new(code).unwrap_or(NonZero::<u8>::MIN))
}

fn save(image: &Image, path: &Path) -> Result<(), String> {
    let picture = image.clone().try_into_dynamic().map_err(|e| e.to_string())?;
    // The alpha of a picture of the screen means nothing.
    picture.to_rgb8().save_with_format(path, image::ImageFormat::Png).map_err(|e| e.to_string())
}
