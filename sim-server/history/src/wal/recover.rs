//! Opening a log: which bytes count, what was spoiled, and where writing goes on.

use super::{
    disk::Disk,
    log::{Segment, Wal, WalError},
    segment::{self, Anchor, Frames, Piece},
};
use serde::Serialize;
use std::{collections::VecDeque, io, ops::Range, sync::Arc};

/// What opening the log found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenReport {
    pub segments: usize,
    pub records: u64,
    pub bytes: u64,
    /// The unfinished end of the last segment, cut away: what was being written when the process ended.
    pub torn_tail: Option<TornTail>,
    /// Places whose records are lost although they may have been acknowledged. Everything around them was recovered.
    pub damage: Vec<Damage>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TornTail {
    pub file: String,
    pub offset: u64,
    pub bytes: u64,
}

/// A spoiled place in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Damage {
    pub file: String,
    pub offset: u64,
    pub bytes: u64,
    pub reason: String,
}

/// Takes a record and its sequence number; a reason marks the record as damaged.
pub(crate) type Replay<'a> = &'a mut dyn FnMut(u64, &[u8]) -> Result<(), String>;

/// How much of a segment counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// A later segment says so.
    Good(u64),
    /// No frame of it was ever acknowledged.
    Void,
    /// Written last: its end is wherever the last whole frame ends.
    Last,
    /// The segment that would say is damaged.
    Unknown,
}

struct Found {
    number: u64,
    anchor: Option<Anchor>,
    /// Too short for a frame.
    is_short: bool,
}

impl Wal {
    /// Opens the log on `disk`: hands every record that counts to `replay` in order, with its sequence number, cuts the torn
    /// tail, and goes on after both the last record and `last_known_sequence`.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        segment_bytes: u64,
        last_known_sequence: u64,
        replay: Replay<'_>,
    ) -> Result<(Wal, OpenReport), WalError> {
        let found = find_segments(&*disk)?;
        let next_number = found.last().map_or(1, |f| f.number + 1);
        let mut report = OpenReport::default();
        let mut closed = VecDeque::new();
        let (unfinished, found): (Vec<Found>, Vec<Found>) = {
            let anchors: Vec<u64> = found.iter().filter_map(|f| f.anchor).map(|a| a.number).collect();
            found.into_iter().partition(|f| f.anchor.is_none() && f.is_short && !anchors.contains(&f.number))
        };
        for one in unfinished {
            // Its creation failed, so nothing was committed to it, and it says nothing about its elders.
            remove_or_keep(&*disk, one.number, &mut closed);
        }
        let mut anchor = Anchor::default();
        let mut last_sequence = 0;
        for (index, one) in found.iter().enumerate() {
            let name = segment::file_name(one.number);
            report_missing_before(&found[..index], one, &mut report);
            let extent = extent_of(one.number, &found[index + 1..]);
            if extent == Extent::Void {
                remove_or_keep(&*disk, one.number, &mut closed);
                continue;
            }
            let bytes = read(&*disk, &name, u64::MAX)?;
            let (before, damaged_before) = (last_sequence, report.damage.len());
            let end = Scan { name: &name, number: one.number, extent, report: &mut report }.run(
                &bytes,
                one.anchor.is_some(),
                &mut last_sequence,
                replay,
            );
            if last_sequence == before {
                if report.damage.len() == damaged_before {
                    remove_or_keep(&*disk, one.number, &mut closed);
                } else {
                    // Kept for whoever wants to look at it, until its elders are dropped.
                    let bytes = bytes.len() as u64;
                    closed.push_back(Segment { number: one.number, bytes, last_sequence });
                }
                continue;
            }
            if extent == Extent::Last {
                settle(&*disk, &name, &bytes[..end as usize])?;
            }
            report.segments += 1;
            report.bytes += end;
            anchor = Anchor { number: one.number, len: end };
            closed.push_back(Segment { number: one.number, bytes: end, last_sequence });
        }
        disk.sync_folder().map_err(|source| WalError {
            doing: "syncing the folder of",
            file: "the log".to_owned(),
            source,
        })?;
        let next_sequence = last_sequence.max(last_known_sequence) + 1;
        Ok((Wal::resume(disk, segment_bytes, closed, anchor, next_number, next_sequence), report))
    }
}

fn read(disk: &dyn Disk, name: &str, limit: u64) -> Result<Vec<u8>, WalError> {
    disk.read(name, limit).map_err(|source| WalError { doing: "reading", file: name.to_owned(), source })
}

