//! Kafka's own message schemas (`common/message/*.json` of kafka-clients, the jar of the Apache Kafka that is compared with): what each
//! request and response looks like in each version. So this test depends on no codec of ours.

mod jar;

use kafka_test::server::{run, script};
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, OnceLock};

/// A range of versions; `None` where the schema says "none".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions(Option<(i16, i16)>);

impl Versions {
    fn parse(text: &str) -> Versions {
        let number = |text: &str| text.parse().unwrap_or_else(|e| panic!("version {text:?}: {e}"));
        Versions(match text.split_once('-') {
            _ if text == "none" => None,
            Some((first, last)) => Some((number(first), number(last))),
            None => Some(match text.strip_suffix('+') {
                Some(first) => (number(first), i16::MAX),
                None => (number(text), number(text)),
            }),
        })
    }

    fn of(field: &Value, key: &str) -> Versions {
        field[key].as_str().map_or(Versions(None), Versions::parse)
    }

    /// Whether `version` is in the range.
    pub fn contains(&self, version: i16) -> bool {
        self.0.is_some_and(|(first, last)| (first..=last).contains(&version))
    }
}

/// A type of Kafka's protocol.
#[derive(Debug)]
pub enum Type {
    /// One byte, 0 or 1.
    Bool,
    /// A signed integer of this many bytes.
    Int(usize),
    /// A port.
    Uint16,
    /// IEEE 754.
    Float64,
    /// 16 bytes.
    Uuid,
    /// UTF-8.
    String,
    /// Any bytes.
    Bytes,
    /// Record batches.
    Records,
    /// Any number of one type.
    Array(Box<Type>),
    /// Fields, in their order on the wire.
    Struct(Arc<Vec<Field>>),
    /// A struct that can be null.
    Optional(Arc<Vec<Field>>),
}

/// A field of a message.
#[derive(Debug)]
pub struct Field {
    /// Kafka's name of it.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// The versions that have it.
    pub versions: Versions,
    /// Its tag, and the versions in which it stands in the tagged section.
    pub tag: Option<(u32, Versions)>,
    /// What it is where a request does not say.
    pub default: Value,
}

impl Field {
    /// The tag under which the field stands in `version`.
    pub fn tag_in(&self, version: i16) -> Option<u32> {
        self.tag
            .filter(|(_, versions)| versions.contains(version))
            .map(|(tag, _)| tag)
    }
}

/// A request or a response.
#[derive(Debug)]
pub struct Message {
    /// The versions with compact lengths and tagged fields.
    pub flexible: Versions,
    /// The versions that exist.
    pub valid: Versions,
    /// Its fields.
    pub fields: Arc<Vec<Field>>,
}

/// An API with both of its messages.
#[derive(Debug)]
pub struct Api {
    /// The number that stands in a request header.
    pub key: i16,
    /// Its name as Kafka spells it.
    pub name: String,
    /// The request.
    pub request: Message,
    /// The response.
    pub response: Message,
}

/// All APIs of Apache Kafka, by name.
pub struct Apis(HashMap<String, Api>);

impl Apis {
    /// The schemas of the Apache Kafka that these tests start.
    pub fn of_apache_kafka() -> &'static Apis {
        static APIS: OnceLock<Apis> = OnceLock::new();
        APIS.get_or_init(Apis::read)
    }

    fn read() -> Apis {
        let mut command = Command::new(script("apache-kafka.sh"));
        command.arg("classpath");
        let class_path = run(command);
        let folder = Path::new(class_path.trim().trim_end_matches('*'));
        let jars = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        let clients = jars
            .map(|entry| entry.expect("a jar").path())
            .find(|path| {
                path.file_name()
                    .is_some_and(|n| n.to_string_lossy().starts_with("kafka-clients-"))
            })
            .expect("kafka-clients is among the jars");
        let message = |kind| parse_all(&clients, kind);
        let (requests, mut responses) = (message("Request"), message("Response"));
        let apis = requests.into_iter().map(|(name, (key, request))| {
            let (_, response) = responses.remove(&name).unwrap_or_else(|| panic!("{name} has no response"));
            let api = Api {
                key,
                name: name.clone(),
                request,
                response,
            };
            (name, api)
        });
        Apis(apis.collect())
    }

    /// The API of this name.
    pub fn by_name(&self, name: &str) -> &Api {
        self.0.get(name).unwrap_or_else(|| panic!("Kafka has no API {name}"))
    }

    /// The API of this number.
    pub fn by_key(&self, key: i16) -> &Api {
        let mut all = self.0.values();
        all.find(|api| api.key == key)
            .unwrap_or_else(|| panic!("Kafka has no API {key}"))
    }
}

