//! What must be true, kept by the obvious means: a map of everything devices wrote, and of every command.

use crate::{clock, packets::Version};
use anyhow::{Context, ensure};
use history::Bucket;
use records::Records;
use shared::{
    command::{AckStatus, CommandRecord, CommandStatus},
    telemetry::{Quality, Reading},
    time::Timestamp,
};
use std::collections::{BTreeMap, BTreeSet};

/// A device's clock may be so far off before what it says is doubted.
pub(crate) const SKEW_LIMIT_MS: i64 = 10_000;

/// A writing of the readings of one instant; what they were is told by `number`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    number: u32,
    times_sent: u32,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    Acknowledged { at: Timestamp },
    Refused,
}

/// One of a device's writings: at this instant, the so manieth.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WritingId {
    pub(crate) instant: i64,
    index: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Oracle {
    written: BTreeMap<(usize, i64), Vec<Written>>,
    commands: BTreeMap<String, Told>,
    /// Events by id: their device, and whether they were acknowledged.
    events: BTreeMap<String, (usize, bool)>,
    /// The disk may say it wrote what it did not: then acknowledged readings may be gone, and only invented ones are a fault.
    disk_lies: bool,
    violation: Option<String>,
}

#[derive(Debug)]
struct Told {
    device: String,
    power: f64,
    accepted: Option<bool>,
    /// What the device answers.
    answer: Option<AckStatus>,
    /// The server acknowledged that.
    answer_kept: Option<Timestamp>,
    ended: Option<CommandStatus>,
}

