//! From the link's mailbox into the model, once a frame, before everything else.

use crate::{
    clock::local_now,
    model::{ParkModel, Selection, selection::Thing},
    net::{Mail, Net, NetCommand, NetEvent},
    panels::device::charted,
    ui::UiState,
};
use bevy::prelude::*;
use shared::stream::PointName;

pub struct FeedPlugin;

impl Plugin for FeedPlugin {
    fn build(&self, app: &mut App) {
        app.init_resource::<ParkModel>()
            .add_systems(PreUpdate, (keep_time, drain, watch_history).chain())
            .add_systems(Last, forget_changes);
    }
}

fn keep_time(mut model: ResMut<ParkModel>) {
    model.set_local_time(local_now());
}

fn drain(
    net: Option<ResMut<Net>>,
    mut model: ResMut<ParkModel>,
    mut ui: ResMut<UiState>,
    mut selection: ResMut<Selection>,
) {
    let Some(mut net) = net else { return };
    let mail: &mut Mail = net.collect();
    for event in mail.events.drain(..) {
        take(event, &mut model, &mut ui, &mut selection);
    }
    if !mail.values.is_empty() {
        model.values.update(&mail.values);
    }
}

fn take(event: NetEvent, model: &mut ParkModel, ui: &mut UiState, selection: &mut Selection) {
    match event {
        NetEvent::Link(state) => {
            if model.link != state {
                info!("link: {state}");
            }
            model.link = state;
        }
        NetEvent::Scene { scene, etag } => {
            model.set_scene(*scene, etag);
            // Indices of the old scene mean other things in the new one.
            *selection = Selection::default();
        }
        NetEvent::Clock { server, local } => model.set_clock(server, local),
        NetEvent::Stream { message, local } => model.apply(message, local),
        NetEvent::Curve(curve) => model.curve = Some(curve),
        NetEvent::Energy(summary) => model.energy = Some(*summary),
        NetEvent::Plan(plan) => model.plan = Some(*plan),
        NetEvent::Tracking(tracking) => model.tracking = Some(tracking),
        NetEvent::History { point, result } => model.histories.answer(&point, result),
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
    let now = model.now;
    if let Some(net) = &net
        && model.link.is_live()
        && model.histories.should_ask(&name, now)
    {
        net.ask(NetCommand::History(name.clone()));
    }
    if !model.values.changed().is_empty() {
        model.extend_histories(&[name]);
    }
}

fn forget_changes(mut model: ResMut<ParkModel>) {
    if !model.values.changed().is_empty() {
        model.values.clear_changed();
    }
}
