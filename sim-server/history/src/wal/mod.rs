//! The write-ahead log: bytes that must not be lost, in order.
//!
//! In go opaque records; a commit returns only when the disk says they are synced. Out come, at the next open, the
//! records of every successful commit, in order, and a report of what the disk spoiled. The log is synchronous and
//! knows the disk only through [`Disk`], so the same code runs over a real folder and over a disk that misbehaves.
//!
//! ```text
//! wal-0000000000000007.log = header | frame | frame | …
//! header = "PARKWAL1" | segment number | anchor: the last good segment before this one and its good length | CRC-32C
//! frame  = magic | length | sequence number | CRC-32C(segment number, offset, length, sequence, payload) | payload
//! ```
//!
//! The anchor is what makes a failed fsync safe: bytes whose fsync failed may or may not be on the disk, so the segment is
//! abandoned and the next one declares how much of it counts.

mod disk;
mod fault_disk;
mod frame;
mod log;
mod recover;
mod segment;

pub use disk::{Disk, DiskFile, StdDisk};
pub(crate) use disk::{create_folder, sync_folder};
pub use fault_disk::{FaultDisk, Unsynced};
pub(crate) use log::{Segment, Wal, WalError};
pub use recover::{Damage, OpenReport, TornTail};

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod fuzzing;
