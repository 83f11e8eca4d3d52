//! Messages to bytes and back by Kafka's schemas. A message is JSON whose keys are Kafka's field names; bytes and records to be sent are
//! `0x` and hexadecimal digits, a UUID is `uuid:` and its usual form. Records that were received are read into their batches.

use crate::records;
use crate::schema::{Field, Message, Type};
use serde_json::{Map, Value};
use uuid::Uuid;

/// The UUID that stands for none.
pub const NIL: &str = "uuid:00000000-0000-0000-0000-000000000000";

/// Bytes as a field of a request.
pub fn bytes(bytes: &[u8]) -> Value {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("0x{digits}").into()
}

/// A UUID as a field.
pub fn uuid(id: Uuid) -> Value {
    format!("uuid:{id}").into()
}

/// The body of a message in one version. Fields that the version does not have are left out, fields that `body` does not have take
/// their default, and null is written also where the schema does not allow it. Panics on a field that no version has.
pub fn encode(message: &Message, version: i16, body: &Value) -> Vec<u8> {
    let mut writer = Writer {
        out: Vec::new(),
        version,
        flexible: message.flexible.contains(version),
    };
    writer.fields(&message.fields, body);
    writer.out
}

/// The fields of a message's bytes, to the last of them.
pub fn decode(message: &Message, version: i16, bytes: &[u8]) -> Result<Value, String> {
    let mut reader = Reader {
        bytes,
        version,
        flexible: message.flexible.contains(version),
    };
    let value = reader.fields(&message.fields)?;
    match reader.bytes.len() {
        0 => Ok(value),
        left => Err(format!("{left} bytes behind the end")),
    }
}

struct Writer {
    out: Vec<u8>,
    version: i16,
    flexible: bool,
}

impl Writer {
    fn fields(&mut self, fields: &[Field], body: &Value) {
        let given = body.as_object().unwrap_or_else(|| panic!("{body} is not a struct"));
        for name in given.keys() {
            let known = fields.iter().any(|field| field.name == *name);
            assert!(known, "no version has a field {name} here: {body}");
        }
        let (version, flexible) = (self.version, self.flexible);
        let present = || fields.iter().filter(|field| field.versions.contains(version));
        let value_of = |field: &Field| given.get(&field.name).cloned().unwrap_or_else(|| field.default.clone());
        let (tagged, plain): (Vec<&Field>, Vec<&Field>) =
            present().partition(|field| flexible && field.tag_in(version).is_some());
        for field in plain {
            self.value(&field.ty, &value_of(field));
        }
        if !self.flexible {
            return;
        }
        let mut said: Vec<(u32, &Field)> = tagged
            .into_iter()
            .filter(|field| value_of(field) != field.default)
            .filter_map(|field| Some((field.tag_in(version)?, field)))
            .collect();
        said.sort_by_key(|(tag, _)| *tag);
        self.varint(said.len());
        for (tag, field) in said {
            let mut inner = Writer {
                out: Vec::new(),
                ..*self
            };
            inner.value(&field.ty, &value_of(field));
            self.varint(tag as usize);
            self.varint(inner.out.len());
            self.out.extend(inner.out);
        }
    }

    fn value(&mut self, ty: &Type, value: &Value) {
        let text = || value.as_str().unwrap_or_else(|| panic!("{value} is not text"));
        match ty {
            Type::Bool => self.out.push(
                value
                    .as_bool()
                    .unwrap_or_else(|| panic!("{value} is not true or false"))
                    .into(),
            ),
            Type::Int(size) => {
                let number = value.as_i64().unwrap_or_else(|| panic!("{value} is not an integer"));
                self.out.extend(&number.to_be_bytes()[8 - size..]);
            }
            Type::Uint16 => self.out.extend((value.as_u64().expect("a port") as u16).to_be_bytes()),
            Type::Float64 => self.out.extend(value.as_f64().expect("a number").to_be_bytes()),
            Type::Uuid => self.out.extend(uuid_of(text()).as_bytes()),
            Type::String if value.is_null() => self.length(2, None),
            Type::String => {
                self.length(2, Some(text().len()));
                self.out.extend(text().as_bytes());
            }
            Type::Bytes | Type::Records if value.is_null() => self.length(4, None),
            Type::Bytes | Type::Records => {
                let raw = bytes_of(text());
                self.length(4, Some(raw.len()));
                self.out.extend(raw);
            }
            Type::Array(_) if value.is_null() => self.length(4, None),
            Type::Array(element) => {
                let elements = value.as_array().unwrap_or_else(|| panic!("{value} is not an array"));
                self.length(4, Some(elements.len()));
                elements.iter().for_each(|value| self.value(element, value));
            }
            Type::Optional(_) if value.is_null() => self.out.push(0xff),
            Type::Optional(fields) => {
                self.out.push(1);
                self.fields(fields, value);
            }
            Type::Struct(fields) => self.fields(fields, value),
        }
    }

