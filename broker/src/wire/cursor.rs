//! A reader over bytes that nobody vouches for: every read is checked against what is left, and nothing is allocated.

/// Why bytes are not what a Kafka client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A value or a stated length goes past the end.
    #[error("{needed} bytes needed, {left} left")]
    Truncated {
        /// Bytes that the value or the length asks for, at least.
        needed: usize,
        /// Bytes that are there.
        left: usize,
    },
    /// A length below -1.
    #[error("length {0} is negative")]
    NegativeLength(i32),
    /// Null where this version of the message allows none.
    #[error("null is not allowed here")]
    Null,
    /// Neither 1 nor -1 (null) in front of a struct that may be null.
    #[error("{0} is neither a struct nor null")]
    StructMarker(i8),
    /// A variable-length integer that does not fit 32 bits.
    #[error("variable-length integer is longer than 32 bits")]
    VarintOverflow,
    /// A string that is not UTF-8.
    #[error("string is not UTF-8")]
    NotUtf8,
    /// More array elements than one request of this API may have.
    #[error("more than {0} array elements in one request")]
    TooManyElements(usize),
    /// More unknown tagged fields than one request may have.
    #[error("more than {0} unknown tagged fields in one request")]
    TooManyTags(usize),
    /// Tags that do not ascend (KIP-482).
    #[error("tag {0} does not ascend")]
    TagOrder(u32),
    /// A tag of this message that does not exist in this version of it.
    #[error("tag {0} is not of this version")]
    TagVersion(u32),
    /// A tagged field whose value is shorter or longer than its stated size.
    #[error("tagged field {tag} states {stated} bytes and has {found}")]
    TagSize {
        /// The tag.
        tag: u32,
        /// The size before the value.
        stated: usize,
        /// The size of the value.
        found: usize,
    },
    /// An API or a version that is not served.
    #[error("version is not served")]
    NotServed,
}

/// Bytes of a request that cannot be what they should be. Kafka closes the connection on them (`InvalidRequestException`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field} at byte {at}: {fault}")]
pub struct Malformed {
    /// The field that was being read, as Kafka names it.
    pub field: &'static str,
    /// Where, in bytes from the first of the frame's or body's.
    pub at: usize,
    /// What is wrong.
    pub fault: Fault,
}

/// A position in bytes. A failed read leaves it where the failure was found.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The field being read, for [`Malformed`].
    pub field: &'static str,
}

