//! The log itself: commit, rotate, drop.

use super::{
    disk::{Disk, DiskFile},
    frame::{self, MAX_PAYLOAD_BYTES},
    segment::{self, Anchor},
};
use std::{collections::VecDeque, io, sync::Arc};

/// Why nothing of a commit counts.
#[derive(Debug, thiserror::Error)]
#[error("{doing} {file}: {source}")]
pub(crate) struct WalError {
    pub doing: &'static str,
    pub file: String,
    pub source: io::Error,
}

impl WalError {
    pub(crate) fn is_storage_full(&self) -> bool {
        matches!(
            self.source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::WriteZero
        )
    }
}

/// A segment that will not be written again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub number: u64,
    pub bytes: u64,
    /// The last sequence number in it; 0 when it holds nothing that counts.
    pub last_sequence: u64,
}

impl Segment {
    pub(crate) fn file_name(&self) -> String {
        segment::file_name(self.number)
    }
}

struct Current {
    number: u64,
    file: Box<dyn DiskFile>,
    /// Bytes that are synced.
    len: u64,
    last_sequence: u64,
}

pub(crate) struct Wal {
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
    closed: VecDeque<Segment>,
    current: Option<Current>,
    /// What the next segment's header will declare as good.
    anchor: Anchor,
    next_number: u64,
    next_sequence: u64,
    buffer: Vec<u8>,
}

impl Wal {
    /// A log that goes on after `closed` (see [`super::recover`]).
    pub(super) fn resume(
        disk: Arc<dyn Disk>,
        segment_bytes: u64,
        closed: VecDeque<Segment>,
        anchor: Anchor,
        next_number: u64,
        next_sequence: u64,
    ) -> Self {
        Self {
            disk,
            segment_bytes,
            closed,
            current: None,
            anchor,
            next_number,
            next_sequence,
            buffer: Vec::new(),
        }
    }

    /// Writes the records as one frame each and syncs once. Returns the first one's sequence number; the others follow it.
    ///
    /// After an error none of them will be seen again, the segment is abandoned, and the next commit starts a new one.
    pub(crate) fn commit<'a>(
        &mut self,
        records: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<u64, WalError> {
        if self.current.as_ref().is_some_and(|c| c.len >= self.segment_bytes) {
            self.rotate();
        }
        let mut current = match self.current.take() {
            Some(current) => current,
            None => self.start_segment()?,
        };
        let first = self.next_sequence;
        self.buffer.clear();
        for record in records {
            debug_assert!(record.len() <= MAX_PAYLOAD_BYTES);
            let offset = current.len + self.buffer.len() as u64;
            frame::write(&mut self.buffer, current.number, offset, self.next_sequence, record);
            self.next_sequence += 1;
        }
        let done = write_all(&mut *current.file, &self.buffer)
            .map_err(|e| ("writing", e))
            .and_then(|()| current.file.sync().map_err(|e| ("syncing", e)));
        if self.buffer.capacity() > 16 << 20 {
            self.buffer = Vec::new();
        }
        match done {
            Ok(()) => {
                current.len += self.buffer.len() as u64;
                current.last_sequence = self.next_sequence - 1;
                self.anchor = Anchor { number: current.number, len: current.len };
                self.current = Some(current);
                Ok(first)
            }
            Err((doing, source)) => {
                let file = segment::file_name(current.number);
                self.abandon(current);
                Err(WalError { doing, file, source })
            }
        }
    }

    /// Closes the current segment, so that everything committed lies in segments that no longer change.
    pub(crate) fn rotate(&mut self) {
        if let Some(current) = self.current.take() {
            self.closed.push_back(Segment {
                number: current.number,
                bytes: current.len,
                last_sequence: current.last_sequence,
            });
        }
    }

    /// Removes the oldest segments all of whose sequence numbers lie below `low_water`.
    pub(crate) fn drop_below(&mut self, low_water: u64) -> Result<(), WalError> {
        while let Some(segment) = self.closed.front().filter(|s| s.last_sequence < low_water) {
            let file = segment.file_name();
            match self.disk.remove(&file) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                // Synced one by one: a gap between surviving segments would look like loss.
                done => done.and_then(|()| self.disk.sync_folder()).map_err(|source| WalError {
                    doing: "removing",
                    file,
                    source,
                })?,
            }
            self.closed.pop_front();
        }
        Ok(())
    }

    pub(crate) fn closed(&self) -> impl Iterator<Item = &Segment> {
        self.closed.iter()
    }

    /// Bytes in all segments.
    pub(crate) fn bytes(&self) -> u64 {
        self.closed.iter().map(|s| s.bytes).sum::<u64>() + self.current.as_ref().map_or(0, |c| c.len)
    }

    fn start_segment(&mut self) -> Result<Current, WalError> {
        let number = self.next_number;
        // Even if this fails: a file that could not be removed again must not meet its number a second time.
        self.next_number += 1;
        let name = segment::file_name(number);
        let mut file = self.disk.create(&name).map_err(|source| WalError {
            doing: "creating",
            file: name.clone(),
            source,
        })?;
        let made = write_all(&mut *file, &segment::header(number, self.anchor))
            .and_then(|()| file.sync())
            .and_then(|()| self.disk.sync_folder());
        if let Err(source) = made {
            self.remove_void(number);
            return Err(WalError { doing: "starting", file: name, source });
        }
        let len = segment::HEADER_BYTES as u64;
        Ok(Current { number, file, len, last_sequence: 0 })
    }

    /// Gives up a segment after a failed write or sync. What was synced before still counts.
    fn abandon(&mut self, current: Current) {
        let Current { number, file, len, last_sequence } = current;
        drop(file);
        if last_sequence == 0 {
            self.remove_void(number);
            return;
        }
        // Only tidiness: the next segment's anchor already says where this one ends.
        if let Err(error) = self.disk.truncate(&segment::file_name(number), len) {
            tracing::warn!(file = segment::file_name(number), %error, "could not cut an abandoned log segment");
        }
        self.closed.push_back(Segment { number, bytes: len, last_sequence });
    }

    /// Removes a segment that never held anything; if the disk refuses, it goes together with its elders.
    fn remove_void(&mut self, number: u64) {
        if self.disk.remove(&segment::file_name(number)).is_err() {
            self.closed.push_back(Segment { number, bytes: 0, last_sequence: 0 });
        }
    }
}

fn write_all(file: &mut dyn DiskFile, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.append(bytes)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            n => bytes = &bytes[n..],
        }
    }
    Ok(())
}
