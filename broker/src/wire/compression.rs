//! The four codecs of record batches, each with a bound on what comes out. What is accepted is what Kafka's own readers accept,
//! and what librdkafka and the Java client write: gzip, snappy raw and in xerial's framing, lz4 frames, zstd frames.

use std::io::{self, BufRead, BufReader, Read, Write};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use super::batch::Compression;

/// Why bytes cannot be decompressed, or compressed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompressionError {
    /// More bytes come out than the bound allows.
    #[error("decompresses to more than {0} bytes")]
    TooLarge(usize),
    /// Not what the codec writes, or cut off.
    #[error("{0}")]
    Malformed(String),
}

impl CompressionError {
    /// The error that a [`Decompressor`] put into an I/O error, or the I/O error in words.
    pub fn from_io(error: io::Error) -> Self {
        error
            .downcast::<CompressionError>()
            .unwrap_or_else(|error| CompressionError::Malformed(error.to_string()))
    }
}

impl From<CompressionError> for io::Error {
    fn from(error: CompressionError) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

fn malformed(what: &str) -> CompressionError {
    CompressionError::Malformed(what.to_owned())
}

/// Largest window that a zstd frame may ask for, as a power of two: what level 22 uses and what zstd and Kafka allow (128 MiB).
/// The memory is touched only as far as data comes out.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// No raw snappy block becomes larger than this many times its size: its densest element is 64 bytes in three.
const SNAPPY_EXPANSION_MAX: usize = 22;

/// Start of xerial's framing, then two integers of version.
const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const XERIAL_HEADER_BYTES: usize = 16;

/// Bytes per block that xerial's stream writes.
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;

/// Bytes that gzip decodes at a time.
const GZIP_PIECE_BYTES: usize = 16 * 1024;

/// Bytes that zstd decodes at a time: one block of the format at its largest.
const ZSTD_PIECE_BYTES: usize = 128 * 1024;

const LZ4_MAGIC: [u8; 4] = 0x184D_2204_u32.to_le_bytes();

/// What `data` becomes, as a stream that lends its own buffer (`BufRead`) and fails with [`CompressionError::TooLarge`] (see [`CompressionError::from_io`]) as soon as
/// more than the bound has come out. Its own memory is bounded: at most 22 times `data` (snappy), 8 MiB (lz4), 128 MiB of window (zstd).
pub struct Decompressor<'a> {
    codec: Codec<'a>,
    produced: usize,
    max_output_bytes: usize,
}

enum Codec<'a> {
    None(&'a [u8]),
    Gzip(BufReader<MultiGzDecoder<&'a [u8]>>),
    Snappy(Snappy<'a>),
    Lz4 {
        decoder: Box<FrameDecoder<Lz4Source<'a>>>,
        ended: bool,
    },
    /// Decoded in pieces of the same size: libzstd holds a frame to the content size it states only when the buffer it is given has room
    /// for that, so that otherwise the reader's buffer would decide whether a frame is malformed.
    Zstd(BufReader<zstd::stream::read::Decoder<'static, &'a [u8]>>),
}

impl<'a> Decompressor<'a> {
    /// Over `data`, which is whole.
    ///
    /// # Errors
    /// The start of `data` shows already that it is malformed.
    pub fn new(codec: Compression, data: &'a [u8], max_output_bytes: usize) -> Result<Self, CompressionError> {
        let codec = match codec {
            Compression::None => Codec::None(data),
            Compression::Gzip => Codec::Gzip(BufReader::with_capacity(GZIP_PIECE_BYTES, MultiGzDecoder::new(data))),
            Compression::Snappy => Codec::Snappy(Snappy::new(data, max_output_bytes)),
            Compression::Lz4 => {
                check_lz4_header(data)?;
                Codec::Lz4 {
                    decoder: Box::new(FrameDecoder::new(Lz4Source { data, exhausted: false })),
                    ended: false,
                }
            }
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(data).map_err(CompressionError::from_io)?;
                decoder
                    .window_log_max(ZSTD_WINDOW_LOG_MAX)
                    .map_err(CompressionError::from_io)?;
                Codec::Zstd(BufReader::with_capacity(ZSTD_PIECE_BYTES, decoder))
            }
        };
        Ok(Decompressor {
            codec,
            produced: 0,
            max_output_bytes,
        })
    }
}

/// Remembers whether more was asked for than there is: the decoder takes a frame that is cut between blocks for one that ends.
struct Lz4Source<'a> {
    data: &'a [u8],
    exhausted: bool,
}

