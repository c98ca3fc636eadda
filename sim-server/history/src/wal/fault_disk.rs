//! A disk in memory that fails on demand and can lose power at any byte: for tests of whatever keeps telemetry.

use super::disk::{Disk, DiskFile};
use parking_lot::Mutex;
use std::{collections::BTreeMap, io, sync::Arc};

/// One file as the file system sees it and as the platter has it.
#[derive(Debug, Clone, Default)]
struct Contents {
    cached: Vec<u8>,
    durable: Vec<u8>,
    /// Whether the name itself is durable.
    named: bool,
    /// Bytes up to here are marked clean, although a failed sync never wrote them.
    forgotten: usize,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Contents>,
    /// Removed, but the removal is not durable.
    ghosts: BTreeMap<String, Contents>,
    operations: u64,
    written: u64,
    /// The power goes when this many operations are done.
    power_off_at_operation: Option<u64>,
    /// The power goes when this many bytes are written.
    power_off_at_byte: Option<u64>,
    free_bytes: Option<u64>,
    failing_syncs: u32,
    longest_write: Option<usize>,
    refuses_changes: bool,
    lies: bool,
}

/// What survives of bytes that were written and not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsynced {
    Lost,
    Kept,
    /// Half of them, the rest zeros: a file system that extended the file before it wrote the data.
    Torn,
    /// For each file what the number draws: any of these, sectors of which some are zeros, or a part; names that were not durable
    /// may be there or not.
    Drawn(u64),
}

/// What a drawn aftermath keeps or loses as a whole.
const SECTOR_BYTES: usize = 64;

/// The disk. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct FaultDisk(Arc<Mutex<State>>);

impl FaultDisk {
    /// The power goes when so many operations are done.
    pub fn power_off_at_operation(&self, operation: u64) {
        self.0.lock().power_off_at_operation = Some(operation);
    }
    /// The power goes when so many bytes are written.
    pub fn power_off_at_byte(&self, byte: u64) {
        self.0.lock().power_off_at_byte = Some(byte);
    }
    pub fn is_power_off(&self) -> bool {
        self.0.lock().is_power_off()
    }
    /// Room for so many more bytes; `None`: for any.
    pub fn set_free_bytes(&self, free: Option<u64>) {
        self.0.lock().free_bytes = free;
    }
    /// The next syncs of files fail.
    pub fn fail_syncs(&self, count: u32) {
        self.0.lock().failing_syncs = count;
    }
    /// Whether syncs of files succeed without doing anything.
    pub fn lie_about_syncs(&self, lie: bool) {
        self.0.lock().lies = lie;
    }
    /// A write takes at most so many bytes.
    pub fn limit_writes(&self, longest: Option<usize>) {
        self.0.lock().longest_write = longest;
    }
    /// Whether truncating and removing fail, as on a file system that went read-only.
    pub fn refuse_changes(&self, refuse: bool) {
        self.0.lock().refuses_changes = refuse;
    }
    pub fn operations(&self) -> u64 {
        self.0.lock().operations
    }
    pub fn written(&self) -> u64 {
        self.0.lock().written
    }
    pub fn names(&self) -> Vec<String> {
        self.0.lock().files.keys().cloned().collect()
    }
    /// Changes one byte of a file, on the platter and in the cache.
    pub fn flip(&self, name: &str, offset: usize) {
        let mut state = self.0.lock();
        if let Some(contents) = state.files.get_mut(name) {
            for bytes in [&mut contents.cached, &mut contents.durable] {
                bytes.iter_mut().skip(offset).take(1).for_each(|byte| *byte ^= 0x55);
            }
        }
    }
    /// How long a file is; 0 when there is none.
    pub fn len(&self, name: &str) -> usize {
        self.0.lock().files.get(name).map_or(0, |contents| contents.cached.len())
    }

    /// The disk after the power came back.
    pub fn after_power_loss(&self, unsynced: Unsynced) -> FaultDisk {
        let state = self.0.lock();
        let mut files = BTreeMap::new();
        let files_and_ghosts = state.files.iter().map(|file| (file, false));
        let files_and_ghosts = files_and_ghosts.chain(state.ghosts.iter().map(|ghost| (ghost, true)));
        for ((name, contents), is_ghost) in files_and_ghosts {
            let mut draw = Draw::of(unsynced, name);
            let names_are_lost = match unsynced {
                Unsynced::Lost => true,
                Unsynced::Drawn(_) => draw.next(2) == 0,
                Unsynced::Kept | Unsynced::Torn => false,
            };
            // A name that was made is lost, one that was removed is back.
            if (is_ghost != names_are_lost && (is_ghost || !contents.named)) || files.contains_key(name) {
                continue;
            }
            let mut bytes = contents.durable.clone();
            let tail = contents.cached.get(bytes.len()..).unwrap_or_default();
            match unsynced {
                Unsynced::Lost => {}
                Unsynced::Kept => bytes.extend_from_slice(tail),
                Unsynced::Torn => {
                    let half = tail.len() / 2;
                    bytes.extend_from_slice(&tail[..half]);
                    bytes.resize(bytes.len() + tail.len() - half, 0);
                }
                Unsynced::Drawn(_) => {
                    let kept = match draw.next(3) {
                        0 => 0,
                        1 => tail.len(),
                        _ => draw.next(tail.len() + 1),
                    };
                    let loses_sectors = draw.next(3) == 0;
                    for sector in tail[..kept].chunks(SECTOR_BYTES) {
                        if loses_sectors && draw.next(2) == 0 {
                            bytes.resize(bytes.len() + sector.len(), 0);
                        } else {
                            bytes.extend_from_slice(sector);
                        }
                    }
                }
            }
            let forgotten = bytes.len();
            files.insert(
                name.clone(),
                Contents { cached: bytes.clone(), durable: bytes, named: true, forgotten },
            );
        }
        FaultDisk(Arc::new(Mutex::new(State { files, ..State::default() })))
    }
}

