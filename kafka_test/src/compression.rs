//! The codecs of record batches, in the framing that Kafka's clients use.

use std::io::{Read, Write};

/// Codec bits of a batch's attributes (Kafka's message format v2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// 0
    None,
    /// 1
    Gzip,
    /// 2: xerial framing when written here; both framings are read.
    Snappy,
    /// 3: the LZ4 frame format.
    Lz4,
    /// 4
    Zstd,
}

impl Codec {
    /// Every codec, in the order of its bits.
    pub const ALL: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    /// The codec of a batch's attributes; panics on bits that no codec has.
    pub fn of_attributes(attributes: i16) -> Codec {
        *Codec::ALL
            .get(usize::from(attributes as u16 & 7))
            .unwrap_or_else(|| panic!("attributes {attributes:#x} name no codec"))
    }

    /// Name of the codec in clients' `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        }
    }

    /// Compresses what stands behind a batch's 61-byte header.
    pub fn compress(self, plain: &[u8]) -> Vec<u8> {
        match self {
            Codec::None => plain.to_vec(),
            Codec::Gzip => {
                let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                out.write_all(plain).unwrap();
                out.finish().unwrap()
            }
            Codec::Snappy => xerial_frame(plain),
            Codec::Lz4 => {
                let mut out = lz4_flex::frame::FrameEncoder::new(Vec::new());
                out.write_all(plain).unwrap();
                out.finish().unwrap()
            }
            Codec::Zstd => zstd::encode_all(plain, 3).unwrap(),
        }
    }

    /// The inverse of [`Codec::compress`]; panics on bytes that the codec does not accept.
    pub fn decompress(self, stored: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        match self {
            Codec::None => plain.extend_from_slice(stored),
            Codec::Gzip => {
                flate2::read::MultiGzDecoder::new(stored).read_to_end(&mut plain).unwrap();
            }
            Codec::Snappy => plain = snappy_decode(stored),
            Codec::Lz4 => {
                lz4_flex::frame::FrameDecoder::new(stored).read_to_end(&mut plain).unwrap();
            }
            Codec::Zstd => plain = zstd::decode_all(stored).unwrap(),
        }
        plain
    }
}

const XERIAL_MAGIC: &[u8] = b"\x82SNAPPY\0";

fn xerial_frame(plain: &[u8]) -> Vec<u8> {
    let mut out = XERIAL_MAGIC.to_vec();
    out.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1]);
    for block in plain.chunks(32 * 1024) {
        let packed = snap::raw::Encoder::new().compress_vec(block).unwrap();
        out.extend_from_slice(&(packed.len() as u32).to_be_bytes());
        out.extend_from_slice(&packed);
    }
    out
}

fn snappy_decode(stored: &[u8]) -> Vec<u8> {
    if !stored.starts_with(XERIAL_MAGIC) {
        return snap::raw::Decoder::new().decompress_vec(stored).unwrap();
    }
    let mut plain = Vec::new();
    let mut rest = &stored[XERIAL_MAGIC.len() + 8..];
    while !rest.is_empty() {
        let (length, tail) = rest.split_at(4);
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        plain.extend(snap::raw::Decoder::new().decompress_vec(&tail[..length]).unwrap());
        rest = &tail[length..];
    }
    plain
}