impl Read for Lz4Source<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.data.read(out)?;
        self.exhausted |= count < out.len();
        Ok(count)
    }
}

impl BufRead for Decompressor<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let piece = match &mut self.codec {
            Codec::None(data) => data.fill_buf()?,
            Codec::Gzip(decoder) => decoder.fill_buf()?,
            Codec::Snappy(decoder) => decoder.fill_buf()?,
            Codec::Lz4 { ended: true, .. } => &[],
            Codec::Lz4 { decoder, ended } => {
                // Kafka reads one frame; and the decoder's buffers are sized by the first frame only.
                *ended = decoder.fill_buf()?.is_empty();
                match *ended {
                    true if decoder.get_ref().exhausted => return Err(malformed("an lz4 frame without its end").into()),
                    true => &[],
                    false => decoder.fill_buf()?,
                }
            }
            Codec::Zstd(decoder) => decoder.fill_buf()?,
        };
        if piece.len() > self.max_output_bytes.saturating_sub(self.produced) {
            return Err(CompressionError::TooLarge(self.max_output_bytes).into());
        }
        Ok(piece)
    }

    fn consume(&mut self, count: usize) {
        self.produced = self.produced.saturating_add(count);
        match &mut self.codec {
            Codec::None(data) => data.consume(count),
            Codec::Gzip(decoder) => decoder.consume(count),
            Codec::Snappy(decoder) => decoder.consume(count),
            Codec::Lz4 { decoder, .. } => decoder.consume(count),
            Codec::Zstd(decoder) => decoder.consume(count),
        }
    }
}

impl Read for Decompressor<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(out)?;
        self.consume(count);
        Ok(count)
    }
}

/// Refuses what Kafka's `Lz4BlockInputStream` refuses: other formats than the frame format's version 1, linked blocks, dictionaries.
fn check_lz4_header(data: &[u8]) -> Result<(), CompressionError> {
    let header: &[u8; 7] = data
        .first_chunk()
        .ok_or_else(|| malformed("an lz4 frame ends in its header"))?;
    let (flags, block) = (header[4], header[5]);
    if header[..4] != LZ4_MAGIC {
        return Err(malformed("not an lz4 frame"));
    }
    if flags >> 6 != 1 || flags & 0x03 != 0 {
        return Err(malformed("an lz4 frame of unknown version or with a dictionary"));
    }
    if flags & 0x20 == 0 {
        return Err(malformed("an lz4 frame with dependent blocks"));
    }
    if !(0x40..=0x70).contains(&block) || block & 0x0f != 0 {
        return Err(malformed("an lz4 frame with an impossible block size"));
    }
    Ok(())
}

/// Raw snappy is one block; xerial's framing is a header and length-prefixed raw blocks, also several such streams in a row.
struct Snappy<'a> {
    rest: &'a [u8],
    framed: bool,
    block: Vec<u8>,
    position: usize,
    produced: usize,
    max_output_bytes: usize,
}

impl<'a> Snappy<'a> {
    fn new(data: &'a [u8], max_output_bytes: usize) -> Self {
        let framed = data.len() >= XERIAL_HEADER_BYTES && data.starts_with(&XERIAL_MAGIC);
        Snappy {
            rest: data,
            framed,
            block: Vec::new(),
            position: 0,
            produced: 0,
            max_output_bytes,
        }
    }

    /// The next raw block; `None` at the end.
    fn next_raw(&mut self) -> Result<Option<&'a [u8]>, CompressionError> {
        if !self.framed {
            let raw = std::mem::take(&mut self.rest);
            return Ok((!raw.is_empty()).then_some(raw));
        }
        while self.rest.len() >= XERIAL_HEADER_BYTES && self.rest.starts_with(&XERIAL_MAGIC) {
            self.rest = &self.rest[XERIAL_HEADER_BYTES..];
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (length, rest) = self
            .rest
            .split_first_chunk()
            .ok_or_else(|| malformed("snappy ends in a block's length"))?;
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| malformed("snappy block of negative length"))?;
        let (raw, rest) = rest
            .split_at_checked(length)
            .ok_or_else(|| malformed("snappy ends inside a block"))?;
        self.rest = rest;
        Ok(Some(raw))
    }

    fn next_block(&mut self) -> Result<bool, CompressionError> {
        let Some(raw) = self.next_raw()? else { return Ok(false) };
        let in_words = |error: snap::Error| CompressionError::Malformed(error.to_string());
        let length = snap::raw::decompress_len(raw).map_err(in_words)?;
        if length > raw.len().saturating_mul(SNAPPY_EXPANSION_MAX) {
            return Err(malformed("snappy block that claims more than it can hold"));
        }
        self.produced = self.produced.saturating_add(length);
        if self.produced > self.max_output_bytes {
            return Err(CompressionError::TooLarge(self.max_output_bytes));
        }
        self.block.clear();
        self.block.resize(length, 0);
        self.position = 0;
        snap::raw::Decoder::new().decompress(raw, &mut self.block).map_err(in_words)?;
        Ok(true)
    }
}