/// Numbers drawn for one file (SplitMix64).
struct Draw(u64);

impl Draw {
    fn of(unsynced: Unsynced, name: &str) -> Draw {
        let seed = if let Unsynced::Drawn(seed) = unsynced { seed } else { 0 };
        Draw(name.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
    }

    /// Below `bound`, which is not 0.
    fn next(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

fn power_is_off() -> io::Error {
    io::Error::other("the power is off")
}

impl State {
    fn is_power_off(&self) -> bool {
        self.power_off_at_operation.is_some_and(|at| self.operations >= at)
            || self.power_off_at_byte.is_some_and(|at| self.written >= at)
    }

    fn operate(&mut self) -> io::Result<()> {
        if self.is_power_off() {
            return Err(power_is_off());
        }
        self.operations += 1;
        Ok(())
    }

    fn change(&mut self) -> io::Result<()> {
        self.operate()?;
        if self.refuses_changes { Err(io::ErrorKind::ReadOnlyFilesystem.into()) } else { Ok(()) }
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.operate()?;
        let fails = self.failing_syncs > 0;
        self.failing_syncs = self.failing_syncs.saturating_sub(1);
        let contents = self.files.get_mut(name).ok_or(io::ErrorKind::NotFound)?;
        if fails {
            contents.forgotten = contents.cached.len();
            return Err(io::Error::other("sync failed"));
        }
        if self.lies {
            return Ok(());
        }
        let from = contents.durable.len();
        let forgotten = contents.forgotten.max(from).min(contents.cached.len());
        // What a failed sync forgot reads as zeros once the power was gone, whatever later syncs say.
        contents.durable.resize(forgotten, 0);
        contents.durable.extend_from_slice(&contents.cached[forgotten..]);
        contents.forgotten = contents.cached.len();
        Ok(())
    }
}

impl Disk for FaultDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn read(&self, name: &str, limit: u64) -> io::Result<Vec<u8>> {
        let state = self.0.lock();
        let contents = state.files.get(name).ok_or(io::ErrorKind::NotFound)?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(contents.cached.len());
        Ok(contents.cached[..limit].to_vec())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.0.lock();
        state.operate()?;
        if state.files.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.files.insert(name.to_owned(), Contents::default());
        Ok(Box::new(FaultFile { disk: self.clone(), name: name.to_owned() }))
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        let mut state = self.0.lock();
        state.change()?;
        let contents = state.files.get_mut(name).ok_or(io::ErrorKind::NotFound)?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        contents.cached.truncate(len);
        contents.durable.truncate(len);
        contents.forgotten = contents.forgotten.min(len);
        state.sync(name)
    }

    fn rewrite(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.0.lock();
        state.change()?;
        let contents = state.files.get_mut(name).ok_or(io::ErrorKind::NotFound)?;
        if !contents.cached.starts_with(bytes) {
            return Err(io::Error::other("what is written again was not there"));
        }
        contents.cached.truncate(bytes.len());
        let on_platter = contents.durable.iter().zip(bytes).take_while(|(a, b)| a == b).count();
        contents.durable.truncate(on_platter);
        contents.forgotten = on_platter;
        state.sync(name)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.change()?;
        let contents = state.files.remove(name).ok_or(io::ErrorKind::NotFound)?;
        if contents.named {
            state.ghosts.insert(name.to_owned(), contents);
        }
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        let mut state = self.0.lock();
        state.operate()?;
        state.ghosts.clear();
        for contents in state.files.values_mut() {
            contents.named = true;
        }
        Ok(())
    }
}

struct FaultFile {
    disk: FaultDisk,
    name: String,
}

impl DiskFile for FaultFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.disk.0.lock();
        state.operate()?;
        let mut n = bytes.len().min(state.longest_write.unwrap_or(usize::MAX));
        if let Some(free) = &mut state.free_bytes {
            if *free == 0 && n > 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            n = n.min(*free as usize);
            *free -= n as u64;
        }
        let power_left = state.power_off_at_byte.map_or(u64::MAX, |at| at - state.written);
        let reached = n.min(usize::try_from(power_left).unwrap_or(usize::MAX));
        state.written += reached as u64;
        let contents = state.files.get_mut(&self.name).ok_or(io::ErrorKind::NotFound)?;
        contents.cached.extend_from_slice(&bytes[..reached]);
        if reached < n { Err(power_is_off()) } else { Ok(n) }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.0.lock().sync(&self.name)
    }
}
