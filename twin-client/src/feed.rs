//! From the link's mailbox into the model, once a frame, before everything else.

use crate::{
    clock::local_now,
    model::{FaultKind, ParkModel, Selection, selection::Thing},
    net::{Net, NetCommand, NetEvent},
    panels::device::charted,
    ui::UiState,
};
use bevy::prelude::*;
use shared::stream::PointName;

pub struct FeedPlugin;

impl Plugin for FeedPlugin {
    fn build(&self, app: &mut App) {
        app.init_resource::<ParkModel>()
            .add_systems(PreUpdate, (keep_time, drain, watch_history, watch_quality).chain())
            .add_systems(Last, forget_changes);
    }
}

fn keep_time(mut model: ResMut<ParkModel>) {
    model.set_local_time(local_now());
}

/// Values and presences taken in one frame: some hundred microseconds' work. More waits for the next frames.
const VALUES_A_FRAME: usize = 20_000;
const PRESENCES_A_FRAME: usize = 5_000;

fn drain(
    net: Option<ResMut<Net>>,
    mut model: ResMut<ParkModel>,
    mut ui: ResMut<UiState>,
    mut selection: ResMut<Selection>,
) {
    let Some(mut net) = net else { return };
    let model = &mut *model;
    let inbox = net.collect();
    for event in inbox.events.drain(..) {
        take(event, model, &mut ui, &mut selection);
    }
    // Presence means something only in a scene.
    if model.scene.is_some() {
        model.note_presence(inbox.next_presence(PRESENCES_A_FRAME));
    }
    model.values.update(inbox.next_values(VALUES_A_FRAME));
    model.catching_up = !inbox.is_done();
}

fn take(event: NetEvent, model: &mut ParkModel, ui: &mut UiState, selection: &mut Selection) {
    match event {
        NetEvent::Link(state) => {
            if model.link != state {
                info!("link: {state}");
            }
            model.link = state;
        }
        NetEvent::User(who) => (model.user_name, model.role) = who.unzip(),
        NetEvent::Scene(scene) => {
            model.take_scene(scene);
            // Indices of the old scene mean other things in the new one.
            *selection = Selection::default();
        }
        NetEvent::Points(table) => model.take_points(table),
        NetEvent::Clock { server, local } => model.set_clock(server, local),
        NetEvent::Stream { message, local } => model.apply(message, local),
        NetEvent::Curve(curve) => model.curve = Some(curve),
        NetEvent::Energy(summary) => model.energy = Some(*summary),
        NetEvent::Plan(plan) => model.plan = Some(*plan),
        NetEvent::Tracking(tracking) => model.tracking = Some(tracking),
        NetEvent::History { point, result } => model.histories.answer(&point, result),
        NetEvent::Quality(result) => model.quality.answer(*result),
        NetEvent::RoundTrip { ms } => model.round_trip_ms = Some(ms),
        NetEvent::Notice(notice) => {
            let now = model.now;
            ui.show_notice(notice, now);
        }
    }
}

/// Asks for the last hour of what the device panel charts, and extends it with live values.
fn watch_history(
    net: Option<Res<Net>>,
    mut model: ResMut<ParkModel>,
    selection: Res<Selection>,
    ui: Res<UiState>,
) {
    let Some(Thing::Device(index)) = selection.selected else { return };
    let Some(scene) = model.scene.clone() else { return };
    let Some(device) = scene.device(index) else { return };
    let Some(measurement) = charted(&scene, device, ui.chart.as_deref()) else { return };
    let name = PointName { device: device.id.clone(), measurement: measurement.key.clone() };
    let now = model.local_now;
    if let Some(net) = &net
        && model.link.is_live()
        && model.histories.should_ask(&name, now)
        && !net.ask(NetCommand::History(name.clone()))
    {
        // The link is busy: in a while again.
        model.histories.answer(&name, Err(FaultKind::NoAnswer.into()));
    }
    if !model.values.changed().is_empty() {
        model.extend_histories(&[name]);
    }
}

/// Asks for the quality of the data while its panel is open.
fn watch_quality(net: Option<Res<Net>>, mut model: ResMut<ParkModel>, ui: Res<UiState>) {
    let Some(net) = net.filter(|_| ui.panels.quality_open && model.link.is_live()) else { return };
    let (now, local_now) = (model.now, model.local_now);
    if model.quality.should_ask(local_now) && !net.ask(NetCommand::Quality { now }) {
        // The link is busy: in a while again.
        model.quality.answer(Err(FaultKind::NoAnswer.into()));
    }
}

fn forget_changes(mut model: ResMut<ParkModel>) {
    if !model.values.changed().is_empty() {
        model.values.clear_changed();
    }
}
