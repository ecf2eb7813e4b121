//! The objects of the schema of test files.

use serde_json::{Value, json};

use super::parts::{flag, many, object, one_of, part, text};
use crate::cases::Outcome;

/// The objects of test files.
pub(super) fn tests() -> Vec<(String, Value)> {
    let person = object(
        "a person of the cases",
        vec![
            ("id!", part("person", "their name, as an e-mail address")),
            ("groups", many(&part("name", ""), "their groups")),
            ("manager", part("person", "who their manager is")),
            ("disabled", flag("whether they have left")),
        ],
    );
    let resource = object(
        "a resource of the cases",
        vec![
            ("integration!", part("name", "where it lives")),
            ("type!", part("type", "what it is")),
            ("name!", text("what its target calls it")),
            ("tags", json!({"type": "object", "additionalProperties": {"$ref": "#/$defs/scalar"}})),
        ],
    );
    let file = object(
        "cases that try flows out without a broker",
        vec![
            (
                "flows",
                many(&json!({"type": "string"}), "the flow files, relative to this one; else all"),
            ),
            ("people!", many(&part("test_person", ""), "the people of the cases")),
            (
                "delegations",
                many(&part("test_delegation", ""), "who of them speaks in whose place, and when"),
            ),
            ("resources!", many(&part("test_resource", ""), "the resources of the cases")),
            ("cases!", many(&part("Case", ""), "the cases")),
        ],
    );
    let delegation = object(
        "a substitute of the cases",
        vec![
            ("from!", part("person", "who is away")),
            ("to!", part("person", "who speaks in their place")),
            ("since!", text("from when, such as 2026-01-01T00:00:00Z")),
            ("until!", text("until before when; at most 92 days later")),
        ],
    );
    [
        ("TestFile", file),
        ("Case", case()),
        ("test_person", person),
        ("test_delegation", delegation),
        ("test_resource", resource),
    ]
    .map(|(name, schema)| (name.to_owned(), schema))
    .into()
}

fn case() -> Value {
    let outcomes = Outcome::ALL.map(Outcome::as_str);
    object(
        "somebody asks, others say what they say, and something is expected",
        vec![
            ("name!", text("what it shows")),
            ("user!", part("person", "who asks")),
            ("resource!", many(&json!({"type": "string"}), "what for, by id or by name")),
            ("permission", part("name", "which level of access")),
            ("flow", part("name", "through which flow")),
            ("for", part("duration", "for how long")),
            ("reason", text("why")),
            ("ticket", text("the ticket")),
            ("at", text("when, such as 2026-01-05T12:00:00Z, which is the default")),
            ("after", part("duration", "how long after that approvers are looked at and speak")),
            ("approve", many(&part("person", ""), "who says yes, in this order")),
            ("deny", many(&part("person", ""), "who says no then")),
            ("expect!", one_of(&outcomes, "how it must end")),
            ("code", text("with which code it is refused")),
            ("approvers", many(&part("person", ""), "exactly those who can still decide")),
            ("duration", part("duration", "for how long access is")),
            (
                "grants",
                json!({"description": "how many grants it becomes", "type": "integer", "minimum": 1}),
            ),
        ],
    )
}
