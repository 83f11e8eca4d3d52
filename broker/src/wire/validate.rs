//! The walk over a request's body before anything decodes it (design, "Bytes from the network"): the codec reserves memory for
//! whatever length it reads, so that a frame of a few bytes could end the process. Here every length is held against the bytes
//! that are there, and nothing is allocated.

use crate::api::table::ApiKey;
use crate::limits;
use crate::wire::cursor::{Cursor, Fault, Malformed};
use crate::wire::shape::{self, Field, Type};

/// Checks that `body`, what follows the header of a request of `key` in `version`, is such a request, and gives the bytes up to its end.
/// What comes after is no fault: librdkafka 2.12 sends three bytes more when it asks for the metadata of all topics, and Kafka
/// overlooks them. A body that passes is decoded by the codec (at [`crate::api::table::Api::codec_version`]) without failure, and into
/// memory that is bounded by the body's length and the element limit of the API.
///
/// Stricter than Kafka where the codec is: strings must be UTF-8, a tag that exists only in later versions is refused. Stricter
/// also in refusing descending tags and more elements than [`crate::api::table::Api::max_elements`].
///
/// # Errors
/// [`Malformed`] with the first thing that is wrong; the connection is to be closed.
pub fn validate_request(key: ApiKey, version: i16, body: &[u8]) -> Result<usize, Malformed> {
    let shape = shape::of(key);
    let mut walk = Walk {
        cursor: Cursor::new(body),
        version,
        flexible: version >= shape.flexible_from,
        max_elements: key.api().max_elements,
        elements: 0,
        unknown_tags: 0,
    };
    if !shape.versions.contains(version) {
        return Err(walk.cursor.malformed(Fault::NotServed));
    }
    walk.fields(shape.fields)?;
    Ok(walk.cursor.position())
}

struct Walk<'a> {
    cursor: Cursor<'a>,
    version: i16,
    flexible: bool,
    max_elements: usize,
    elements: usize,
    unknown_tags: usize,
}