/// The measurements that a writing's number stands for.
pub(crate) fn values(number: u32) -> [(&'static str, f64); 2] {
    [("power", f64::from(number % 8_000) / 8.0), ("soc", f64::from(number % 800) / 8.0)]
}

impl Oracle {
    pub(crate) fn new(disk_lies: bool) -> Oracle {
        Oracle { disk_lies, ..Oracle::default() }
    }

    pub(crate) fn writes(&mut self, device: usize, instant: i64, number: u32) -> WritingId {
        let written = self.written.entry((device, instant)).or_default();
        written.push(Written { number, times_sent: 0, fate: Fate::Open });
        WritingId { instant, index: written.len() - 1 }
    }

    fn of(&mut self, device: usize, id: WritingId) -> Option<&mut Written> {
        self.written.get_mut(&(device, id.instant))?.get_mut(id.index)
    }

    pub(crate) fn sent(&mut self, device: usize, ids: &[WritingId]) {
        ids.iter().for_each(|id| self.of(device, *id).into_iter().for_each(|w| w.times_sent += 1));
    }

    pub(crate) fn acknowledged(&mut self, device: usize, ids: &[WritingId], is_refusal: bool) {
        let fate = if is_refusal { Fate::Refused } else { Fate::Acknowledged { at: clock::now() } };
        ids.iter().for_each(|id| self.of(device, *id).into_iter().for_each(|w| w.fate = fate));
    }

    /// Instants about which nothing is open, newest first, at most `most`.
    pub(crate) fn settled(&self, device: usize, most: usize) -> Vec<(i64, u32)> {
        let of_device = self.written.range((device, i64::MIN)..=(device, i64::MAX)).rev();
        let settled =
            of_device.filter(|(_, all)| all.iter().all(|w| matches!(w.fate, Fate::Acknowledged { .. })));
        settled.filter_map(|((_, instant), all)| Some((*instant, all.last()?.number))).take(most).collect()
    }

    pub(crate) fn readings(&self) -> usize {
        self.written.len()
    }

    pub(crate) fn is_known(&self, device: usize, instant: i64) -> bool {
        self.written.contains_key(&(device, instant))
    }

    /// Compares a series with what was written to it.
    pub(crate) fn check_series(
        &self,
        device: usize,
        measurement: usize,
        stored: &[Reading],
    ) -> anyhow::Result<()> {
        ensure!(stored.is_sorted_by(|a, b| a.timestamp < b.timestamp), "an instant is stored twice");
        let value = |w: &Written| values(w.number)[measurement].1;
        for reading in stored {
            let instant = reading.timestamp.0;
            let all =
                self.written.get(&(device, instant)).with_context(|| format!("invented: {reading:?}"))?;
            let since = all.iter().rposition(|w| matches!(w.fate, Fate::Acknowledged { .. })).unwrap_or(0);
            let possible = if self.disk_lies { &all[..] } else { &all[since..] };
            let mut possible = possible.iter().filter(|w| w.times_sent > 0 && w.fate != Fate::Refused);
            ensure!(possible.any(|w| value(w) == reading.value), "{reading:?} is stored, of {all:?}");
            if let [Written { times_sent: 1, fate: Fate::Acknowledged { at }, .. }] = all[..]
                && instant > at.0 + SKEW_LIMIT_MS
            {
                ensure!(reading.quality == Quality::Suspect, "{reading:?} came before its time, at {at}");
            }
        }
        let stored: BTreeMap<i64, ()> = stored.iter().map(|r| (r.timestamp.0, ())).collect();
        for ((_, instant), all) in self.written.range((device, i64::MIN)..=(device, i64::MAX)) {
            let must_be = all.iter().any(|w| matches!(w.fate, Fate::Acknowledged { .. })) && !self.disk_lies;
            ensure!(!must_be || stored.contains_key(instant), "lost: {instant}, {all:?}");
        }
        Ok(())
    }

    pub(crate) fn event(&mut self, device: usize, id: &str, is_kept: bool) {
        self.events.insert(id.to_owned(), (device, is_kept));
    }

    /// Compares the events that are kept, and those that raised an alarm, with those that were sent.
    pub(crate) fn check_events(
        &self,
        device: usize,
        kept: &[String],
        raised: &BTreeSet<String>,
    ) -> anyhow::Result<()> {
        let mut seen = BTreeSet::new();
        for id in kept {
            ensure!(self.events.get(id).is_some_and(|(of, _)| *of == device), "event {id} is invented");
            ensure!(seen.insert(id), "event {id} is kept twice");
        }
        let acknowledged = self.events.iter().filter(|(_, (of, is_kept))| *of == device && *is_kept);
        for (id, _) in acknowledged {
            ensure!(seen.contains(id), "event {id} is lost");
            ensure!(raised.contains(id), "event {id} raised no alarm");
        }
        Ok(())
    }

    /// The first thing that must not have happened while the server ran.
    pub(crate) fn violated(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    pub(crate) fn violation(&self) -> Option<String> {
        self.violation.clone()
    }

    pub(crate) fn command_asked(&mut self, id: &str, device: &str, power: f64) {
        let told = Told {
            device: device.to_owned(),
            power,
            accepted: None,
            answer: None,
            answer_kept: None,
            ended: None,
        };
        self.commands.insert(id.to_owned(), told);
    }

    pub(crate) fn command_taken(&mut self, id: &str, accepted: bool) {
        self.commands.get_mut(id).into_iter().for_each(|told| told.accepted = Some(accepted));
    }

    /// A command reached a device, over a connection that was made at `connected_at`.
    pub(crate) fn command_came(&mut self, id: &str, device: &str, power: f64, connected_at: Timestamp) {
        let fault = match self.commands.get(id) {
            None => Some("was never asked for".to_owned()),
            Some(told) if told.accepted == Some(false) => Some("was refused".to_owned()),
            Some(told) if told.device != device || told.power != power => Some(format!("was {told:?}")),
            Some(told) if told.answer_kept.is_some_and(|at| at < connected_at) => {
                Some(format!("had been answered: {told:?}"))
            }
            Some(_) => None,
        };
        if let Some(fault) = fault {
            self.violated(format!("command {id} came to {device} ({power}) and {fault}"));
        }
    }

    pub(crate) fn answers(&mut self, id: &str, answer: AckStatus) {
        self.commands.get_mut(id).into_iter().for_each(|told| told.answer = Some(answer));
    }

    pub(crate) fn answer_kept(&mut self, id: &str) {
        let told = self.commands.get_mut(id).into_iter();
        told.for_each(|told| told.answer_kept = told.answer_kept.or(Some(clock::now())));
    }

    /// Compares the journal with what was asked. At the end everything must have ended.
    pub(crate) async fn check_commands(
        this: &parking_lot::Mutex<Oracle>,
        records: &Records,
        all_over: bool,
    ) -> anyhow::Result<()> {
        let ids: Vec<String> = this.lock().commands.keys().cloned().collect();
        for id in ids {
            let record = records.command(&id.parse()?).await?;
            let mut oracle = this.lock();
            let Some(told) = oracle.commands.get_mut(&id) else { continue };
            told.check(record.as_ref(), all_over)
                .with_context(|| format!("command {id}: {record:?}, {told:?}"))?;
        }
        Ok(())
    }

    pub(crate) fn commands(&self) -> usize {
        self.commands.values().filter(|told| told.accepted == Some(true)).count()
    }

    pub(crate) fn answered(&self) -> usize {
        self.commands.values().filter(|told| told.answer_kept.is_some()).count()
    }
}

/// Compares what a series is said to have done in each step with its readings.
pub(crate) fn check_buckets(
    step_ms: i64,
    from: Timestamp,
    readings: &[Reading],
    buckets: &[Bucket],
) -> anyhow::Result<()> {
    let start_of = |r: &Reading| r.timestamp.0 - (r.timestamp.0 - from.0).rem_euclid(step_ms);
    let steps: Vec<&[Reading]> = readings.chunk_by(|a, b| start_of(a) == start_of(b)).collect();
    ensure!(steps.len() == buckets.len(), "{} steps hold readings, {} are told", steps.len(), buckets.len());
    for (step, told) in steps.iter().zip(buckets) {
        let (first, last) = step.first().zip(step.last()).context("a step without a reading")?;
        let values = || step.iter().map(|r| r.value);
        let of_pairs =
            |what: fn(&Reading, &Reading) -> f64| step.windows(2).map(|w| what(&w[0], &w[1])).sum();
        let integral: f64 = of_pairs(|a, b| a.value * b.timestamp.since(a.timestamp) as f64);
        let rise: f64 = of_pairs(|a, b| if b.value >= a.value { b.value - a.value } else { b.value });
        let all = told.all;
        // All values are eighths: sums are exact in any order.
        let same = told.start.0 == start_of(first)
            && (all.count, all.sum) == (step.len() as u64, values().sum())
            && (all.min, all.max) == (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max))
            && (all.first, all.first_time) == (first.value, first.timestamp)
            && (all.last, all.last_time) == (last.value, last.timestamp)
            && (all.integral, all.rise) == (integral, rise);
        ensure!(same, "{told:?} is told of {step:?}");
    }
    Ok(())
}

impl Told {
    fn check(&mut self, record: Option<&CommandRecord>, all_over: bool) -> anyhow::Result<()> {
        let Some(record) = record else {
            ensure!(self.accepted != Some(true), "accepted and lost");
            ensure!(self.answer.is_none(), "delivered and lost");
            return Ok(());
        };
        ensure!(self.accepted != Some(false), "refused and kept");
        ensure!(record.request.device_id.as_str() == self.device, "another device's");
        let status = record.status;
        if let Some(before) = self.ended {
            ensure!(status == before, "it had ended as {before:?}");
        }
        if status.is_final() {
            self.ended = Some(status);
        }
        let obeyed = match status {
            CommandStatus::Acknowledged => Some(AckStatus::Done),
            CommandStatus::Rejected => Some(AckStatus::Rejected),
            _ => record.late_ack.as_ref().map(|ack| ack.status),
        };
        if let Some(status) = obeyed {
            ensure!(self.answer == Some(status), "the device said otherwise");
        }
        if self.answer_kept.is_some() {
            ensure!(obeyed.is_some(), "its answer was acknowledged and is lost");
        }
        ensure!(!all_over || status.is_final(), "it never ends");
        Ok(())
    }
}

/// Versions of MQTT take turns.
pub(crate) fn version_of(device: usize) -> Version {
    if device.is_multiple_of(2) { Version::V311 } else { Version::V5 }
}
