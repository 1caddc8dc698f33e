//! Frames after startup: `tag: u8`, `length: u32` big-endian (counts itself, not the tag), payload.
//! Source: PostgreSQL documentation, "Message Formats". No I/O, no allocation, no clock.

/// Bytes in front of a payload: 1 of tag, 4 of length.
pub const HEADER_BYTES: usize = 5;

/// What is wrong with a peer's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A length that cannot be: below 4, or above the limit of the place.
    #[error("bad length {length} of message {tag:#04x}")]
    BadLength {
        /// The frame's tag.
        tag: u8,
        /// The length it claimed.
        length: u32,
    },
    /// The payload does not have the form that its tag promises.
    #[error("broken message {tag:#04x}")]
    Malformed {
        /// The frame's tag.
        tag: u8,
    },
}

/// The header of the frame at the front of some input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// What kind of message follows.
    pub tag: u8,
    /// The whole frame, header included.
    pub frame_bytes: usize,
}

impl FrameHeader {
    /// Reads the header at the front of `input`; `Ok(None)` where fewer than [`HEADER_BYTES`] are there.
    ///
    /// # Errors
    /// [`WireError::BadLength`] for a length below 4, and where the whole frame has more than `bytes_max`
    /// (PgBouncer's `max_packet_size`).
    #[inline]
    pub fn read(input: &[u8], bytes_max: u32) -> Result<Option<Self>, WireError> {
        let Some(&[tag, a, b, c, d]) = input.first_chunk() else { return Ok(None) };
        let length = u32::from_be_bytes([a, b, c, d]);
        // The tag is the one byte that the length does not count.
        if length < 4 || length >= bytes_max {
            return Err(WireError::BadLength { tag, length });
        }
        Ok(Some(Self { tag, frame_bytes: 1 + length as usize }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_frame_is_as_large_as_the_limit_says_with_its_tag() {
        let read = |length: u32, bytes_max| {
            let input = [&b"Q"[..], &length.to_be_bytes()].concat();
            FrameHeader::read(&input, bytes_max).map(|header| header.map(|header| header.frame_bytes))
        };
        assert_eq!(read(999, 1000).unwrap(), Some(1000));
        assert!(read(1000, 1000).is_err());
        assert!(read(i32::MAX.unsigned_abs(), i32::MAX.unsigned_abs()).is_err());
        assert!(read(3, 1000).is_err());
    }
}
