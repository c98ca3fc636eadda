//! Bytes that many ask for alike: made by the first, kept for the others while they are fresh.
//!
//! No task runs for nobody, and a thousand who ask cost one making.

use bytes::Bytes;
use parking_lot::Mutex;

/// The newest bytes and what they were made from.
pub(crate) struct Kept<K>(Mutex<Option<(K, Bytes)>>);

impl<K> Default for Kept<K> {
    fn default() -> Self {
        Kept(Mutex::new(None))
    }
}

impl<K> Kept<K> {
    /// The kept bytes if `fresh` says so of what they were made from, else new ones. Others wait meanwhile, for the
    /// same bytes.
    pub(crate) fn get_or<E>(
        &self,
        fresh: impl FnOnce(&K) -> bool,
        make: impl FnOnce() -> Result<(K, Bytes), E>,
    ) -> Result<Bytes, E> {
        let mut kept = self.0.lock();
        match kept.as_ref() {
            Some((key, bytes)) if fresh(key) => Ok(bytes.clone()),
            _ => {
                let (key, bytes) = make()?;
                *kept = Some((key, bytes.clone()));
                Ok(bytes)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_fresh_is_made_once_and_a_failure_is_not_kept() {
        let kept = Kept::<u32>::default();
        let make = |key: u32| move || Ok::<_, ()>((key, Bytes::from(vec![key as u8])));
        assert_eq!(kept.get_or(|k| *k == 1, || Err(())), Err(()));
        assert_eq!(kept.get_or(|k| *k == 1, make(1)), Ok(Bytes::from_static(&[1])));
        assert_eq!(kept.get_or(|k| *k == 1, || Err(())), Ok(Bytes::from_static(&[1])));
        assert_eq!(kept.get_or(|k| *k == 2, make(2)), Ok(Bytes::from_static(&[2])));
    }
}
