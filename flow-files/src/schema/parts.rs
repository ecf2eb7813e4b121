//! The objects of the schemas, one function for each reader.

use ebbgate_domain::inventory::ResourceKind;
use serde_json::{Map, Value, json};

/// An object with these keys and no others; those whose names end with `!` must be there.
pub(super) fn object(about: &str, keys: Vec<(&str, Value)>) -> Value {
    let required: Vec<_> = keys.iter().filter_map(|(key, _)| key.strip_suffix('!')).collect();
    let properties: Map<String, Value> = keys
        .iter()
        .map(|(key, schema)| (key.trim_end_matches('!').to_owned(), schema.clone()))
        .collect();
    let mut object = json!({
        "description": about,
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

/// A shared part by its name, with what it is for here.
pub(super) fn part(name: &str, about: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}"), "description": about})
}

/// One, or a list.
pub(super) fn many(schema: &Value, about: &str) -> Value {
    json!({"description": about, "anyOf": [schema, {"type": "array", "items": schema}]})
}

pub(super) fn text(about: &str) -> Value {
    json!({"description": about, "type": "string"})
}

pub(super) fn flag(about: &str) -> Value {
    json!({"description": about, "type": "boolean"})
}

pub(super) fn one_of(words: &[&str], about: &str) -> Value {
    json!({"description": about, "enum": words})
}

fn word(pattern: &str) -> Value {
    json!({"type": "string", "pattern": pattern})
}

/// Parts that several objects use.
pub(super) fn shared() -> Vec<(String, Value)> {
    let kinds = ResourceKind::ALL.map(ResourceKind::as_str);
    let scalar = json!({"type": ["string", "number", "boolean"]});
    [
        ("name", word("^[a-z0-9][a-z0-9._-]{0,62}$")),
        ("duration", word("^([0-9]+d)? ?([0-9]+h)? ?([0-9]+m)? ?([0-9]+s)?$")),
        ("person", word("^[a-z0-9_+=.@-]{2,64}$")),
        ("subject", word("^(user|group):.+$")),
        ("approver", word("^((user|group|on-call):.+|manager|owner)$")),
        ("recipient", word("^((user|group|channel):.+|manager)$")),
        ("type", json!({"enum": kinds})),
        ("scalar", scalar),
    ]
    .into_iter()
    .map(|(name, schema)| (name.to_owned(), schema))
    .collect()
}

fn selector() -> Value {
    object(
        "conditions on a resource; every one that is given must hold",
        vec![
            ("integration", many(&part("name", ""), "one of these integrations")),
            ("type", many(&part("type", ""), "one of these types")),
            (
                "name",
                many(
                    &json!({"type": "string"}),
                    "a name that fits one of these patterns (* and ?)",
                ),
            ),
            ("tags", part("tags", "tags and what each must be")),
        ],
    )
}

fn tags() -> Value {
    let scalar = json!({"$ref": "#/$defs/scalar"});
    let rule = json!({"anyOf": [
        many(&scalar, "one of these values"),
        {"$ref": "#/$defs/tag_rule"},
    ]});
    json!({"type": "object", "additionalProperties": rule})
}

fn tag_rule() -> Value {
    let scalar = json!({"$ref": "#/$defs/scalar"});
    object(
        "a tag that has none of some values, or is there or not",
        vec![
            ("!=", many(&scalar, "none of these values; also where the tag is absent")),
            ("present", flag("there, with whatever value, or absent")),
        ],
    )
}

fn right() -> Value {
    object(
        "a level on a database, or a role",
        vec![
            ("level", text("select, full, ddl or admin")),
            ("database", text("only in this database")),
            ("schema", text("only in this schema (PostgreSQL)")),
            ("role", text("a role that exists on the target")),
        ],
    )
}

fn approver_group() -> Value {
    object(
        "people of whom some must approve",
        vec![
            ("name!", text("how it is called on screens")),
            (
                "need",
                json!({"description": "one member, all, or so many; default any", "anyOf": [
                    {"enum": ["any", "all"]}, {"type": "integer", "minimum": 1},
                ]}),
            ),
            ("of!", many(&part("approver", ""), "its members")),
            (
                "deny",
                one_of(
                    &["any", "all"],
                    "whether one denial is enough, or only all who could approve; default any",
                ),
            ),
            ("escalate", many(&part("step", ""), "who may decide as well, later")),
        ],
    )
}

fn step() -> Value {
    object(
        "more people who may decide when those before have not",
        vec![
            ("after!", part("duration", "how long after the step before")),
            ("to!", many(&part("approver", ""), "who")),
        ],
    )
}

fn groups() -> Value {
    object(
        "approver groups",
        vec![
            ("between", one_of(&["any", "all"], "one group or all; default all")),
            ("groups!", many(&part("approver_group", ""), "the groups")),
            (
                "request_timeout",
                part("duration", "nobody decided within this: it lapses; default 24h"),
            ),
            ("distinct", flag("whether one person counts in one group only; default true")),
            ("claim", part("duration", "for how long a claim pauses escalation; default 15m")),
        ],
    )
}

fn rule() -> Value {
    object(
        "an approval where a condition holds; the last rule has none",
        vec![
            ("when", part("condition", "when it applies")),
            (
                "approval!",
                json!({"description": "who must approve then", "anyOf": [
                    {"const": "automatic"}, {"$ref": "#/$defs/groups"},
                ]}),
            ),
        ],
    )
}

fn condition() -> Value {
    object(
        "all parts that are given must hold",
        vec![
            ("duration_at_most", part("duration", "asked for at most so long")),
            ("duration_over", part("duration", "asked for longer than this")),
            ("permissions", many(&part("name", ""), "one of these permissions")),
            ("tags", part("tags", "the resource's tags")),
            ("hours", part("hours", "asked for within these hours")),
            ("outside_hours", part("hours", "asked for outside these hours")),
        ],
    )
}

fn hours() -> Value {
    let day = "(mon|tue|wed|thu|fri|sat|sun)";
    let time = word("^([01][0-9]|2[0-4]):[0-5][0-9]$");
    object(
        "hours of the week",
        vec![
            ("days!", many(&word(&format!("^{day}(-{day})?$")), "such as mon-fri")),
            ("from!", time.clone()),
            ("to!", time),
            ("zone!", text("a time zone, such as Europe/Berlin")),
        ],
    )
}

fn schedule() -> Value {
    let rotation = object(
        "who takes turns",
        vec![
            ("every!", one_of(&["day", "week"], "how long a turn is")),
            ("handover!", text("09:00 by day, mon 09:00 by week")),
            ("starts", text("a day of the first person's turn, such as 2026-09-30")),
            ("people!", many(&part("person", ""), "in which order")),
        ],
    );
    object(
        "who is on call when",
        vec![
            ("kind!", json!({"const": "Schedule"})),
            ("name!", part("name", "by which approver groups refer to it")),
            ("zone!", text("a time zone, such as Europe/Berlin")),
            ("rotation!", rotation),
            ("overrides", many(&part("override", ""), "exceptions; the last that fits wins")),
        ],
    )
}

fn instead() -> Value {
    object(
        "somebody else for a while",
        vec![
            ("person!", part("person", "who")),
            ("from!", text("from when, such as 2026-12-24 09:00")),
            ("to!", text("until before when")),
        ],
    )
}

/// Objects that stand in lists of flow files.
pub(super) fn parts_of_flows() -> Vec<(String, Value)> {
    [
        ("selector", selector()),
        ("tags", tags()),
        ("tag_rule", tag_rule()),
        ("right", right()),
        ("offer", offer()),
        ("approver_group", approver_group()),
        ("step", step()),
        ("groups", groups()),
        ("rule", rule()),
        ("condition", condition()),
        ("hours", hours()),
        ("override", instead()),
    ]
    .map(|(name, schema)| (name.to_owned(), schema))
    .into()
}

/// The kinds of documents in flow files.
pub(super) fn documents() -> Vec<(&'static str, Value)> {
    vec![
        ("Scope", scope()),
        ("Permission", permission()),
        ("Schedule", schedule()),
        ("AccessFlow", access_flow()),
    ]
}

fn scope() -> Value {
    object(
        "a named selection of resources",
        vec![
            ("kind!", json!({"const": "Scope"})),
            ("name!", part("name", "by which flows refer to it")),
            ("match!", part("selector", "what it selects")),
            ("except", many(&part("selector", ""), "what it leaves out all the same")),
        ],
    )
}

fn permission() -> Value {
    object(
        "a level of access that you define",
        vec![
            ("kind!", json!({"const": "Permission"})),
            ("name!", part("name", "its name; not a built-in one")),
            ("type!", one_of(&["postgres", "mysql"], "for databases of this type")),
            ("rights!", many(&part("right", ""), "what it consists of")),
        ],
    )
}

fn access_flow() -> Value {
    object(
        "who may ask for what, who must approve, for how long",
        vec![
            ("kind!", json!({"const": "AccessFlow"})),
            ("name!", part("name", "its name")),
            (
                "requesters!",
                many(
                    &json!({"anyOf": [part("subject", ""), {"const": "everyone"}]}),
                    "who may ask: group:NAME, user:NAME",
                ),
            ),
            ("except", many(&part("subject", ""), "who may not, though a requester")),
            ("access!", many(&part("offer", ""), "what they may ask for")),
            ("approval!", approval()),
            ("duration!", duration()),
            ("activation", activation()),
            ("justification", justification()),
            ("break_glass", break_glass()),
            (
                "on_change",
                one_of(
                    &["revoke", "keep"],
                    "what becomes of live access of a leaver; default revoke",
                ),
            ),
            ("notify", many(&part("recipient", ""), "whom to tell of its requests")),
            (
                "reviewed",
                object(
                    "who looked last whether it is still right",
                    vec![
                        ("by!", part("person", "who")),
                        ("on!", text("on which day, such as 2026-09-30")),
                    ],
                ),
            ),
        ],
    )
}

fn offer() -> Value {
    object(
        "permissions on the resources of one scope",
        vec![
            ("scope!", part("name", "a scope, or 'everything' beside an integration")),
            ("integration", part("name", "of which everything is meant")),
            ("permissions!", many(&part("name", ""), "such as select or read-only")),
        ],
    )
}

fn approval() -> Value {
    let rules = object(
        "rules, of which the first that fits decides",
        vec![("rules!", many(&part("rule", ""), "in this order; the last holds always"))],
    );
    json!({"description": "who must approve", "anyOf": [
        {"const": "automatic"}, {"$ref": "#/$defs/groups"}, rules,
    ]})
}

fn duration() -> Value {
    object(
        "for how long",
        vec![
            ("default!", part("duration", "where the requester says nothing")),
            ("max!", part("duration", "the longest, extensions included; at most 31d")),
            (
                "per_permission",
                json!({
                    "description": "permissions whose longest is shorter",
                    "type": "object",
                    "additionalProperties": {"$ref": "#/$defs/duration"},
                }),
            ),
            ("extend", flag("whether more time may be asked for")),
            (
                "warn",
                json!({
                    "description": "how long before the end people are warned; default 15m",
                    "anyOf": [{"$ref": "#/$defs/duration"}, {"const": "off"}, {"const": false}],
                }),
            ),
        ],
    )
}

fn activation() -> Value {
    let by_requester = object(
        "when the requester says so",
        vec![
            ("by!", json!({"const": "requester"})),
            ("within!", part("duration", "for how long they may")),
        ],
    );
    json!({"description": "when access begins", "anyOf": [{"const": "at-approval"}, by_requester]})
}

fn justification() -> Value {
    let words = ["off", "optional", "required"];
    let mode = json!({"description": "whether a reason must be given", "anyOf": [
        {"enum": words}, {"const": false},
    ]});
    let map = object(
        "what must be said",
        vec![
            ("mode", mode.clone()),
            ("required", flag("the same as mode: required")),
            (
                "min_length",
                json!({"description": "the fewest letters of a reason", "type": "integer", "minimum": 0, "maximum": 2000}),
            ),
            ("ticket", text("a regular expression that the ticket must match")),
        ],
    );
    json!({"description": "what must be said", "anyOf": [mode, map]})
}

fn break_glass() -> Value {
    object(
        "makes it a flow for emergencies",
        vec![
            ("review_within!", part("duration", "how long after its use a review must be written")),
            ("notify!", many(&part("recipient", ""), "who is told at once")),
        ],
    )
}