impl Snappy<'_> {
    /// As `BufRead` has it.
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.position == self.block.len() {
            if !self.next_block()? {
                return Ok(&[]);
            }
        }
        Ok(&self.block[self.position..])
    }

    /// As `BufRead` has it.
    fn consume(&mut self, count: usize) {
        self.position += count;
    }
}

/// What `data` becomes, whole. The result's memory grows with what really comes out, to `max_output_bytes` and one; without
/// compression it is `data` itself, uncopied.
///
/// # Errors
/// [`CompressionError::TooLarge`] if more comes out (or goes in, without compression), [`CompressionError::Malformed`].
pub fn decompress(codec: Compression, data: &Bytes, max_output_bytes: usize) -> Result<Bytes, CompressionError> {
    const FIRST_BYTES: usize = 64 * 1024;
    if codec == Compression::None {
        return match data.len() <= max_output_bytes {
            true => Ok(data.clone()),
            false => Err(CompressionError::TooLarge(max_output_bytes)),
        };
    }
    let mut source = Decompressor::new(codec, data, max_output_bytes)?;
    let mut out = Vec::new();
    let mut filled = 0;
    loop {
        if filled == out.len() {
            // At the bound there is still one byte to ask for: the decompressor answers it with the end or with an error.
            let room = (filled * 2).max(FIRST_BYTES).min(max_output_bytes.saturating_add(1));
            out.reserve_exact(room - filled);
            out.resize(room, 0);
        }
        match source.read(&mut out[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(CompressionError::from_io(error)),
        }
    }
    out.truncate(filled);
    Ok(Bytes::from(out))
}

/// `data` compressed as Kafka's Java client would: snappy in xerial's framing, lz4 in independent 64 KiB blocks. `level` is the
/// codec's own (gzip 1-9, zstd up to 22), `None` (gzip also any negative one) its default; snappy has none, and lz4 is always written at its fast level.
///
/// # Errors
/// [`CompressionError::Malformed`] with the codec's words if it refuses (a level out of range).
pub fn compress(codec: Compression, level: Option<i32>, data: &[u8]) -> Result<Vec<u8>, CompressionError> {
    match codec {
        Compression::None => Ok(data.to_vec()),
        Compression::Gzip => gzip(level, data).map_err(CompressionError::from_io),
        Compression::Snappy => xerial(data),
        Compression::Lz4 => lz4(data),
        Compression::Zstd => {
            zstd::stream::encode_all(data, level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL)).map_err(CompressionError::from_io)
        }
    }
}

fn gzip(level: Option<i32>, data: &[u8]) -> io::Result<Vec<u8>> {
    let level = match level.map(u32::try_from) {
        None | Some(Err(_)) => flate2::Compression::default(),
        Some(Ok(level @ 0..=9)) => flate2::Compression::new(level),
        Some(Ok(_)) => return Err(malformed("gzip level out of range").into()),
    };
    let mut encoder = GzEncoder::new(Vec::new(), level);
    encoder.write_all(data)?;
    encoder.finish()
}

fn xerial(data: &[u8]) -> Result<Vec<u8>, CompressionError> {
    let mut out = Vec::from(XERIAL_MAGIC);
    out.extend_from_slice(&1_i32.to_be_bytes());
    out.extend_from_slice(&1_i32.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for block in data.chunks(XERIAL_BLOCK_BYTES) {
        let raw = encoder
            .compress_vec(block)
            .map_err(|error| CompressionError::Malformed(error.to_string()))?;
        out.extend_from_slice(&(raw.len() as i32).to_be_bytes());
        out.extend_from_slice(&raw);
    }
    Ok(out)
}

fn lz4(data: &[u8]) -> Result<Vec<u8>, CompressionError> {
    let frame = FrameInfo::new()
        .block_mode(BlockMode::Independent)
        .block_size(BlockSize::Max64KB);
    let mut encoder = FrameEncoder::with_frame_info(frame, Vec::new());
    encoder.write_all(data).map_err(CompressionError::from_io)?;
    encoder
        .finish()
        .map_err(|error| CompressionError::Malformed(error.to_string()))
}