/// All messages of a kind that belong to an API, by the API's name, with its key.
fn parse_all(clients: &Path, kind: &str) -> HashMap<String, (i16, Message)> {
    let texts = jar::texts(clients, "common/message/", &format!("{kind}.json"));
    let parsed = texts.iter().filter_map(|(file, text)| {
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let json: Value = serde_json::from_str(&lines.collect::<Vec<_>>().join("\n")).unwrap_or_else(|e| panic!("{file}: {e}"));
        let name = json["name"].as_str()?.strip_suffix(kind)?.to_owned();
        let key = i16::try_from(json["apiKey"].as_i64()?).ok()?;
        Some((name, (key, message(&json))))
    });
    parsed.collect()
}

fn message(json: &Value) -> Message {
    let no_fields = vec![];
    let structs = json["commonStructs"].as_array().unwrap_or(&no_fields);
    let structs: HashMap<&str, &Value> = structs.iter().filter_map(|s| Some((s["name"].as_str()?, s))).collect();
    Message {
        flexible: Versions::of(json, "flexibleVersions"),
        valid: Versions::of(json, "validVersions"),
        fields: fields(json, &structs),
    }
}

fn fields(json: &Value, structs: &HashMap<&str, &Value>) -> Arc<Vec<Field>> {
    let none = vec![];
    let fields = json["fields"].as_array().unwrap_or(&none).iter().map(|field| {
        let name = field["name"].as_str().expect("a field has a name").to_owned();
        let ty = type_of(field["type"].as_str().expect("a field has a type"), field, structs);
        let default = default_of(&ty, &field["default"]);
        let tag = field["tag"]
            .as_u64()
            .map(|tag| (tag as u32, Versions::of(field, "taggedVersions")));
        Field {
            versions: Versions::of(field, "versions"),
            name,
            ty,
            tag,
            default,
        }
    });
    Arc::new(fields.collect())
}

fn type_of(name: &str, field: &Value, structs: &HashMap<&str, &Value>) -> Type {
    match name {
        "bool" => Type::Bool,
        "int8" => Type::Int(1),
        "int16" => Type::Int(2),
        "int32" => Type::Int(4),
        "int64" => Type::Int(8),
        "uint16" => Type::Uint16,
        "float64" => Type::Float64,
        "uuid" => Type::Uuid,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "records" => Type::Records,
        _ => match name.strip_prefix("[]") {
            Some(element) => Type::Array(Box::new(type_of(element, field, structs))),
            None => {
                let inner = if field["fields"].is_array() { field } else { structs[name] };
                let alone = field["type"] == name && field["nullableVersions"].is_string();
                let kind = if alone { Type::Optional } else { Type::Struct };
                kind(fields(inner, structs))
            }
        },
    }
}

/// The default as the schema states it; where it does not, zero, nothing, false, or empty, as Kafka's own code has it.
fn default_of(ty: &Type, stated: &Value) -> Value {
    let stated = match stated {
        Value::String(text) => Some(text.clone()),
        Value::Null => None,
        other => Some(other.to_string()),
    };
    match (ty, stated.as_deref()) {
        (_, Some("null")) => Value::Null,
        (Type::Bool, stated) => (stated == Some("true")).into(),
        (Type::Int(_) | Type::Uint16, stated) => integer(stated.unwrap_or("0")).into(),
        (Type::Float64, _) => 0.0.into(),
        (Type::Uuid, _) => super::codec::NIL.into(),
        (Type::String, stated) => stated.unwrap_or_default().into(),
        (Type::Bytes | Type::Records, _) => "0x".into(),
        (Type::Array(_), _) => Value::Array(vec![]),
        (Type::Optional(_), _) => Value::Null,
        (Type::Struct(fields), _) => fields.iter().map(|f| (f.name.clone(), f.default.clone())).collect(),
    }
}

fn integer(text: &str) -> i64 {
    match text.strip_prefix("0x") {
        Some(hexadecimal) => i64::from_str_radix(hexadecimal, 16),
        None => text.parse(),
    }
    .unwrap_or_else(|e| panic!("integer {text:?}: {e}"))
}
