//! Two replies, field by field.

use crate::codec::NIL;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// What stands for a field, an element or a reply that one of the two does not have.
pub const ABSENT: &str = "(absent)";

/// A field in which two replies differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Where: `Topics[0].Partitions[2].ErrorCode`, or with what identifies the elements instead of their places.
    pub path: String,
    /// What pg_kafka answers.
    pub ours: Value,
    /// What Apache Kafka answers.
    pub kafka: Value,
}

/// Which UUID of pg_kafka stands for which of Apache Kafka. Ids are drawn by each server on its own, so two that are met at the same
/// place for the first time belong together from then on; any other pairing is a difference.
#[derive(Debug, Default)]
pub struct Ids {
    of_ours: HashMap<String, String>,
    of_kafka: HashMap<String, String>,
}

impl Ids {
    /// Whether the two stand for the same, which is noted if neither was met before.
    pub fn pair(&mut self, ours: &str, kafka: &str) -> bool {
        match (self.of_ours.get(ours), self.of_kafka.get(kafka)) {
            (None, None) if ours == kafka => true,
            (None, None) if ours != NIL && kafka != NIL => {
                self.of_ours.insert(ours.to_owned(), kafka.to_owned());
                self.of_kafka.insert(kafka.to_owned(), ours.to_owned());
                true
            }
            (known, _) => known.is_some_and(|known| known == kafka),
        }
    }
}

/// An array that Kafka fills in no order that it promises, and the fields by which its elements are told apart.
pub struct Unordered {
    /// The API whose replies have it.
    pub api: &'static str,
    /// The array.
    pub pattern: &'static str,
    /// What identifies an element: the first of these fields that it has; none for arrays of plain values.
    pub by: &'static [&'static str],
}

impl Unordered {
    /// An array of an API's replies and what identifies its elements.
    pub const fn new(api: &'static str, pattern: &'static str, by: &'static [&'static str]) -> Unordered {
        Unordered { api, pattern, by }
    }
}

/// Compares replies of one API.
pub struct Comparison<'a> {
    /// The API.
    pub api: &'a str,
    /// The arrays without an order.
    pub unordered: &'a [Unordered],
    /// The ids met so far.
    pub ids: &'a mut Ids,
}

