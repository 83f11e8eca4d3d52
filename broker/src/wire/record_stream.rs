//! The records of a compressed batch, looked at while they come out of the decompressor: what validation needs to know of
//! each, without keeping or copying keys and values.

use std::io::BufRead;

use super::compression::CompressionError;
use super::record::{self, Record, RecordError};

/// Bytes that are copied at a time out of what the decompressor lends: the fields around keys and values, which are passed over where they are.
const BUFFER_BYTES: usize = 128;

/// What validation needs to know of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordFacts {
    /// Milliseconds after the batch's base timestamp.
    pub timestamp_delta: i64,
    /// Offset less the batch's base offset.
    pub offset_delta: i32,
    /// Whether the key is not null.
    pub has_key: bool,
}

impl From<Record<'_>> for RecordFacts {
    fn from(record: Record<'_>) -> Self {
        RecordFacts {
            timestamp_delta: record.timestamp_delta,
            offset_delta: record.offset_delta,
            has_key: record.key.is_some(),
        }
    }
}

/// Why a compressed record section cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// What was decompressed is malformed.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// It cannot be decompressed, or is too large when it is.
    #[error(transparent)]
    Compression(#[from] CompressionError),
}

/// The records that a decompressor of bytes in memory yields, in order. Ends after the first error; an error also if bytes follow the last record.
/// Accepts exactly what [`record::Records`] accepts.
pub struct RecordStream<R> {
    source: R,
    left: i32,
    ended: bool,
    buffer: [u8; BUFFER_BYTES],
    start: usize,
    end: usize,
    /// Bytes of the current record that are not read yet.
    body: usize,
}

impl<R: BufRead> RecordStream<R> {
    /// Over the records that `source` yields, `record_count` in number.
    ///
    /// # Errors
    /// [`RecordError::RecordCount`] if the count is negative.
    pub fn new(source: R, record_count: i32) -> Result<Self, RecordError> {
        if record_count < 0 {
            return Err(RecordError::RecordCount(record_count));
        }
        Ok(RecordStream {
            source,
            left: record_count,
            ended: false,
            buffer: [0; BUFFER_BYTES],
            start: 0,
            end: 0,
            body: 0,
        })
    }

    /// Bytes that the source lends; none at its end.
    fn lent(source: &mut R) -> Result<&[u8], StreamError> {
        source.fill_buf().map_err(|error| CompressionError::from_io(error).into())
    }

    /// Makes sure that a byte is in the buffer; false at the end of the source.
    fn fill(&mut self) -> Result<bool, StreamError> {
        if self.start == self.end {
            let lent = Self::lent(&mut self.source)?;
            let count = lent.len().min(BUFFER_BYTES);
            self.buffer[..count].copy_from_slice(&lent[..count]);
            self.source.consume(count);
            (self.start, self.end) = (0, count);
        }
        Ok(self.start < self.end)
    }

    fn raw_byte(&mut self) -> Result<u8, StreamError> {
        if !self.fill()? {
            return Err(RecordError::Truncated.into());
        }
        self.start += 1;
        Ok(self.buffer[self.start - 1])
    }

    fn byte(&mut self) -> Result<u8, StreamError> {
        self.body = self.body.checked_sub(1).ok_or(RecordError::Truncated)?;
        self.raw_byte()
    }

    fn varint(&mut self) -> Result<i32, StreamError> {
        record::varint(|| self.byte())
    }

    fn skip(&mut self, length: usize) -> Result<(), StreamError> {
        self.body = self.body.checked_sub(length).ok_or(RecordError::Truncated)?;
        let buffered = length.min(self.end - self.start);
        self.start += buffered;
        let mut left = length - buffered;
        while left > 0 {
            let lent = Self::lent(&mut self.source)?.len();
            if lent == 0 {
                return Err(RecordError::Truncated.into());
            }
            let step = left.min(lent);
            self.source.consume(step);
            left -= step;
        }
        Ok(())
    }

    /// Whether the field was not null.
    fn skip_nullable(&mut self) -> Result<bool, StreamError> {
        match usize::try_from(self.varint()?) {
            Ok(length) => self.skip(length).map(|()| true),
            Err(_) => Ok(false),
        }
    }

    fn skip_headers(&mut self) -> Result<(), StreamError> {
        let declared = self.varint()?;
        let count = usize::try_from(declared).map_err(|_| RecordError::HeaderCount(declared))?;
        if count > self.body {
            return Err(RecordError::HeaderCount(declared).into());
        }
        for _ in 0..count {
            if !self.skip_nullable()? {
                return Err(RecordError::HeaderKey.into());
            }
            self.skip_nullable()?;
        }
        Ok(())
    }

    fn record(&mut self) -> Result<RecordFacts, StreamError> {
        let size = record::varint(|| self.raw_byte())?;
        self.body = usize::try_from(size).map_err(|_| RecordError::Truncated)?;
        self.byte()?;
        let timestamp_delta = record::varlong(|| self.byte())?;
        let offset_delta = self.varint()?;
        let has_key = self.skip_nullable()?;
        self.skip_nullable()?;
        self.skip_headers()?;
        if self.body > 0 {
            return Err(RecordError::RecordSize.into());
        }
        Ok(RecordFacts {
            timestamp_delta,
            offset_delta,
            has_key,
        })
    }
}

impl<R: BufRead> Iterator for RecordStream<R> {
    type Item = Result<RecordFacts, StreamError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        if self.left == 0 {
            self.ended = true;
            return match self.fill() {
                Ok(false) => None,
                Ok(true) => Some(Err(RecordError::TrailingBytes.into())),
                Err(error) => Some(Err(error)),
            };
        }
        self.left -= 1;
        let record = self.record();
        self.ended = record.is_err();
        Some(record)
    }
}