impl<'a> Cursor<'a> {
    /// Stands at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Cursor {
            bytes,
            at: 0,
            field: "start",
        }
    }

    /// Bytes passed.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Bytes not passed yet.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// `fault` at this place.
    pub fn malformed(&self, fault: Fault) -> Malformed {
        Malformed {
            field: self.field,
            at: self.at,
            fault,
        }
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..count).ok_or(self.malformed(Fault::Truncated {
            needed: count,
            left: rest.len(),
        }))?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    /// The byte in front of a struct that may be null: whether the struct is there.
    pub fn present(&mut self) -> Result<bool, Malformed> {
        let [marker] = self.array()?;
        match i8::from_be_bytes([marker]) {
            1 => Ok(true),
            -1 => Ok(false),
            other => Err(self.malformed(Fault::StructMarker(other))),
        }
    }

    /// A big-endian 16-bit integer.
    pub fn int16(&mut self) -> Result<i16, Malformed> {
        self.array().map(i16::from_be_bytes)
    }

    /// A big-endian 32-bit integer.
    pub fn int32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    /// A big-endian 64-bit integer.
    pub fn int64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_be_bytes)
    }

    /// An unsigned variable-length integer of at most 32 bits, seven of them in a byte, the lowest first.
    pub fn unsigned_varint(&mut self) -> Result<u32, Malformed> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.take(1)?[0];
            if shift == 28 && byte > 0x0f {
                return Err(self.malformed(Fault::VarintOverflow));
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        Ok(value)
    }

    /// The length before a string (`wide`: bytes or an array): 16 (32) bits with -1 for null.
    pub fn length(&mut self, wide: bool) -> Result<Option<usize>, Malformed> {
        let length = if wide { self.int32()? } else { i32::from(self.int16()?) };
        match usize::try_from(length) {
            Ok(length) => Ok(Some(length)),
            Err(_) if length == -1 => Ok(None),
            Err(_) => Err(self.malformed(Fault::NegativeLength(length))),
        }
    }

    /// The length before a value of a flexible version: one more than it, 0 for null (KIP-482).
    pub fn compact_length(&mut self) -> Result<Option<usize>, Malformed> {
        Ok(self.unsigned_varint()?.checked_sub(1).map(|length| length as usize))
    }

    /// `length` bytes that are UTF-8.
    pub fn utf8(&mut self, length: usize) -> Result<&'a str, Malformed> {
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|_| self.malformed(Fault::NotUtf8))
    }

    /// The tag and the size before the value of a tagged field that comes after `previous`. The size is within the bytes left.
    pub fn tag(&mut self, previous: Option<u32>) -> Result<(u32, usize), Malformed> {
        let tag = self.unsigned_varint()?;
        if previous >= Some(tag) {
            return Err(self.malformed(Fault::TagOrder(tag)));
        }
        let size = self.unsigned_varint()? as usize;
        match self.left() {
            left if size > left => Err(self.malformed(Fault::Truncated { needed: size, left })),
            _ => Ok((tag, size)),
        }
    }

    /// Passes a section of tagged fields whose tags all mean nothing.
    pub fn skip_tagged_fields(&mut self) -> Result<(), Malformed> {
        self.field = "tagged fields";
        let mut previous = None;
        for _ in 0..self.unsigned_varint()? {
            let (tag, size) = self.tag(previous)?;
            self.take(size)?;
            previous = Some(tag);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Variable-length integers: the borders of each length, and what does not fit.
    #[test]
    fn varints() {
        let read = |bytes: &[u8]| Cursor::new(bytes).unsigned_varint().map_err(|malformed| malformed.fault);
        assert_eq!(read(&[0]), Ok(0));
        assert_eq!(read(&[0x7f]), Ok(127));
        assert_eq!(read(&[0x80, 0x01]), Ok(128));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x07]), Ok(i32::MAX as u32));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Ok(u32::MAX));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x10]), Err(Fault::VarintOverflow));
        assert_eq!(read(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x01]), Err(Fault::VarintOverflow));
        assert_eq!(read(&[0x80]), Err(Fault::Truncated { needed: 1, left: 0 }));
        assert_eq!(read(&[]), Err(Fault::Truncated { needed: 1, left: 0 }));
    }

    /// Lengths: null, the borders, and negative ones.
    #[test]
    fn lengths() {
        let read = |bytes: &[u8], wide| Cursor::new(bytes).length(wide).map_err(|malformed| malformed.fault);
        assert_eq!(read(&[0xff, 0xff], false), Ok(None));
        assert_eq!(read(&[0x7f, 0xff], false), Ok(Some(i16::MAX as usize)));
        assert_eq!(read(&[0xff, 0xfe], false), Err(Fault::NegativeLength(-2)));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff], true), Ok(None));
        assert_eq!(read(&[0x7f, 0xff, 0xff, 0xff], true), Ok(Some(i32::MAX as usize)));
        assert_eq!(read(&[0x80, 0, 0, 0], true), Err(Fault::NegativeLength(i32::MIN)));
        assert_eq!(Cursor::new(&[0]).compact_length(), Ok(None));
        assert_eq!(Cursor::new(&[1]).compact_length(), Ok(Some(0)));
    }

    /// Tags ascend and sizes are inside the bytes.
    #[test]
    fn tags() {
        let read = |bytes: &[u8]| Cursor::new(bytes).skip_tagged_fields().map_err(|malformed| malformed.fault);
        assert_eq!(read(&[0]), Ok(()));
        assert_eq!(read(&[2, 0, 1, 9, 1, 0]), Ok(()));
        assert_eq!(read(&[2, 1, 0, 1, 0]), Err(Fault::TagOrder(1)));
        assert_eq!(read(&[2, 1, 0, 0, 0]), Err(Fault::TagOrder(0)));
        assert_eq!(read(&[1, 0, 2, 9]), Err(Fault::Truncated { needed: 2, left: 1 }));
        assert_eq!(
            read(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0]),
            Err(Fault::Truncated { needed: 1, left: 0 })
        );
    }
}
