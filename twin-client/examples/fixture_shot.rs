//! A picture of the client without a server: the real world and panels over a made-up park.
//!
//! `fixture_shot OUT.png [--at TIME] [--lang zh-CN|en] [--size WxH] [--select THING] [--hover THING] [--scene FOLDER]
//! [--eye EAST,NORTH,DISTANCE,YAW,PITCH] [--bench FRAMES] [--lose-device] [--no-link]`, where a thing is a device's or a
//! building's id.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a tool for looking, run by hand")]

#[path = "../tests/fixture/mod.rs"]
mod fixture;

use bevy::{
    prelude::*,
    render::{Render, RenderApp, RenderSystems, render_resource::PollType, renderer::RenderDevice},
};
use shared::{scene::Scene, time::Timestamp};
use std::{collections::BTreeMap, fs, path::Path, process::ExitCode, time::Duration};
use twin_client::{
    app::{Setup, build},
    camera::{Eye, orbit::Orbit},
    model::{LinkState, ParkModel, Selection, selection::Thing},
    options::Size,
    picture::Task,
};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|i| args.get(i + 1)).cloned();
    let at = option("--at").map(|t| Timestamp::parse(&t).expect("--at"));
    let now = at.unwrap_or(Timestamp(jiff::Timestamp::now().as_millisecond()));
    let size = option("--size").map_or(Size { width: 1600, height: 900 }, |s| {
        let (w, h) = s.split_once('x').expect("--size");
        Size { width: w.parse().expect("width"), height: h.parse().expect("height") }
    });
    let language = match option("--lang").as_deref() {
        Some("en") => shared::text::Language::English,
        _ => shared::text::Language::Chinese,
    };
    let scene = option("--scene").map_or_else(fixture::sample_park, |folder| load(Path::new(&folder)));
    let mut app = build(Setup {
        language,
        size,
        at,
        wall: false,
        headless: Some(Task {
            screenshot: Some(args[0].clone().into()),
            bench_frames: option("--bench").map(|n| n.parse().expect("--bench")),
            give_up_after: Duration::from_secs(300),
            report: Some(std::sync::Arc::new(|ms: &[f64]| println!("{ms:.1?}"))),
        }),
    });
    let local = Timestamp(jiff::Timestamp::now().as_millisecond());
    let mut model = ParkModel::default();
    model.set_scene(scene.clone(), "fixture".into());
    for message in fixture::messages(&scene, now) {
        model.apply(message, local);
    }
    let zone = jiff::tz::TimeZone::get(&scene.park.time_zone).expect("zone");
    model.curve = Some(fixture::curve(now, now.start_of_day(&zone)));
    model.tracking = Some(fixture::tracking(now));
    model.link = LinkState::Live;
    model.role = Some(twin_client::model::Role::Operator);
    if args.iter().any(|a| a == "--no-link") {
        model.link = LinkState::Connecting;
    }
    let thing = |name: &str| {
        let (wanted, scene) = (option(name)?, model.scene.as_ref()?);
        let device = wanted.parse().ok().and_then(|id| scene.device_index(&id)).map(Thing::Device);
        device.or_else(|| scene.building_index(&wanted.parse().ok()?).map(Thing::Building))
    };
    app.insert_resource(Selection { selected: thing("--select"), hovered: thing("--hover") });
    if args.iter().any(|a| a == "--lose-device") {
        lose_device(&mut app);
    }
    if let Some(view) = option("--eye") {
        // east, north, distance, yaw, pitch
        let v: Vec<f32> = view.split(',').map(|n| n.parse().expect("--eye")).collect();
        let orbit = Orbit { target: Vec3::new(v[0], 3.0, -v[1]), distance: v[2], yaw: v[3], pitch: v[4] };
        app.insert_resource(Eye::fixed_at(orbit));
    }
    app.insert_resource(model);
    match app.run() {
        AppExit::Success => ExitCode::SUCCESS,
        AppExit::Error(code) => ExitCode::from(code.get()),
    }
}

/// Destroys the graphics device in the third frame, as a driver's crash would.
fn lose_device(app: &mut App) {
    let mut frame = 0;
    let destroy = move |device: Res<RenderDevice>| {
        frame += 1;
        if frame == 3 {
            println!("losing the graphics device");
            device.wgpu_device().destroy();
            // The loss is heard of in a poll.
            let _ = device.poll(PollType::Poll);
        }
    };
    app.sub_app_mut(RenderApp).add_systems(Render, destroy.in_set(RenderSystems::PostCleanup));
}

fn load(folder: &Path) -> Scene {
    let mut files = BTreeMap::new();
    let mut take = |dir: &Path, prefix: &str| {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten().filter(|e| e.path().is_file()) {
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            files.insert(name, fs::read(entry.path()).expect("a scene file"));
        }
    };
    take(folder, "");
    take(&folder.join("series"), "series/");
    take(&folder.join("../models"), "models/");
    Scene::load(&files).unwrap_or_else(|e| panic!("{e}"))
}
