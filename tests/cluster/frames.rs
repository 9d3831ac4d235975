//! HTTP/2 written by hand, for a client without manners: frames as bytes, and what a server answers to them.

/// What every connection begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;

/// Flags of HEADERS.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

const HEADER_BYTES: usize = 9;

/// A frame that came.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// Whether it ends its stream.
    pub(crate) fn ends_stream(&self) -> bool {
        self.kind == RST_STREAM || (matches!(self.kind, HEADERS | DATA) && self.flags & END_STREAM != 0)
    }

    /// Whether it ends the connection, for an error.
    pub(crate) fn ends_connection(&self) -> bool {
        self.kind == GOAWAY && self.payload.get(4..8).is_some_and(|code| code != [0; 4])
    }
}

/// One frame's bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("it is short").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Preface and empty settings.
pub(crate) fn hello() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()
}

/// The headers of a gRPC call, nothing indexed.
pub(crate) fn call(path: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86, 0x41, 1, b'x']; // POST, http, authority x
    // `path` and `content-type` by the numbers of their names in the static table.
    for (name, text) in [(&[0x04_u8][..], path), (&[0x0f, 0x10], "application/grpc")] {
        block.extend(name);
        block.push(u8::try_from(text.len()).expect("it is short"));
        block.extend(text.as_bytes());
    }
    block
}

/// The number of a connection's call, the first being 0.
pub(crate) fn stream(index: u32) -> u32 {
    2 * index + 1
}

/// Takes whole frames off the front of `bytes`.
pub(crate) fn take(bytes: &mut Vec<u8>) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut at = 0;
    while let Some(header) = bytes.get(at..at + HEADER_BYTES) {
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
        let (kind, flags) = (header[3], header[4]);
        let Some(payload) = bytes.get(at + HEADER_BYTES..at + HEADER_BYTES + length) else { break };
        frames.push(Frame { kind, flags, stream, payload: payload.to_vec() });
        at += HEADER_BYTES + length;
    }
    bytes.drain(..at);
    frames
}
