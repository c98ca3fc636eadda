//! A name for a scene's content, for HTTP's `ETag`.

use super::Scene;

/// FNV-1a, 64 bit: the same bytes give the same number on every platform and in every version.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

impl Scene {
    /// Sixteen hexadecimal digits that change when anything a client gets of the scene changes.
    ///
    /// Taken over the JSON clients receive, so a change of comments or of a series does not make them load it again.
    pub fn etag(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        format!("{:016x}", fnv1a(&json))
    }
}

#[cfg(test)]
mod tests {
    use super::fnv1a;

    /// The test vectors of the FNV reference code.
    #[test]
    fn hashes_are_fnv_1a() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x85944171f73967e8);
    }
}