/// Cuts the last segment to what counts and makes that durable. Even when there is nothing to cut: after a killed process its
/// last frames may be in memory only, and readers are about to see them.
fn settle(disk: &dyn Disk, name: &str, good: &[u8]) -> Result<(), WalError> {
    let done = match disk.rewrite(name, good) {
        // A full disk must not keep the store from opening; syncing is all that can be done then.
        Err(e) if e.kind() == io::ErrorKind::StorageFull => disk.truncate(name, good.len() as u64),
        other => other,
    };
    done.map_err(|source| WalError { doing: "cutting the tail of", file: name.to_owned(), source })
}

fn find_segments(disk: &dyn Disk) -> Result<Vec<Found>, WalError> {
    let names = disk.list().map_err(|source| WalError {
        doing: "listing",
        file: "the log's folder".to_owned(),
        source,
    })?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment::number_of(name)).collect();
    numbers.sort_unstable();
    numbers
        .into_iter()
        .map(|number| {
            let head = read(disk, &segment::file_name(number), segment::HEADER_BYTES as u64 + 1)?;
            let is_short = head.len() <= segment::HEADER_BYTES;
            Ok(Found { number, anchor: segment::read_header(&head, number), is_short })
        })
        .collect()
}

fn extent_of(number: u64, later: &[Found]) -> Extent {
    for anchor in later.iter().filter_map(|f| f.anchor) {
        if anchor.number == number {
            return Extent::Good(anchor.len);
        }
        if anchor.number < number {
            return Extent::Void;
        }
    }
    if later.is_empty() { Extent::Last } else { Extent::Unknown }
}

/// Segments go oldest first, so one that is missing while an elder is there was lost.
fn report_missing_before(elders: &[Found], this: &Found, report: &mut OpenReport) {
    let Some(anchor) = this.anchor.filter(|a| a.number > 0) else { return };
    let has_elder = elders.iter().any(|f| f.number < anchor.number);
    if has_elder && elders.iter().all(|f| f.number != anchor.number) {
        report.damage.push(Damage {
            file: segment::file_name(anchor.number),
            offset: 0,
            bytes: anchor.len,
            reason: "the file is missing".to_owned(),
        });
    }
}

fn remove_or_keep(disk: &dyn Disk, number: u64, closed: &mut VecDeque<Segment>) {
    if disk.remove(&segment::file_name(number)).is_err() {
        closed.push_back(Segment { number, bytes: 0, last_sequence: 0 });
    }
}

struct Scan<'a> {
    name: &'a str,
    number: u64,
    extent: Extent,
    report: &'a mut OpenReport,
}

impl Scan<'_> {
    fn damage(&mut self, range: Range<usize>, reason: impl Into<String>) {
        self.report.damage.push(Damage {
            file: self.name.to_owned(),
            offset: range.start as u64,
            bytes: range.len() as u64,
            reason: reason.into(),
        });
    }

    /// Replays what counts; returns where the last good frame ends.
    fn run(mut self, bytes: &[u8], has_header: bool, last_sequence: &mut u64, replay: Replay<'_>) -> u64 {
        let mut start = segment::HEADER_BYTES;
        if !has_header {
            let first = Frames::new(bytes, self.number, 0).find_map(|piece| match piece {
                Piece::Frame { offset, .. } => Some(offset),
                _ => None,
            });
            match (first, self.extent) {
                // A file whose creation was not finished: nothing was ever committed to it.
                (None, Extent::Last) => return 0,
                (None, _) => self.damage(0..bytes.len(), "no header and no frame"),
                (Some(first), _) => self.damage(0..first.min(segment::HEADER_BYTES), "the header is damaged"),
            }
            start = start.min(first.unwrap_or(start));
        }
        let counted = match self.extent {
            Extent::Good(len) => {
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                if len > bytes.len() {
                    self.damage(bytes.len()..len, "the end of the file is missing");
                }
                &bytes[..len.min(bytes.len())]
            }
            _ => bytes,
        };
        let mut end = start;
        for piece in Frames::new(counted, self.number, start) {
            match piece {
                Piece::Frame { offset, frame } => {
                    end = frame.payload.end;
                    if frame.sequence <= *last_sequence {
                        self.damage(
                            offset..end,
                            format!("sequence {} after {}", frame.sequence, last_sequence),
                        );
                        continue;
                    }
                    *last_sequence = frame.sequence;
                    match replay(frame.sequence, &counted[frame.payload]) {
                        Ok(()) => self.report.records += 1,
                        Err(reason) => self.damage(offset..end, reason),
                    }
                }
                Piece::Damaged { offset, end } => self.damage(offset..end, "checksum mismatch"),
                Piece::Rest { offset } if self.extent == Extent::Last => {
                    self.report.torn_tail = Some(TornTail {
                        file: self.name.to_owned(),
                        offset: offset as u64,
                        bytes: (counted.len() - offset) as u64,
                    });
                }
                Piece::Rest { offset } => self.damage(offset..counted.len(), "checksum mismatch"),
            }
        }
        end as u64
    }
}
