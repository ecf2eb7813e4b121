//! How every program reads its settings. YAML with places: every value knows its line and column, and
//! reading goes on after a mistake, so that all of them are told at once instead of one per run.

mod mistakes;
mod secret;

use std::{fmt, str::FromStr};

use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::Spanned;

pub use mistakes::{Mistake, Mistakes, Place, Severity, nearest, suggestion};
pub use secret::SecretReference;

/// A value and its place.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where it stands.
    pub place: Place,
    value: Value,
}

#[derive(Debug, Clone)]
enum Value {
    Null,
    Bool(bool),
    Scalar(String),
    /// Something that YAML takes for a number: where it stands, in characters. What reads it knows
    /// better, and wants `1.10` as it was written.
    Number {
        offset: u64,
        length: u64,
    },
    List(Vec<Node>),
    Map(Vec<(String, Place, Node)>),
}

/// All documents of a file; a file that is no YAML at all is one mistake and no document.
pub fn documents(text: &str, mistakes: &mut Mistakes) -> Vec<Node> {
    match serde_saphyr::from_multiple::<Node>(text) {
        Ok(mut nodes) => {
            nodes.iter_mut().for_each(|node| node.restore(text));
            nodes
        }
        Err(error) => {
            let place = error.location().map_or(Place { line: 0, column: 0 }, |at| Place {
                line: at.line(),
                column: at.column(),
            });
            // The parser's text has a picture of the place over several lines; the first says it.
            let text = error.without_snippet().to_string();
            mistakes.add(place, text.lines().next().unwrap_or("not YAML"));
            Vec::new()
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        let place = Place { line: spanned.referenced.line(), column: spanned.referenced.column() };
        let value = match spanned.value {
            Value::Number { .. } => {
                let span = spanned.defined.span();
                Value::Number { offset: span.offset(), length: span.len() }
            }
            other => other,
        };
        Ok(Self { place, value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Number { offset: 0, length: 0 })
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Number { offset: 0, length: 0 })
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Number { offset: 0, length: 0 })
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Scalar(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let place = Place { line: key.referenced.line(), column: key.referenced.column() };
            entries.push((key.value, place, access.next_value()?));
        }
        Ok(Value::Map(entries))
    }
}

impl Node {
    /// Puts numbers back as they were written.
    fn restore(&mut self, text: &str) {
        match &mut self.value {
            Value::Number { offset, length } => {
                let (offset, length) = (*offset as usize, *length as usize);
                let written: String = text.chars().skip(offset).take(length).collect();
                self.value = Value::Scalar(written.trim().to_owned());
            }
            Value::List(items) => items.iter_mut().for_each(|item| item.restore(text)),
            Value::Map(entries) => entries.iter_mut().for_each(|(.., item)| item.restore(text)),
            Value::Null | Value::Bool(_) | Value::Scalar(_) => {}
        }
    }

    /// The value as a map whose keys are all to be used.
    pub fn map<'m>(self, mistakes: &'m mut Mistakes) -> Option<MapReader<'m>> {
        match self.value {
            Value::Map(entries) => {
                Some(MapReader { place: self.place, entries, known: Vec::new(), mistakes })
            }
            other => {
                mistakes.add(self.place, format!("expected a map of keys, found {}", other.kind()));
                None
            }
        }
    }

    /// The value as a list; a single value counts as a list of one.
    pub fn list(self) -> Vec<Self> {
        match self.value {
            Value::List(items) => items,
            Value::Null => Vec::new(),
            _ => vec![self],
        }
    }

    /// The value parsed from its text.
    pub fn parse<T: FromStr<Err: fmt::Display>>(&self, mistakes: &mut Mistakes) -> Option<T> {
        let text = match &self.value {
            Value::Scalar(text) => text.clone(),
            Value::Bool(value) => value.to_string(),
            other => {
                mistakes
                    .add(self.place, format!("expected a single value, found {}", other.kind()));
                return None;
            }
        };
        text.parse().map_err(|error| mistakes.add(self.place, error)).ok()
    }

    /// The value's text, if it is a single one.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is a map of keys.
    pub fn is_map(&self) -> bool {
        matches!(self.value, Value::Map(_))
    }

    /// The entries of a map with free keys.
    pub fn entries(self, mistakes: &mut Mistakes) -> Vec<(String, Self)> {
        match self.value {
            Value::Map(entries) => entries.into_iter().map(|(key, _, node)| (key, node)).collect(),
            other => {
                mistakes.add(self.place, format!("expected a map of keys, found {}", other.kind()));
                Vec::new()
            }
        }
    }
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Scalar(_) | Self::Number { .. } => "a single value",
            Self::List(_) => "a list",
            Self::Map(_) => "a map of keys",
        }
    }
}

