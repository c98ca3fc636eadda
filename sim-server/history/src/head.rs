//! Heads: what is durable in the log and not yet in blocks, per series, in memory. Also each series' newest reading.
//!
//! Readings enter in the order of the log, so the order within a head is the order of writing.

use crate::{record::Points, series::SeriesId};
use shared::{telemetry::Reading, time::Timestamp};
use std::{collections::HashMap, mem::size_of, sync::Arc};

/// What storage knows about a series.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct SeriesState {
    /// Everything of this series up to this log sequence number is in blocks.
    pub sealed_through: u64,
    /// The longest of its blocks, from first to last reading.
    pub span_ms: i64,
    /// Its newest reading in blocks.
    pub newest: Option<Reading>,
}

impl SeriesState {
    /// Takes in a block that was sealed later than everything known.
    pub(crate) fn absorb(&mut self, sealed_through: u64, span_ms: i64, last: Reading) {
        self.sealed_through = self.sealed_through.max(sealed_through);
        self.span_ms = self.span_ms.max(span_ms);
        replace_if_newer(&mut self.newest, last);
    }
}

/// Of two readings at the same instant the one written last is the newest.
fn replace_if_newer(newest: &mut Option<Reading>, reading: Reading) {
    if newest.is_none_or(|n| reading.timestamp >= n.timestamp) {
        *newest = Some(reading);
    }
}

#[derive(Default)]
struct Head {
    readings: Vec<Reading>,
    first_sequence: u64,
    last_sequence: u64,
    /// The oldest instant in `readings`.
    oldest: Timestamp,
    state: SeriesState,
    newest: Option<Reading>,
}

/// A head on its way into blocks. Readers see it until the blocks are committed.
#[derive(Clone)]
pub(crate) struct Sealing {
    pub series: SeriesId,
    /// In the order of writing.
    pub readings: Arc<Vec<Reading>>,
    pub first_sequence: u64,
    pub last_sequence: u64,
    pub state: SeriesState,
}

/// Which heads to seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pick {
    /// Those that are long enough.
    Full,
    /// Those holding something written up to this sequence number.
    Through(u64),
    /// The largest, until heads take no more than this.
    DownToBytes(usize),
}

pub(crate) struct Heads {
    heads: Vec<Head>,
    sealing: HashMap<SeriesId, Sealing>,
    /// Heads that reached `seal_points` since they were last picked.
    full: Vec<SeriesId>,
    seal_points: usize,
    points: usize,
    bytes: usize,
    sealing_bytes: usize,
    applied_through: u64,
}

impl Heads {
    pub(crate) fn new(seal_points: usize, states: Vec<SeriesState>) -> Self {
        let heads = states.into_iter().map(|state| Head { state, newest: state.newest, ..Head::default() });
        Self {
            heads: heads.collect(),
            sealing: HashMap::new(),
            full: Vec::new(),
            seal_points,
            points: 0,
            bytes: 0,
            sealing_bytes: 0,
            applied_through: 0,
        }
    }

    /// Takes in the points of the record `sequence`, whole: a head sealed between two halves of a record would count the
    /// second half as sealed. At replay, points already in blocks are left out. Returns how many were left out because their
    /// series' number is not below `known`.
    pub(crate) fn apply(&mut self, sequence: u64, points: &mut Points<'_>, known: usize) -> usize {
        let mut unknown = 0;
        for (series, reading) in points {
            if series.index() >= known {
                unknown += 1;
                continue;
            }
            if self.heads.len() <= series.index() {
                self.heads.resize_with(series.index() + 1, Head::default);
            }
            let head = &mut self.heads[series.index()];
            if sequence <= head.state.sealed_through {
                continue;
            }
            if head.readings.is_empty() {
                (head.first_sequence, head.oldest) = (sequence, reading.timestamp);
            }
            head.oldest = head.oldest.min(reading.timestamp);
            head.last_sequence = sequence;
            let capacity = head.readings.capacity();
            head.readings.push(reading);
            self.bytes += (head.readings.capacity() - capacity) * size_of::<Reading>();
            self.points += 1;
            if head.readings.len() == self.seal_points {
                self.full.push(series);
            }
            replace_if_newer(&mut head.newest, reading);
        }
        self.applied_through = sequence;
        unknown
    }

    /// Forgets readings before `cutoff` that were written before `sequence`; returns how many.
    pub(crate) fn delete_before(&mut self, sequence: u64, cutoff: Timestamp) -> usize {
        debug_assert!(self.sealing.is_empty());
        let mut removed = 0;
        for head in &mut self.heads {
            let before = head.readings.len();
            head.readings.retain(|r| r.timestamp >= cutoff);
            removed += before - head.readings.len();
            head.oldest = head.readings.iter().map(|r| r.timestamp).min().unwrap_or_default();
            // At replay, storage may know what was written after the deletion.
            if head.state.sealed_through < sequence {
                head.state.newest = head.state.newest.filter(|r| r.timestamp >= cutoff);
                head.newest = head.newest.filter(|r| r.timestamp >= cutoff);
            }
        }
        self.points -= removed;
        self.applied_through = sequence;
        removed
    }

