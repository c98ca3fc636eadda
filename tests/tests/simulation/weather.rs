//! What goes wrong around the server while it lives, and what people ask of it.

use crate::{
    clock,
    network::{Network, Notices},
    oracle::Oracle,
    park,
    trace::note,
};
use history::FaultDisk;
use parking_lot::Mutex;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use shared::{
    command::{CommandRequest, Issuer},
    time::Timestamp,
};
use std::{sync::Arc, time::Duration};
use twin::{CommandRefusal, Twin};

async fn pause(rng: &mut ChaCha8Rng, up_to_ms: u64) {
    tokio::time::sleep(Duration::from_millis(rng.random_range(1..up_to_ms))).await;
}

/// Cuts, partitions and slowness.
pub(crate) async fn of_network(network: Arc<Network>, mut rng: ChaCha8Rng) {
    loop {
        pause(&mut rng, 12_000).await;
        let device = rng.random_range(0..park::DEVICES);
        match rng.random_range(0..10) {
            0..3 => network.partition(device, Duration::from_millis(rng.random_range(100..70_000))),
            3..5 => network.cut(device, Notices::Device),
            5..6 => network.cut(device, Notices::Server),
            6..8 => network.cut(device, Notices::Both),
            _ => network.slow_down([1, 1, 3, 20][rng.random_range(0..4)]),
        }
    }
}

/// Failed syncs, a full disk, short writes, a file system that goes read-only.
pub(crate) async fn of_disk(disk: FaultDisk, network: Arc<Network>, mut rng: ChaCha8Rng) {
    loop {
        pause(&mut rng, 15_000).await;
        let what = rng.random_range(0..4);
        note!(network.trace(), "the disk's fault {what}");
        match what {
            0 => disk.fail_syncs(rng.random_range(1..4)),
            1 => disk.set_free_bytes(Some(rng.random_range(0..3_000))),
            2 => disk.limit_writes(Some(rng.random_range(1..100))),
            _ => disk.refuse_changes(true),
        }
        pause(&mut rng, 20_000).await;
        disk.fail_syncs(0);
        disk.set_free_bytes(None);
        disk.limit_writes(None);
        disk.refuse_changes(false);
    }
}

/// A person who sets powers, sometimes twice, and sometimes by mistake another one under the same name.
pub(crate) async fn of_people(twin: Twin, oracle: Arc<Mutex<Oracle>>, life: usize, mut rng: ChaCha8Rng) {
    for count in 0.. {
        pause(&mut rng, 9_000).await;
        let device = park::device_name(rng.random_range(0..park::DEVICES));
        let (id, power) = (format!("command-{life}-{count}"), f64::from(rng.random_range(0..400)));
        let request = |power: f64, at: Timestamp, lasts_ms: i64| -> Option<CommandRequest> {
            Some(CommandRequest {
                device_id: device.parse().ok()?,
                command_id: id.parse().ok()?,
                command: "setPower".to_owned(),
                parameters: json!({ "power": power }).as_object()?.clone(),
                timestamp: at,
                expires: Some(Timestamp(at.0 + lasts_ms)),
            })
        };
        let (at, lasts_ms) = (clock::now(), rng.random_range(2_000..90_000));
        let Some(asked) = request(power, at, lasts_ms) else { return };
        oracle.lock().command_asked(&id, &device, power);
        let issuer = || Issuer::User { name: "operator".to_owned() };
        match twin.submit(asked.clone(), issuer(), clock::now()).await {
            Ok(_) => oracle.lock().command_taken(&id, true),
            // Whether it was journaled nobody knows.
            Err(CommandRefusal::Storage(_)) => continue,
            Err(_) => {
                oracle.lock().command_taken(&id, false);
                continue;
            }
        }
        let (again, expected) = match rng.random_range(0..5) {
            0 => (Some(asked), "the same"),
            1 => (request(power + 0.5, at, lasts_ms), "a conflict"),
            _ => continue,
        };
        let Some(again) = again else { return };
        let is_well = match twin.submit(again, issuer(), clock::now()).await {
            Ok(record) => expected == "the same" && record.request.command_id.as_str() == id,
            Err(CommandRefusal::Conflict(_)) => expected == "a conflict",
            Err(CommandRefusal::Storage(_)) => true,
            Err(_) => false,
        };
        if !is_well {
            oracle.lock().violated(format!("asking for {id} again was not answered with {expected}"));
        }
    }
}