/// Takes keys out of a map one by one; what is left at the end is unknown.
pub struct MapReader<'m> {
    /// Where the map begins.
    pub place: Place,
    entries: Vec<(String, Place, Node)>,
    known: Vec<&'static str>,
    /// Where mistakes go.
    pub mistakes: &'m mut Mistakes,
}

impl MapReader<'_> {
    /// A key's value, if it is there.
    pub fn take(&mut self, key: &'static str) -> Option<Node> {
        self.known.push(key);
        let index = self.entries.iter().position(|(name, ..)| name == key)?;
        Some(self.entries.remove(index).2).filter(|node| !matches!(node.value, Value::Null))
    }

    /// A key's value; a mistake where it is missing.
    pub fn need(&mut self, key: &'static str) -> Option<Node> {
        let node = self.take(key);
        if node.is_none() {
            self.mistakes.add(self.place, format!("the key '{key}' is missing"));
        }
        node
    }

    /// A key's value, parsed, if it is there.
    pub fn optional<T: FromStr<Err: fmt::Display>>(&mut self, key: &'static str) -> Option<T> {
        self.take(key)?.parse(self.mistakes)
    }

    /// A key's value, parsed; a mistake where it is missing.
    pub fn required<T: FromStr<Err: fmt::Display>>(&mut self, key: &'static str) -> Option<T> {
        self.need(key)?.parse(self.mistakes)
    }

    /// A key's list, each item parsed; empty where it is missing.
    pub fn parsed_list<T: FromStr<Err: fmt::Display>>(&mut self, key: &'static str) -> Vec<T> {
        let items = self.take(key).map_or_else(Vec::new, Node::list);
        items.iter().filter_map(|item| item.parse(self.mistakes)).collect()
    }

    /// Ends the map: keys that nobody asked for are mistakes.
    pub fn finish(self) {
        for (key, place, _) in &self.entries {
            let hint = match nearest(key, self.known.iter().copied()) {
                Some(known) => format!("did you mean '{known}'?"),
                None => format!("known here: {}", self.known.join(", ")),
            };
            self.mistakes.add(*place, format!("unknown key '{key}': {hint}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(text: &str, reader: impl FnOnce(&mut MapReader<'_>)) -> Vec<String> {
        let mut mistakes = Mistakes::of(Path::new("x.yaml"));
        for node in documents(text, &mut mistakes) {
            if let Some(mut map) = node.map(&mut mistakes) {
                reader(&mut map);
                map.finish();
                break;
            }
        }
        mistakes.into_vec().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn tells_every_mistake_with_its_place() {
        let found = read("port: x\nhots: a\n", |map| {
            map.required::<u16>("port");
            map.required::<String>("host");
        });
        assert_eq!(
            found,
            [
                "x.yaml:1:7: invalid digit found in string",
                "x.yaml:1:1: the key 'host' is missing",
                "x.yaml:2:1: unknown key 'hots': did you mean 'host'?",
            ]
        );
    }

    #[test]
    fn numbers_keep_their_spelling() {
        let mut seen = Vec::new();
        read("a: 1.10\nb: [007, 1e3]\nc: 0x1F # hex\n", |map| {
            for key in ["a", "b", "c"] {
                seen.extend(map.parsed_list::<String>(key));
            }
        });
        assert_eq!(seen, ["1.10", "007", "1e3", "0x1F"]);
    }

    #[test]
    fn places_hold_in_later_documents() {
        let mut mistakes = Mistakes::of(Path::new("x.yaml"));
        let nodes = documents("a: 1\n---\nb:\n  - c\n", &mut mistakes);
        assert_eq!(nodes.len(), 2);
        assert_eq!(nodes[1].place.line, 3);
    }

    #[test]
    fn broken_yaml_is_one_mistake() {
        let found = read("a: [1, 2\nb: }", |_| {});
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("x.yaml:2:"), "{found:?}");
    }
}