    /// Moves the picked heads out for sealing, `limit_points` at a time. While a picked one waits it is still read.
    pub(crate) fn pick(&mut self, pick: Pick, limit_points: usize) -> Vec<Sealing> {
        let mut candidates: Vec<SeriesId> = match pick {
            Pick::Full => std::mem::take(&mut self.full),
            _ => (0..self.heads.len() as u32).map(SeriesId).collect(),
        };
        if let Pick::DownToBytes(_) = pick {
            candidates.retain(|id| !self.heads[id.index()].readings.is_empty());
            candidates.sort_by_key(|id| std::cmp::Reverse(self.heads[id.index()].readings.capacity()));
        }
        let mut picked = Vec::new();
        let mut picked_points = 0;
        for (index, id) in candidates.iter().enumerate() {
            let enough_freed =
                matches!(pick, Pick::DownToBytes(most) if self.bytes - self.sealing_bytes <= most);
            if picked_points >= limit_points || enough_freed {
                if pick == Pick::Full {
                    self.full.extend_from_slice(&candidates[index..]);
                }
                break;
            }
            let head = &mut self.heads[id.index()];
            let wanted = match pick {
                Pick::Full => head.readings.len() >= self.seal_points,
                Pick::Through(sequence) => head.first_sequence <= sequence,
                Pick::DownToBytes(_) => true,
            };
            if head.readings.is_empty() || !wanted || self.sealing.contains_key(id) {
                continue;
            }
            let readings = std::mem::take(&mut head.readings);
            picked_points += readings.len();
            self.sealing_bytes += readings.capacity() * size_of::<Reading>();
            let sealing = Sealing {
                series: *id,
                readings: Arc::new(readings),
                first_sequence: head.first_sequence,
                last_sequence: head.last_sequence,
                state: head.state,
            };
            self.sealing.insert(*id, sealing.clone());
            picked.push(sealing);
        }
        picked
    }

    /// The series' blocks are committed.
    pub(crate) fn sealed(&mut self, series: SeriesId, state: SeriesState) {
        let Some(sealing) = self.sealing.remove(&series) else { return };
        self.points -= sealing.readings.len();
        let bytes = sealing.readings.capacity() * size_of::<Reading>();
        self.bytes -= bytes;
        self.sealing_bytes -= bytes;
        if let Some(head) = self.heads.get_mut(series.index()) {
            head.state = state;
        }
    }

    pub(crate) fn state(&self, series: SeriesId) -> SeriesState {
        self.heads.get(series.index()).map_or_else(SeriesState::default, |head| head.state)
    }

    /// Notes how long the longest blocks of series are; gives the states that changed by it.
    pub(crate) fn widen(&mut self, spans: &[(SeriesId, i64)]) -> Vec<(SeriesId, SeriesState)> {
        let mut changed = Vec::new();
        for (series, span_ms) in spans {
            let Some(head) = self.heads.get_mut(series.index()) else { continue };
            if head.state.span_ms < *span_ms {
                head.state.span_ms = *span_ms;
                changed.push((*series, head.state));
            }
        }
        changed
    }

    /// The smallest sequence number that is still needed from the log.
    pub(crate) fn low_water(&self) -> u64 {
        let heads = self.heads.iter().filter(|h| !h.readings.is_empty()).map(|h| h.first_sequence);
        let sealing = self.sealing.values().map(|s| s.first_sequence);
        heads.chain(sealing).min().unwrap_or(self.applied_through + 1)
    }

    /// A series' readings in `[from, to)`, oldest first, the last written of each instant; and its longest block.
    pub(crate) fn snapshot(&self, series: SeriesId, from: Timestamp, to: Timestamp) -> (Vec<Reading>, i64) {
        let Some(head) = self.heads.get(series.index()) else { return (Vec::new(), 0) };
        let sealing = self.sealing.get(&series).map_or(&[][..], |s| &s.readings);
        let mut readings: Vec<Reading> = sealing
            .iter()
            .chain(&head.readings)
            .filter(|r| from <= r.timestamp && r.timestamp < to)
            .copied()
            .collect();
        sort_last_written_wins(&mut readings);
        (readings, head.state.span_ms)
    }

    /// When a series' readings in memory are of, in any order.
    pub(crate) fn times(&self, series: SeriesId) -> impl Iterator<Item = Timestamp> {
        let sealing = self.sealing.get(&series).into_iter().flat_map(|s| s.readings.iter());
        let head = self.heads.get(series.index()).into_iter().flat_map(|head| &head.readings);
        sealing.chain(head).map(|reading| reading.timestamp)
    }

    pub(crate) fn latest(&self) -> impl Iterator<Item = (SeriesId, Reading)> {
        self.heads.iter().enumerate().filter_map(|(i, head)| Some((SeriesId(i as u32), head.newest?)))
    }

