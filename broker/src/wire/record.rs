//! The records inside a version 2 batch, read where they lie. Layout: Kafka's `DefaultRecord`. Every length is checked against
//! the bytes that are there before it is used; nothing here allocates or panics, whatever the bytes.

use bytes::Bytes;

/// Why a record section is malformed; all are INVALID_RECORD 87 on the produce path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The bytes end inside a record, or a length inside a record points beyond it.
    #[error("the records end before their declared size")]
    Truncated,
    /// A variable-length integer of more bytes than its type can have.
    #[error("a variable-length integer does not end")]
    Varint,
    /// A negative number of headers, or more headers than bytes.
    #[error("impossible number of record headers {0}")]
    HeaderCount(i32),
    /// A header without a key.
    #[error("a record header has no key")]
    HeaderKey,
    /// The record's fields end before its declared size.
    #[error("a record is smaller than its declared size")]
    RecordSize,
    /// Bytes follow the last of the declared number of records.
    #[error("bytes follow the last record")]
    TrailingBytes,
    /// A negative number of records.
    #[error("impossible number of records {0}")]
    RecordCount(i32),
}

/// One record. Key and value are `None` when null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Unused by Kafka.
    pub attributes: i8,
    /// Milliseconds after the batch's base timestamp.
    pub timestamp_delta: i64,
    /// Offset less the batch's base offset.
    pub offset_delta: i32,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// The headers, checked but not taken apart.
    pub headers: Headers<'a>,
}

/// The headers of a record; iterating takes them apart, in order, duplicates included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers<'a> {
    count: usize,
    bytes: &'a [u8],
}

/// One header. The key is UTF-8 by convention, which no broker checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The value, `None` when null.
    pub value: Option<&'a [u8]>,
}

impl<'a> Headers<'a> {
    /// Number of headers.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The headers one after the other.
    pub fn iter(&self) -> HeaderIter<'a> {
        HeaderIter {
            left: self.count,
            reader: Reader { bytes: self.bytes },
        }
    }
}

impl<'a> IntoIterator for Headers<'a> {
    type Item = Header<'a>;
    type IntoIter = HeaderIter<'a>;

    fn into_iter(self) -> HeaderIter<'a> {
        self.iter()
    }
}

/// See [`Headers::iter`].
#[derive(Debug, Clone)]
pub struct HeaderIter<'a> {
    left: usize,
    reader: Reader<'a>,
}

impl<'a> Iterator for HeaderIter<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.left = self.left.checked_sub(1)?;
        self.reader.header().ok()
    }
}

/// The records of a batch in order. Ends after the first error; an error also if bytes follow the last record.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    left: i32,
    reader: Reader<'a>,
}

impl<'a> Records<'a> {
    /// Over the uncompressed record section of a batch with `record_count` records.
    ///
    /// # Errors
    /// [`RecordError::RecordCount`] if the count is negative.
    pub fn new(section: &'a [u8], record_count: i32) -> Result<Self, RecordError> {
        if record_count < 0 {
            return Err(RecordError::RecordCount(record_count));
        }
        Ok(Records {
            left: record_count,
            reader: Reader { bytes: section },
        })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            let trailing = !std::mem::take(&mut self.reader.bytes).is_empty();
            return trailing.then_some(Err(RecordError::TrailingBytes));
        }
        self.left -= 1;
        let record = self.reader.record();
        if record.is_err() {
            *self = Records {
                left: 0,
                reader: Reader { bytes: &[] },
            };
        }
        Some(record)
    }
}

/// As [`Records`], for a section that is owned and read one record per call.
#[derive(Debug, Clone)]
pub struct OwnedRecords {
    section: Bytes,
    at: usize,
    left: i32,
}

impl OwnedRecords {
    /// As [`Records::new`].
    ///
    /// # Errors
    /// [`RecordError::RecordCount`] if the count is negative.
    pub fn new(section: Bytes, record_count: i32) -> Result<Self, RecordError> {
        Records::new(&[], record_count)?;
        Ok(OwnedRecords {
            section,
            at: 0,
            left: record_count,
        })
    }

    /// The next record, lent; `None` at the end and after an error.
    pub fn next_record(&mut self) -> Option<Result<Record<'_>, RecordError>> {
        let mut records = Records {
            left: self.left,
            reader: Reader {
                bytes: &self.section[self.at..],
            },
        };
        let record = records.next();
        self.left = records.left;
        self.at = self.section.len() - records.reader.bytes.len();
        record
    }
}

#[derive(Debug, Clone)]
struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8, RecordError> {
        let (first, rest) = self.bytes.split_first().ok_or(RecordError::Truncated)?;
        self.bytes = rest;
        Ok(*first)
    }

    fn varint(&mut self) -> Result<i32, RecordError> {
        varint(|| self.byte())
    }

    fn varlong(&mut self) -> Result<i64, RecordError> {
        varlong(|| self.byte())
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], RecordError> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(RecordError::Truncated)?;
        self.bytes = rest;
        Ok(taken)
    }

    /// Bytes after their length; any negative length is null, as Kafka reads it.
    fn nullable(&mut self) -> Result<Option<&'a [u8]>, RecordError> {
        match usize::try_from(self.varint()?) {
            Ok(length) => self.take(length).map(Some),
            Err(_) => Ok(None),
        }
    }

    fn header(&mut self) -> Result<Header<'a>, RecordError> {
        let key = self.nullable()?.ok_or(RecordError::HeaderKey)?;
        Ok(Header {
            key,
            value: self.nullable()?,
        })
    }

    fn headers(&mut self) -> Result<Headers<'a>, RecordError> {
        let declared = self.varint()?;
        let count = usize::try_from(declared).map_err(|_| RecordError::HeaderCount(declared))?;
        if count > self.bytes.len() {
            return Err(RecordError::HeaderCount(declared));
        }
        let bytes = self.bytes;
        for _ in 0..count {
            self.header()?;
        }
        Ok(Headers {
            count,
            bytes: &bytes[..bytes.len() - self.bytes.len()],
        })
    }

    fn record(&mut self) -> Result<Record<'a>, RecordError> {
        let size = usize::try_from(self.varint()?).map_err(|_| RecordError::Truncated)?;
        let mut body = Reader { bytes: self.take(size)? };
        let record = Record {
            attributes: body.byte()? as i8,
            timestamp_delta: body.varlong()?,
            offset_delta: body.varint()?,
            key: body.nullable()?,
            value: body.nullable()?,
            headers: body.headers()?,
        };
        if body.bytes.is_empty() {
            Ok(record)
        } else {
            Err(RecordError::RecordSize)
        }
    }
}

/// A zigzag-coded integer of at most five bytes; bits beyond the 32nd are dropped, as in Kafka's `ByteUtils`.
pub(super) fn varint<E: From<RecordError>>(mut byte: impl FnMut() -> Result<u8, E>) -> Result<i32, E> {
    let mut value = 0u32;
    for shift in [0, 7, 14, 21, 28] {
        let byte = byte()?;
        value |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok((value >> 1) as i32 ^ -((value & 1) as i32));
        }
    }
    Err(RecordError::Varint.into())
}

/// A zigzag-coded integer of at most ten bytes.
pub(super) fn varlong<E: From<RecordError>>(mut byte: impl FnMut() -> Result<u8, E>) -> Result<i64, E> {
    let mut value = 0u64;
    for shift in (0..70).step_by(7) {
        let byte = byte()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    Err(RecordError::Varint.into())
}
