//! The server's side of gateways: frames are handed to the twin in their order, and forgotten once PostgreSQL has what they said as blocks.
//!
//! A frame may be read twice, after a restart or a failure: a reading is known by device, measurement and time, an event by its id, an
//! answer by its command, so the second time changes nothing.

use super::duty::{Heard, Report, sender_of};
use crate::{
    clock,
    ingest::{self, Channel, Verdict},
};
use frames::{Frame, FrameReader, Payload, Position};
use futures::{StreamExt, stream};
use history::History;
use shared::id::DeviceId;
use std::time::Duration;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;
use twin::{Sender, Twin};

#[derive(Debug, Clone)]
pub struct IntakeOptions {
    /// How long frames are kept at most after they were taken: what they said is then sealed into blocks.
    pub seal_every: Duration,
    /// Payload bytes taken after which it is done sooner.
    pub seal_bytes: usize,
    /// Payloads on their way to the disk.
    pub window: usize,
    /// Between attempts when a store does not answer.
    pub pause: Duration,
}

impl Default for IntakeOptions {
    fn default() -> Self {
        Self {
            seal_every: Duration::from_secs(120),
            seal_bytes: 256 << 20,
            window: 4096,
            pause: Duration::from_secs(1),
        }
    }
}

/// A payload that came this much earlier to the gateway says nothing about whether its device is there now.
const STALE_MS: i64 = 10_000;

struct Intake<'a> {
    twin: Twin,
    heard: &'a Heard,
    reports: mpsc::Sender<Report>,
    options: IntakeOptions,
    /// Frames whose payloads are all durable or refused.
    taken: Position,
    /// Of them, since the last sealing.
    taken_bytes: usize,
}

pub(super) async fn run(
    mut frames: FrameReader,
    twin: Twin,
    history: History,
    heard: &Heard,
    reports: mpsc::Sender<Report>,
    options: IntakeOptions,
    shutdown: CancellationToken,
) {
    let mut intake = Intake { twin, heard, reports, options, taken: Position::default(), taken_bytes: 0 };
    let mut seal_at = Instant::now() + intake.options.seal_every;
    loop {
        let next = tokio::select! {
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep_until(seal_at), if intake.taken_bytes > 0 => None,
            next = frames.next() => Some(next),
        };
        let step = match next {
            None => Ok(()),
            Some(Ok(next)) => intake.take(next).await,
            Some(Err(e)) => Err(e.to_string()),
        };
        if let Err(why) = step {
            tracing::error!(why, retry_in = ?intake.options.pause, "what gateways kept is not taken");
            frames.rewind(&intake.taken);
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(intake.options.pause) => {}
            }
        }
        if intake.taken_bytes >= intake.options.seal_bytes
            || (intake.taken_bytes > 0 && Instant::now() >= seal_at)
        {
            intake.seal(&mut frames, &history).await;
            seal_at = Instant::now() + intake.options.seal_every;
        }
    }
    if intake.taken_bytes > 0 {
        intake.seal(&mut frames, &history).await;
    }
}

impl Intake<'_> {
    /// Hands over every payload of the frames; an error leaves the first frame that was not taken whole, and all after it, for the
    /// next time.
    async fn take(&mut self, frames: Vec<Frame>) -> Result<(), String> {
        let this = &*self;
        let payloads = frames.iter().enumerate().flat_map(|(at, f)| f.payloads.iter().map(move |p| (at, p)));
        let waiting: Vec<_> =
            payloads.map(|(at, payload)| async move { (at, this.judge(payload).await) }).collect();
        let mut judged = stream::iter(waiting).buffered(this.options.window.max(1));
        let mut failed: Option<(usize, String)> = None;
        while let Some((at, judged)) = judged.next().await {
            if let Err(why) = judged
                && failed.is_none()
            {
                failed = Some((at, why));
            }
        }
        drop(judged);
        let whole = failed.as_ref().map_or(frames.len(), |(at, _)| *at);
        for frame in &frames[..whole] {
            self.taken.pass(frame);
            self.taken_bytes += frame.payloads.iter().map(|p| p.bytes.len()).sum::<usize>();
        }
        failed.map_or(Ok(()), |(_, why)| Err(why))
    }

    async fn judge(&self, payload: &Payload) -> Result<(), String> {
        // A gateway keeps only what comes from a device.
        let Some((device, channel)) = sender_of(&payload.topic) else { return Ok(()) };
        let sender = sender_at(&device, channel, payload.received_ms, clock::now().0);
        let faults = match ingest::hand_over(&self.twin, &sender, channel, &payload.bytes).await {
            Verdict::NotStored(refusal) => return Err(refusal.message),
            Verdict::Kept { faults } => {
                self.heard.note(&device);
                faults
            }
            Verdict::Refused { faults, .. } => faults,
        };
        if !faults.is_empty() {
            let report = Report { topic: payload.topic.clone(), faults };
            // Reports are a courtesy: one too many waits for nobody.
            if let Err(e) = self.reports.try_send(report) {
                tracing::debug!(%device, "a report of faults is left out: {e}");
            }
        }
        Ok(())
    }

    /// What was taken becomes blocks in PostgreSQL; then its frames may go.
    async fn seal(&mut self, frames: &mut FrameReader, history: &History) {
        if let Err(e) = history.checkpoint().await {
            tracing::error!("what gateways kept stays with them: {e}");
            return;
        }
        match frames.forget(&self.taken).await {
            Ok(gone) => {
                tracing::debug!(frames = gone, bytes = self.taken_bytes, "forgot frames");
                self.taken_bytes = 0;
            }
            Err(e) => tracing::error!("{e}"),
        }
    }
}

fn sender_at(device: &DeviceId, channel: Channel, received_ms: i64, now_ms: i64) -> Sender {
    match channel {
        Channel::Data if now_ms.saturating_sub(received_ms) > STALE_MS => Sender::Earlier(device.clone()),
        Channel::Data | Channel::Event | Channel::Ack => Sender::Device(device.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waited_long_is_no_sign_of_life() {
        let device: DeviceId = "meter-1".parse().unwrap();
        let at = |channel, received_ms| sender_at(&device, channel, received_ms, 100_000);
        assert_eq!(at(Channel::Data, 99_000), Sender::Device(device.clone()));
        assert_eq!(at(Channel::Data, 20_000), Sender::Earlier(device.clone()));
        assert_eq!(at(Channel::Ack, 20_000), Sender::Device(device.clone()));
    }
}
