//! Qualities as the words they are on the wire.

use shared::telemetry::Quality;
use std::sync::LazyLock;

static WORDS: LazyLock<Vec<(Quality, String)>> = LazyLock::new(|| {
    let qualities = (0..=u8::MAX).filter_map(Quality::from_code);
    let words = qualities.filter_map(|quality| match serde_json::to_value(quality) {
        Ok(serde_json::Value::String(word)) => Some((quality, word)),
        _ => None,
    });
    words.collect()
});

/// Every quality there is, with its word.
pub(crate) fn all() -> &'static [(Quality, String)] {
    &WORDS
}

pub(crate) fn quality(word: &[u8]) -> Option<Quality> {
    all().iter().find(|(_, known)| known.as_bytes() == word).map(|(quality, _)| *quality)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_quality_has_a_word_and_comes_back() {
        assert_eq!(quality(b"good"), Some(Quality::Good));
        for code in 0..=u8::MAX {
            let Some(known) = Quality::from_code(code) else { continue };
            let word = all().iter().find(|(q, _)| *q == known).map(|(_, word)| word.as_bytes()).unwrap();
            assert_eq!(quality(word), Some(known));
        }
        assert_eq!(quality(b"perfect"), None);
    }
}