    /// The oldest instant in heads.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        let heads = self.heads.iter().filter(|h| !h.readings.is_empty()).map(|h| h.oldest);
        heads.chain(self.sealing.values().flat_map(|s| s.readings.iter().map(|r| r.timestamp))).min()
    }

    /// The newest instant of all, in heads or in blocks.
    pub(crate) fn newest(&self) -> Option<Timestamp> {
        self.heads.iter().filter_map(|h| h.newest).map(|r| r.timestamp).max()
    }

    pub(crate) fn applied_through(&self) -> u64 {
        self.applied_through
    }
    pub(crate) fn points(&self) -> usize {
        self.points
    }
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
    pub(crate) fn full(&self) -> usize {
        self.full.len()
    }
}

/// Sorts by time and keeps, of each instant, the reading that was written last. The order coming in is the order of writing.
pub(crate) fn sort_last_written_wins(readings: &mut Vec<Reading>) {
    if readings.is_sorted_by(|a, b| a.timestamp < b.timestamp) {
        return;
    }
    readings.sort_by_key(|r| r.timestamp);
    // Walking backwards would keep the last of each run; `dedup_by` keeps the first, so the later one is copied over it.
    readings.dedup_by(|later, kept| {
        let same = later.timestamp == kept.timestamp;
        if same {
            *kept = *later;
        }
        same
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{PointBatch, Record};
    use shared::telemetry::Quality;

    fn reading(t: i64, value: f64) -> Reading {
        Reading { value, timestamp: Timestamp(t), quality: Quality::Good }
    }

    fn apply(heads: &mut Heads, sequence: u64, points: &[(u32, i64, f64)]) {
        let mut batch = PointBatch::new();
        for (series, t, value) in points {
            batch.push(SeriesId(*series), reading(*t, *value)).unwrap();
        }
        for bytes in batch.records() {
            let Ok(Record::Points(mut points)) = Record::read(bytes) else { panic!("points") };
            heads.apply(sequence, &mut points, usize::MAX);
        }
    }

    const ALL: (Timestamp, Timestamp) = (Timestamp(0), Timestamp(i64::MAX));

    #[test]
    fn the_last_written_of_an_instant_is_read() {
        let mut heads = Heads::new(8, Vec::new());
        apply(&mut heads, 1, &[(0, 5, 1.0), (0, 3, 2.0), (0, 5, 3.0)]);
        apply(&mut heads, 2, &[(0, 3, 4.0), (0, 4, 5.0)]);
        let read = heads.snapshot(SeriesId(0), ALL.0, ALL.1).0;
        assert_eq!(read, [reading(3, 4.0), reading(4, 5.0), reading(5, 3.0)]);
        assert_eq!(heads.latest().collect::<Vec<_>>(), [(SeriesId(0), reading(5, 3.0))]);
    }

    #[test]
    fn the_log_is_needed_from_the_oldest_unsealed_record_on() {
        let mut heads = Heads::new(2, Vec::new());
        assert_eq!(heads.low_water(), 1);
        apply(&mut heads, 1, &[(0, 1, 1.0)]);
        apply(&mut heads, 2, &[(1, 1, 1.0), (1, 2, 1.0)]);
        let picked = heads.pick(Pick::Full, 100);
        assert_eq!(picked.iter().map(|s| s.series.0).collect::<Vec<_>>(), [1]);
        apply(&mut heads, 3, &[(1, 3, 1.0)]);
        assert_eq!(heads.snapshot(SeriesId(1), ALL.0, ALL.1).0.len(), 3, "what is being sealed is read");
        heads.sealed(SeriesId(1), SeriesState { sealed_through: 2, ..SeriesState::default() });
        assert_eq!((heads.low_water(), heads.points()), (1, 2));
        for sealing in heads.pick(Pick::Through(1), 100) {
            assert_eq!(sealing.series, SeriesId(0));
            heads.sealed(SeriesId(0), SeriesState { sealed_through: 1, ..SeriesState::default() });
        }
        assert_eq!(heads.low_water(), 3);
        // A replay of everything brings back only what is not sealed.
        let states =
            vec![1, 2].into_iter().map(|s| SeriesState { sealed_through: s, ..SeriesState::default() });
        let mut replayed = Heads::new(2, states.collect());
        apply(&mut replayed, 1, &[(0, 1, 1.0)]);
        apply(&mut replayed, 2, &[(1, 1, 1.0), (1, 2, 1.0)]);
        apply(&mut replayed, 3, &[(1, 3, 1.0)]);
        assert_eq!((replayed.low_water(), replayed.points()), (3, 1));
    }

    #[test]
    fn the_largest_heads_go_first_when_memory_is_short() {
        let mut heads = Heads::new(1_000, Vec::new());
        for t in 0..100 {
            apply(&mut heads, t as u64 + 1, &[(0, t, 1.0)]);
        }
        apply(&mut heads, 200, &[(1, 1, 1.0)]);
        let picked = heads.pick(Pick::DownToBytes(200), usize::MAX);
        assert_eq!(picked.iter().map(|s| s.series.0).collect::<Vec<_>>(), [0]);
        heads.sealed(SeriesId(0), SeriesState::default());
        assert!(heads.bytes() <= 200);
    }
}
