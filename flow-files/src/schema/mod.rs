//! JSON Schema of flow files and of test files, so that editors complete and check them.
//!
//! The readers stay the one truth: tests compare every object here with the keys that its reader
//! asks for, and try the checked-in examples against it.

mod cases;
mod parts;

use serde_json::{Value, json};

use cases::tests;
use parts::documents;

/// Where editors find the schemas from a file beside which they lie.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The schema of flow files: each document is one of the kinds.
pub fn flow_files() -> Value {
    let documents = documents();
    let kinds: Vec<_> = documents.iter().map(|(kind, _)| (*kind).to_owned()).collect();
    let choose: Vec<_> = documents
        .iter()
        .map(|(kind, _)| {
            json!({
                "if": {"properties": {"kind": {"const": kind}}},
                "then": {"$ref": format!("#/$defs/{kind}")},
            })
        })
        .collect();
    sorted(json!({
        "$schema": DIALECT,
        "title": "Ebbgate flow files",
        "type": "object",
        "properties": {"kind": {"enum": kinds}},
        "required": ["kind"],
        "allOf": choose,
        "$defs": defs(documents.into_iter().map(named).chain(parts::parts_of_flows()).collect()),
    }))
}

/// The schema of test files.
pub fn test_files() -> Value {
    sorted(json!({
        "$schema": DIALECT,
        "title": "Ebbgate flow tests",
        "$ref": "#/$defs/TestFile",
        "$defs": defs(tests()),
    }))
}

/// In the order of keys, whatever features of `serde_json` other crates turn on.
fn sorted(mut schema: Value) -> Value {
    schema.sort_all_objects();
    schema
}

fn named((kind, schema): (&str, Value)) -> (String, Value) {
    (kind.to_owned(), schema)
}

/// The named parts with the shared ones.
fn defs(mut named: Vec<(String, Value)>) -> Value {
    named.extend(parts::shared());
    Value::Object(named.into_iter().collect())
}

#[cfg(test)]
mod tests_of_schema;