    fn length(&mut self, fixed_size: usize, length: Option<usize>) {
        if self.flexible {
            return self.varint(length.map_or(0, |length| length + 1));
        }
        let number = length.map_or(-1, |length| length as i64);
        self.out.extend(&number.to_be_bytes()[8 - fixed_size..]);
    }

    fn varint(&mut self, mut number: usize) {
        while number >= 0x80 {
            self.out.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.out.push(number as u8);
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    version: i16,
    flexible: bool,
}

impl<'a> Reader<'a> {
    fn fields(&mut self, fields: &[Field]) -> Result<Value, String> {
        let mut found = Map::new();
        let named = |name: &str, error: String| format!("{name}: {error}");
        let version = self.version;
        for field in fields.iter().filter(|field| field.versions.contains(version)) {
            let value = match field.tag_in(version) {
                Some(_) if self.flexible => field.default.clone(),
                _ => self.value(&field.ty).map_err(|e| named(&field.name, e))?,
            };
            found.insert(field.name.clone(), value);
        }
        let tags = if self.flexible { self.varint()? } else { 0 };
        for _ in 0..tags {
            let (tag, size) = (self.varint()?, self.varint()?);
            let mut inner = Reader {
                bytes: self.take(size)?,
                ..*self
            };
            let field = fields.iter().find(|field| field.tag_in(version) == Some(tag as u32));
            let (name, value) = match field {
                Some(field) => (field.name.clone(), inner.value(&field.ty).map_err(|e| named(&field.name, e))?),
                None => (format!("tag {tag}"), bytes(inner.take(size)?)),
            };
            if !inner.bytes.is_empty() {
                return Err(named(
                    &name,
                    format!("{} bytes too many in the tagged field", inner.bytes.len()),
                ));
            }
            found.insert(name, value);
        }
        Ok(Value::Object(found))
    }

    fn value(&mut self, ty: &Type) -> Result<Value, String> {
        Ok(match ty {
            Type::Bool => match self.take(1)? {
                [byte @ 0..=1] => (*byte == 1).into(),
                other => return Err(format!("{other:?} is neither true nor false")),
            },
            Type::Int(size) => self.integer(*size)?.into(),
            Type::Uint16 => (self.integer(2)? & 0xffff).into(),
            Type::Float64 => f64::from_bits(self.integer(8)? as u64).into(),
            Type::Uuid => uuid(Uuid::from_slice(self.take(16)?).map_err(|e| e.to_string())?),
            Type::String => match self.length(2)? {
                None => Value::Null,
                Some(size) => String::from_utf8(self.take(size)?.to_vec())
                    .map_err(|e| e.to_string())?
                    .into(),
            },
            Type::Bytes => match self.length(4)? {
                None => Value::Null,
                Some(size) => bytes(self.take(size)?),
            },
            Type::Records => match self.length(4)? {
                None => Value::Null,
                Some(size) => records::tree(self.take(size)?),
            },
            Type::Array(element) => match self.length(4)? {
                None => Value::Null,
                Some(count) => Value::Array((0..count).map(|_| self.value(element)).collect::<Result<_, _>>()?),
            },
            Type::Optional(fields) => match self.take(1)? {
                [1] => self.fields(fields)?,
                _ => Value::Null,
            },
            Type::Struct(fields) => self.fields(fields)?,
        })
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self
            .bytes
            .split_at_checked(count)
            .ok_or_else(|| format!("{count} bytes wanted, {} there", self.bytes.len()))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn integer(&mut self, size: usize) -> Result<i64, String> {
        let bytes = self.take(size)?;
        let first = if bytes[0] & 0x80 == 0 { 0 } else { -1 };
        Ok(bytes.iter().fold(first, |number, byte| number << 8 | i64::from(*byte)))
    }

    fn length(&mut self, fixed_size: usize) -> Result<Option<usize>, String> {
        if self.flexible {
            return Ok(self.varint()?.checked_sub(1));
        }
        match self.integer(fixed_size)? {
            -1 => Ok(None),
            length => usize::try_from(length).map(Some).map_err(|_| format!("length {length}")),
        }
    }

    fn varint(&mut self) -> Result<usize, String> {
        let mut number = 0;
        for shift in (0..35).step_by(7) {
            let byte = usize::from(self.take(1)?[0]);
            number |= (byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err("a varint of more than five bytes".to_owned())
    }
}

fn uuid_of(text: &str) -> Uuid {
    let id = text.strip_prefix("uuid:").unwrap_or_else(|| panic!("{text:?} is not a UUID"));
    id.parse().unwrap_or_else(|e| panic!("{text:?}: {e}"))
}

fn bytes_of(text: &str) -> Vec<u8> {
    let digits = text.strip_prefix("0x").unwrap_or_else(|| panic!("{text:?} is not bytes"));
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap_or_else(|e| panic!("{text:?}: {e}"));
    (0..digits.len()).step_by(2).map(byte).collect()
}
