//! The frames of HTTP/2 as they pass by on their way to and from the client library.
//!
//! Owns the reading of their heads (RFC 9113, section 4.1), as far as they tell which requests have left and which ones
//! the other side has not taken: the library tells neither. Refuses to know connections, and to judge what is wrong.

/// Every frame begins with so many bytes: the length of what follows, its kind, flags, and the stream.
const HEAD_BYTES: usize = 9;
/// What is read of a frame at most: of GOAWAY also the last stream, which follows its head.
const READ_BYTES_MAX: usize = HEAD_BYTES + 4;
/// The first bit of a stream's number has no meaning.
const STREAM_MASK: u32 = 0x7fff_ffff;
/// How an answer of HTTP/1 begins: as a frame, it would be of another length than any that is allowed.
const OTHER_VERSION: &[u8] = b"HTTP/";

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const ACKNOWLEDGED: u8 = 1;

/// What has passed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameSeen {
    /// What the sender of the frame asks the other side to go by.
    Settings,
    /// The head of the request or of the answer of this stream begins.
    Head { stream: u32 },
    /// Of the streams above this one the sender has taken none, and it takes no further ones.
    GoAway { last_stream: u32 },
    /// These are no frames: an answer of HTTP/1 begins.
    OtherVersion,
}

/// How far the frames of one direction have been read. A copy of it can look ahead.
#[derive(Debug, Clone, Copy)]
pub(super) struct FrameReader {
    read: [u8; READ_BYTES_MAX],
    read_bytes: usize,
    /// How much is to pass before the next frame.
    left_bytes: usize,
}

impl FrameReader {
    /// Before the first frame stand so many bytes.
    pub(super) const fn after(left_bytes: usize) -> Self {
        Self { read: [0; READ_BYTES_MAX], read_bytes: 0, left_bytes }
    }

    /// Takes note of bytes in whatever pieces they come, and tells what is seen in them.
    pub(super) fn pass(&mut self, bytes: &[u8], mut see: impl FnMut(FrameSeen)) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.left_bytes > 0 {
                let passing = rest.len().min(self.left_bytes);
                self.left_bytes -= passing;
                rest = &rest[passing..];
                continue;
            }
            let taken = rest.len().min(self.wanted_bytes() - self.read_bytes);
            let (piece, later) = rest.split_at(taken);
            self.read[self.read_bytes..][..taken].copy_from_slice(piece);
            self.read_bytes += taken;
            rest = later;
            if self.read_bytes == self.wanted_bytes() {
                self.end_head().into_iter().for_each(&mut see);
            }
        }
    }

    /// Whether a head has begun and not come to its end.
    pub(super) const fn is_within_head(&self) -> bool {
        self.read_bytes > 0
    }

    /// How much of this frame is read, as far as can be told now.
    const fn wanted_bytes(&self) -> usize {
        let is_long = self.read_bytes >= HEAD_BYTES
            && self.kind() == GOAWAY
            && self.payload_bytes() >= READ_BYTES_MAX - HEAD_BYTES;
        if is_long { READ_BYTES_MAX } else { HEAD_BYTES }
    }

    fn end_head(&mut self) -> Option<FrameSeen> {
        let [.., flags, a, b, c, d] = self.head();
        let stream = u32::from_be_bytes([a, b, c, d]) & STREAM_MASK;
        let seen = match self.kind() {
            _ if self.read.starts_with(OTHER_VERSION) => Some(FrameSeen::OtherVersion),
            HEADERS => Some(FrameSeen::Head { stream }),
            SETTINGS if flags & ACKNOWLEDGED == 0 => Some(FrameSeen::Settings),
            GOAWAY if self.read_bytes == READ_BYTES_MAX => {
                let [.., a, b, c, d] = self.read;
                let last_stream = u32::from_be_bytes([a, b, c, d]) & STREAM_MASK;
                Some(FrameSeen::GoAway { last_stream })
            }
            _ => None,
        };
        self.left_bytes = self.payload_bytes() + HEAD_BYTES - self.read_bytes;
        self.read_bytes = 0;
        seen
    }

    const fn head(&self) -> [u8; HEAD_BYTES] {
        let [a, b, c, d, e, f, g, h, i, ..] = self.read;
        [a, b, c, d, e, f, g, h, i]
    }

    const fn kind(&self) -> u8 {
        self.read[3]
    }

    const fn payload_bytes(&self) -> usize {
        let [a, b, c, ..] = self.read;
        ((a as usize) << 16) | ((b as usize) << 8) | c as usize
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut bytes = length[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    fn seen(reader: &mut FrameReader, bytes: &[u8]) -> Vec<FrameSeen> {
        let mut all = Vec::new();
        reader.pass(bytes, |seen| all.push(seen));
        all
    }

    #[test]
    fn what_matters_is_seen_behind_a_preface() {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(SETTINGS, 0, 0, &[0; 12]));
        bytes.extend(frame(SETTINGS, ACKNOWLEDGED, 0, &[]));
        bytes.extend(frame(HEADERS, 4, 0x8000_0003, b"head"));
        bytes.extend(frame(0, 1, 3, b"body"));
        bytes.extend(frame(GOAWAY, 0, 0, &[0x80, 0, 1, 2, 0, 0, 0, 0, b'x']));
        bytes.extend(frame(GOAWAY, 0, 0, &[1, 2]));
        bytes.extend(frame(HEADERS, 5, 5, b""));
        let expected = [
            FrameSeen::Settings,
            FrameSeen::Head { stream: 3 },
            FrameSeen::GoAway { last_stream: 258 },
            FrameSeen::Head { stream: 5 },
        ];
        assert_eq!(seen(&mut FrameReader::after(24), &bytes), expected);
        let answer = b"HTTP/1.1 400 Bad Request\r\n";
        assert_eq!(seen(&mut FrameReader::after(0), answer), [FrameSeen::OtherVersion]);
    }

    proptest! {
        /// However the bytes are cut, the same is seen, and a stream is seen no later than its head has passed.
        #[test]
        fn the_same_is_seen_however_bytes_are_cut(
            frames in prop::collection::vec((0..10_u8, any::<u8>(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..40)), 0..12),
            cuts in prop::collection::vec(1..30_usize, 1..40),
        ) {
            let all: Vec<u8> = frames.iter().flat_map(|(kind, flags, stream, payload)| frame(*kind, *flags, *stream, payload)).collect();
            let whole = seen(&mut FrameReader::after(0), &all);
            let mut reader = FrameReader::after(0);
            let (mut pieces, mut rest, mut cut) = (Vec::new(), &all[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, later) = rest.split_at(rest.len().min(*cut.next().unwrap()));
                pieces.extend(seen(&mut reader, piece));
                rest = later;
            }
            prop_assert_eq!(&whole, &pieces);
            prop_assert!(!reader.is_within_head());
            let heads: Vec<_> = frames.iter().filter(|it| it.0 == HEADERS).map(|it| it.2 & STREAM_MASK).collect();
            let heads_seen: Vec<_> = whole.iter().filter_map(|seen| match seen {
                FrameSeen::Head { stream } => Some(*stream),
                _ => None,
            }).collect();
            prop_assert_eq!(heads, heads_seen);
        }
    }
}