impl Comparison<'_> {
    /// Every field in which the two differ.
    pub fn differences(&mut self, ours: &Value, kafka: &Value) -> Vec<Difference> {
        let mut found = Vec::new();
        self.values(Place::default(), ours, kafka, &mut found);
        found
    }

    fn values(&mut self, place: Place, ours: &Value, kafka: &Value, found: &mut Vec<Difference>) {
        match (ours, kafka) {
            (Value::Object(left), Value::Object(right)) => {
                for name in left.keys().chain(right.keys().filter(|name| !left.contains_key(*name))) {
                    let absent = ABSENT.into();
                    let (one, other) = (left.get(name).unwrap_or(&absent), right.get(name).unwrap_or(&absent));
                    self.values(place.field(name), one, other, found);
                }
            }
            (Value::Array(left), Value::Array(right)) => {
                let order = self
                    .unordered
                    .iter()
                    .find(|u| u.api == self.api && u.pattern == place.pattern);
                for (label, one, other) in self.aligned(order.map(|u| u.by), left, right) {
                    let absent = ABSENT.into();
                    self.values(place.element(&label), one.unwrap_or(&absent), other.unwrap_or(&absent), found);
                }
            }
            (Value::String(left), Value::String(right)) if is_uuid(left) && is_uuid(right) && self.ids.pair(left, right) => {}
            _ if ours == kafka => {}
            _ => found.push(Difference {
                path: place.path,
                ours: ours.clone(),
                kafka: kafka.clone(),
            }),
        }
    }

    /// The elements that belong together: by place, or by what identifies them.
    fn aligned<'v>(
        &self,
        by: Option<&[&str]>,
        ours: &'v [Value],
        kafka: &'v [Value],
    ) -> Vec<(String, Option<&'v Value>, Option<&'v Value>)> {
        let Some(by) = by else {
            let places = 0..ours.len().max(kafka.len());
            return places.map(|i| (i.to_string(), ours.get(i), kafka.get(i))).collect();
        };
        let mut pairs: BTreeMap<(String, usize), [Option<&Value>; 2]> = BTreeMap::new();
        let mut count = HashMap::new();
        for (is_ours, element) in ours.iter().map(|e| (true, e)).chain(kafka.iter().map(|e| (false, e))) {
            let key = self.identity(by, element, is_ours);
            let nth = count.entry((is_ours, key.clone())).or_insert(0);
            let pair = pairs.entry((key, *nth)).or_default();
            *nth += 1;
            pair[usize::from(!is_ours)] = Some(element);
        }
        pairs.into_iter().map(|((key, _), [one, other])| (key, one, other)).collect()
    }

    fn identity(&self, by: &[&str], element: &Value, is_ours: bool) -> String {
        let text = |value: &Value| match value {
            Value::String(text) if is_ours => self.ids.of_ours.get(text).unwrap_or(text).clone(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let said = |value: &&Value| !value.is_null() && value.as_str() != Some("");
        match by {
            [] => text(element),
            _ => by
                .iter()
                .map(|field| &element[*field])
                .find(said)
                .map(text)
                .unwrap_or_default(),
        }
    }
}

#[derive(Default)]
struct Place {
    path: String,
    pattern: String,
}

impl Place {
    fn field(&self, name: &str) -> Place {
        let dot = if self.path.is_empty() { "" } else { "." };
        Place {
            path: format!("{}{dot}{name}", self.path),
            pattern: format!("{}{dot}{name}", self.pattern),
        }
    }

    fn element(&self, label: &str) -> Place {
        Place {
            path: format!("{}[{label}]", self.path),
            pattern: format!("{}[]", self.pattern),
        }
    }
}

fn is_uuid(text: &str) -> bool {
    text.starts_with("uuid:")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn compare(ours: Value, kafka: Value) -> Vec<(String, Value, Value)> {
        let unordered = [Unordered {
            api: "A",
            pattern: "t",
            by: &["n"],
        }];
        let mut comparison = Comparison {
            api: "A",
            unordered: &unordered,
            ids: &mut Ids::default(),
        };
        let found = comparison.differences(&ours, &kafka);
        found.into_iter().map(|d| (d.path, d.ours, d.kafka)).collect()
    }

    /// Equal trees have no difference; each field, length and null that differs is named.
    #[test]
    fn differences_are_named() {
        assert_eq!(compare(json!({"a": [1, null]}), json!({"a": [1, null]})), []);
        let found = compare(json!({"a": [1, null, 3], "b": 0}), json!({"a": [1, 2], "b": "0"}));
        let expected = [
            ("a[1]".to_owned(), json!(null), json!(2)),
            ("a[2]".to_owned(), json!(3), json!(ABSENT)),
            ("b".to_owned(), json!(0), json!("0")),
        ];
        assert_eq!(found, expected);
    }

    /// Without an order elements are found by what identifies them, also the same one twice.
    #[test]
    fn elements_without_an_order() {
        let ours = json!({"t": [{"n": "x", "e": 1}, {"n": "y", "e": 2}, {"n": "x", "e": 3}]});
        let kafka = json!({"t": [{"n": "y", "e": 2}, {"n": "x", "e": 1}, {"n": "x", "e": 4}]});
        assert_eq!(compare(ours, kafka), [("t[x].e".to_owned(), json!(3), json!(4))]);
    }

    /// Ids stand for each other one to one; none stands for nothing else.
    #[test]
    fn ids_are_paired() {
        assert_eq!(
            compare(json!(["uuid:1", "uuid:2", "uuid:1"]), json!(["uuid:8", "uuid:9", "uuid:8"])),
            []
        );
        assert_eq!(compare(json!(["uuid:1", "uuid:2"]), json!(["uuid:8", "uuid:8"])).len(), 1);
        assert_eq!(compare(json!(["uuid:1", "uuid:1"]), json!(["uuid:8", "uuid:9"])).len(), 1);
        assert_eq!(compare(json!([NIL]), json!(["uuid:9"])).len(), 1);
    }
}