impl Walk<'_> {
    fn fields(&mut self, fields: &[Field]) -> Result<(), Malformed> {
        for field in fields {
            if field.tag.is_none() && field.versions.contains(self.version) {
                self.field(field)?;
            }
        }
        if self.flexible {
            self.tagged(fields)?;
        }
        Ok(())
    }

    fn field(&mut self, field: &Field) -> Result<(), Malformed> {
        self.cursor.field = field.name;
        self.value(&field.ty, field.nullable.contains(self.version))
    }

    /// Recurses as deep as the shape does, which is constant; the bytes have no say in it.
    fn value(&mut self, ty: &Type, nullable: bool) -> Result<(), Malformed> {
        match ty {
            Type::Fixed(bytes) => self.cursor.take(*bytes).map(drop),
            Type::Struct(fields) if nullable => match self.cursor.present()? {
                true => self.fields(fields),
                false => Ok(()),
            },
            Type::Struct(fields) => self.fields(fields),
            Type::String => match self.length(false, nullable)? {
                Some(length) => self.cursor.utf8(length).map(drop),
                None => Ok(()),
            },
            Type::Bytes => match self.length(true, nullable)? {
                Some(length) => self.cursor.take(length).map(drop),
                None => Ok(()),
            },
            Type::Array(element) => match self.length(true, nullable)? {
                Some(count) => self.elements(element, count),
                None => Ok(()),
            },
        }
    }

    fn length(&mut self, wide: bool, nullable: bool) -> Result<Option<usize>, Malformed> {
        let length = if self.flexible {
            self.cursor.compact_length()?
        } else {
            self.cursor.length(wide)?
        };
        if length.is_none() && !nullable {
            return Err(self.cursor.malformed(Fault::Null));
        }
        Ok(length)
    }

    fn elements(&mut self, element: &Type, count: usize) -> Result<(), Malformed> {
        // An element takes a byte at least (a test of the shapes), so that this refuses every impossible count at once.
        let left = self.cursor.left();
        if count > left {
            return Err(self.cursor.malformed(Fault::Truncated { needed: count, left }));
        }
        self.elements += count;
        if self.elements > self.max_elements {
            return Err(self.cursor.malformed(Fault::TooManyElements(self.max_elements)));
        }
        if let Type::Fixed(bytes) = element {
            return self.cursor.take(count * bytes).map(drop);
        }
        let name = self.cursor.field;
        for _ in 0..count {
            self.cursor.field = name;
            self.value(element, false)?;
        }
        Ok(())
    }

    fn tagged(&mut self, fields: &[Field]) -> Result<(), Malformed> {
        self.cursor.field = "tagged fields";
        let mut previous = None;
        for _ in 0..self.cursor.unsigned_varint()? {
            let (tag, stated) = self.cursor.tag(previous)?;
            let start = self.cursor.position();
            self.tagged_value(fields, tag, stated)?;
            // The codec reads a known field by its type and does not look at the size.
            let found = self.cursor.position() - start;
            if found != stated {
                return Err(self.cursor.malformed(Fault::TagSize { tag, stated, found }));
            }
            self.cursor.field = "tagged fields";
            previous = Some(tag);
        }
        Ok(())
    }

    fn tagged_value(&mut self, fields: &[Field], tag: u32, size: usize) -> Result<(), Malformed> {
        match fields.iter().find(|field| field.tag == Some(tag)) {
            Some(field) if field.versions.contains(self.version) => self.field(field),
            Some(_) => Err(self.cursor.malformed(Fault::TagVersion(tag))),
            None => {
                self.unknown_tags += 1;
                if self.unknown_tags > limits::UNKNOWN_TAGS_PER_REQUEST {
                    return Err(self.cursor.malformed(Fault::TooManyTags(limits::UNKNOWN_TAGS_PER_REQUEST)));
                }
                self.cursor.take(size).map(drop)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: ApiKey, version: i16, parts: &[&[u8]]) -> Result<(), Fault> {
        let length = validate_request(key, version, &parts.concat());
        length.map(drop).map_err(|malformed| malformed.fault)
    }

    const COMPACT_HUGE: &[u8] = &[0x80, 0x80, 0x80, 0x80, 0x08];

    /// Arrays that claim 2^31-1 (2^31 compact: one more for null) elements are refused where they are claimed.
    #[test]
    fn an_array_of_two_to_the_31_elements_is_refused() {
        let acks_timeout = &[0, 1, 0, 0, 0, 1][..];
        let huge = i32::MAX as usize;
        assert_eq!(
            check(ApiKey::Produce, 3, &[&[0xff, 0xff], acks_timeout, &i32::MAX.to_be_bytes()]),
            Err(Fault::Truncated { needed: huge, left: 0 })
        );
        assert_eq!(
            check(ApiKey::Produce, 9, &[&[0], acks_timeout, COMPACT_HUGE, &[1, 2, 3]]),
            Err(Fault::Truncated { needed: huge, left: 3 })
        );
        assert_eq!(
            check(ApiKey::Metadata, 9, &[&[0xff, 0xff, 0xff, 0xff, 0x0f]]),
            Err(Fault::Truncated {
                needed: u32::MAX as usize - 1,
                left: 0
            })
        );
        assert_eq!(
            check(ApiKey::Metadata, 1, &[&i32::MAX.to_be_bytes()]),
            Err(Fault::Truncated { needed: huge, left: 0 })
        );
    }

    /// An inner array is held against what is left too, as are strings and records.
    #[test]
    fn a_huge_inner_length_is_refused() {
        let topic = &[0, 0, 0, 1, 0, 1, b't'][..];
        assert_eq!(
            check(ApiKey::DeleteRecords, 0, &[topic, &i32::MAX.to_be_bytes(), &[0; 12]]),
            Err(Fault::Truncated {
                needed: i32::MAX as usize,
                left: 12
            })
        );
        assert_eq!(
            check(ApiKey::FindCoordinator, 0, &[&[0x7f, 0xff]]),
            Err(Fault::Truncated { needed: 32767, left: 0 })
        );
        let partition = &[0, 0, 0, 1, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 1][..];
        assert_eq!(
            check(ApiKey::Produce, 3, &[&[0xff, 0xff, 0, 1, 0, 0, 0, 1], topic, partition]),
            Err(Fault::Truncated {
                needed: i32::MAX as usize,
                left: 1
            })
        );
    }

    /// Negative lengths other than null's -1.
    #[test]
    fn negative_lengths_are_refused() {
        assert_eq!(
            check(ApiKey::Metadata, 1, &[&(-2i32).to_be_bytes()]),
            Err(Fault::NegativeLength(-2))
        );
        assert_eq!(
            check(ApiKey::Metadata, 1, &[&i32::MIN.to_be_bytes()]),
            Err(Fault::NegativeLength(i32::MIN))
        );
        assert_eq!(
            check(ApiKey::FindCoordinator, 0, &[&(-2i16).to_be_bytes()]),
            Err(Fault::NegativeLength(-2))
        );
        let before = &[0xff, 0xff, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 0][..];
        assert_eq!(
            check(ApiKey::Produce, 3, &[before, &(-2i32).to_be_bytes()]),
            Err(Fault::NegativeLength(-2))
        );
        assert_eq!(check(ApiKey::Produce, 3, &[before, &(-1i32).to_be_bytes()]), Ok(()));
    }

    /// Lengths, tag counts, tags and tag sizes of more than 32 bits.
    #[test]
    fn varint_overflow_is_refused() {
        let over = &[0xff, 0xff, 0xff, 0xff, 0x1f][..];
        let endless = &[0x80; 12][..];
        for varint in [over, endless] {
            assert_eq!(check(ApiKey::Metadata, 9, &[varint]), Err(Fault::VarintOverflow));
            assert_eq!(check(ApiKey::DescribeCluster, 0, &[&[0], varint]), Err(Fault::VarintOverflow));
            assert_eq!(
                check(ApiKey::DescribeCluster, 0, &[&[0, 1], varint]),
                Err(Fault::VarintOverflow)
            );
            assert_eq!(
                check(ApiKey::DescribeCluster, 0, &[&[0, 1, 7], varint]),
                Err(Fault::VarintOverflow)
            );
        }
    }

    /// Null is accepted in exactly the versions in which Kafka allows it.
    #[test]
    fn null_where_it_is_not_allowed_is_refused() {
        assert_eq!(check(ApiKey::Metadata, 0, &[&(-1i32).to_be_bytes()]), Err(Fault::Null));
        assert_eq!(check(ApiKey::Metadata, 1, &[&(-1i32).to_be_bytes()]), Ok(()));
        assert_eq!(check(ApiKey::Metadata, 9, &[&[2, 0, 0, 1, 0, 0, 0]]), Err(Fault::Null));
        assert_eq!(check(ApiKey::Metadata, 10, &[&[2], &[0; 16], &[0, 0, 1, 0, 0, 0]]), Ok(()));
        assert_eq!(check(ApiKey::FindCoordinator, 0, &[&(-1i16).to_be_bytes()]), Err(Fault::Null));
        assert_eq!(check(ApiKey::FindCoordinator, 4, &[&[0, 0, 0]]), Err(Fault::Null));
    }

    /// Tagged fields: unknown ones are skipped; known ones are read by their shape, in their versions only, and fill their size.
    #[test]
    fn tagged_fields_are_walked() {
        let before = |version: i16| {
            let mut body = if version >= 15 { vec![] } else { vec![0, 0, 0, 1] };
            body.extend_from_slice(&[0; 13]);
            body.extend_from_slice(&[0; 8]);
            body.extend_from_slice(&[1, 1, 1]);
            body
        };
        let fetch = |version, tags: &[u8]| check(ApiKey::Fetch, version, &[&before(version), tags]);
        assert_eq!(fetch(12, &[0]), Ok(()));
        assert_eq!(fetch(12, &[1, 0, 3, 3, b'i', b'd']), Ok(()));
        assert_eq!(fetch(12, &[1, 0, 1, 0]), Ok(()), "a null cluster id");
        assert_eq!(
            fetch(12, &[1, 0, 4, 3, b'i', b'd', 0]),
            Err(Fault::TagSize {
                tag: 0,
                stated: 4,
                found: 3
            })
        );
        assert_eq!(
            fetch(12, &[1, 0, 2, 3, b'i', b'd']),
            Err(Fault::TagSize {
                tag: 0,
                stated: 2,
                found: 3
            })
        );
        assert_eq!(fetch(12, &[1, 0, 3, 3, 0xff, b'd']), Err(Fault::NotUtf8));
        assert_eq!(
            fetch(12, &[1, 1, 13, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0]),
            Err(Fault::TagVersion(1))
        );
        assert_eq!(fetch(15, &[1, 1, 13, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0]), Ok(()));
        assert_eq!(fetch(15, &[2, 2, 0, 0, 1, 0]), Err(Fault::TagOrder(0)));
        assert_eq!(fetch(12, &[1, 9, 0x7f, 1]), Err(Fault::Truncated { needed: 127, left: 1 }));
    }

    /// More unknown tagged fields than the limit are refused: each would become an entry of a map.
    #[test]
    fn unknown_tagged_fields_are_limited() {
        let tags = |count: usize| {
            let mut tags = vec![0x80 | (count & 0x7f) as u8, (count >> 7) as u8];
            (0..count).for_each(|tag| tags.extend_from_slice(&[0x80 | (tag & 0x7f) as u8, (tag >> 7) as u8, 0]));
            tags
        };
        let limit = limits::UNKNOWN_TAGS_PER_REQUEST;
        assert_eq!(check(ApiKey::DescribeCluster, 0, &[&[0], &tags(limit)]), Ok(()));
        assert_eq!(
            check(ApiKey::DescribeCluster, 0, &[&[0], &tags(limit + 1)]),
            Err(Fault::TooManyTags(limit))
        );
    }

    /// Elements are counted over all arrays of a request, and the limit itself is allowed.
    #[test]
    fn array_elements_are_limited_per_request() {
        let limit = limits::NAME_ELEMENTS_PER_REQUEST;
        let keys = |count: usize| {
            [
                &[0, 0, 0, 1, 2, 0, 0][..],
                &(count as i32).to_be_bytes(),
                &vec![0; 2 * count],
                &[0],
            ]
            .concat()
        };
        assert_eq!(check(ApiKey::DescribeConfigs, 1, &[&keys(limit - 1)]), Ok(()));
        assert_eq!(
            check(ApiKey::DescribeConfigs, 1, &[&keys(limit)]),
            Err(Fault::TooManyElements(limit))
        );
    }

    /// A struct that may be null has a byte in front: 1 or -1 (null).
    #[test]
    fn structs_that_may_be_null() {
        let ask = |cursor: &[u8]| check(ApiKey::DescribeTopicPartitions, 0, &[&[1, 0, 0, 0, 9], cursor, &[0]]);
        assert_eq!(ask(&[0xff]), Ok(()));
        assert_eq!(ask(&[1, 2, b'a', 0, 0, 0, 0, 0]), Ok(()));
        assert_eq!(ask(&[1, 0, 0, 0, 0, 0, 0]), Err(Fault::Null));
        for marker in [0, 2, 0x80] {
            assert_eq!(ask(&[marker, 2, b'a', 0, 0, 0, 0, 0]), Err(Fault::StructMarker(marker as i8)));
        }
    }

    /// Strings are UTF-8, bytes after the end of the message are overlooked, and only served versions have a shape.
    #[test]
    fn utf8_trailing_bytes_and_versions() {
        assert_eq!(check(ApiKey::FindCoordinator, 0, &[&[0, 2, 0xc3, 0x28]]), Err(Fault::NotUtf8));
        assert_eq!(check(ApiKey::FindCoordinator, 0, &[&[0, 2, 0xc3, 0xbc]]), Ok(()));
        assert_eq!(check(ApiKey::ApiVersions, 0, &[]), Ok(()));
        assert_eq!(check(ApiKey::ApiVersions, 0, &[&[0]]), Ok(()));
        assert_eq!(check(ApiKey::Produce, 2, &[]), Err(Fault::NotServed));
        assert_eq!(check(ApiKey::ApiVersions, 5, &[]), Err(Fault::NotServed));
    }

    /// The error names Kafka's field and the place.
    #[test]
    fn errors_name_field_and_place() {
        let malformed = validate_request(ApiKey::Metadata, 1, &(-2i32).to_be_bytes()).unwrap_err();
        assert_eq!(malformed.to_string(), "Topics at byte 4: length -2 is negative");
    }
}
