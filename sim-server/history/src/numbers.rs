//! Columns of numbers, compressed by pco, and byte strings that say how long they are.

use crate::varint;
use pco::{
    ChunkConfig, FULL_BATCH_N,
    data_types::Number,
    wrapped::{FileCompressor, FileDecompressor},
};

pub(crate) fn put_sized(
    out: &mut Vec<u8>,
    part: impl FnOnce(&mut Vec<u8>) -> Result<(), String>,
) -> Result<(), String> {
    let mut bytes = Vec::new();
    part(&mut bytes)?;
    varint::put(out, bytes.len() as u64);
    out.extend_from_slice(&bytes);
    Ok(())
}

pub(crate) fn compress<T: Number>(numbers: &[T], out: &mut Vec<u8>) -> Result<(), String> {
    let compressor = FileCompressor::default();
    compressor.write_header(&mut *out).map_err(|e| e.to_string())?;
    let mut chunk =
        compressor.chunk_compressor(numbers, &ChunkConfig::default()).map_err(|e| e.to_string())?;
    chunk.write_meta(&mut *out).map_err(|e| e.to_string())?;
    chunk.write_page(0, &mut *out).map_err(|e| e.to_string())?;
    Ok(())
}

pub(crate) fn decompress<T: Number + Default>(bytes: &[u8], count: usize) -> Result<Vec<T>, String> {
    decompress_first(bytes, count, count)
}

/// The first `wanted` of `count` numbers; what comes after them is not touched.
pub(crate) fn decompress_first<T: Number + Default>(
    bytes: &[u8],
    count: usize,
    wanted: usize,
) -> Result<Vec<T>, String> {
    // pco reads whole batches.
    let wanted = wanted.next_multiple_of(FULL_BATCH_N).min(count);
    let (decompressor, rest) = FileDecompressor::new(bytes).map_err(|e| e.to_string())?;
    let (mut chunk, rest) = decompressor.chunk_decompressor::<T, _>(rest).map_err(|e| e.to_string())?;
    let mut page = chunk.page_decompressor(rest, count).map_err(|e| e.to_string())?;
    let mut numbers = vec![T::default(); wanted];
    let progress = page.read(&mut numbers).map_err(|e| e.to_string())?;
    if progress.n_processed == wanted {
        Ok(numbers)
    } else {
        Err(format!("{} of {wanted} numbers", progress.n_processed))
    }
}

pub(crate) fn take_sized<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(varint::take(bytes)?).ok()?;
    let (part, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(part)
}
