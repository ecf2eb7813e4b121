//! Reports, as auditors read them.

use serde_json::{Value, json};

use crate::harness::{Broker, Home, assert_exit, stderr, stdout};

fn stale() -> Value {
    json!({
        "name": "review", "about": "flows", "headline": "1 of 2 flows not reviewed for 90d",
        "since": null, "at": "2026-03-04T14:03:10Z", "left_out": 4, "attention": 5, "note": "a note",
        "items": [{
            "about": "flow shop\u{1b}[2J", "fact": "was reviewed last on 2025-01-02",
            "since": "2025-01-02T00:00:00Z", "why": "things change", "advice": "look at it",
            "attention": true, "figures": {"days": 400},
        }],
    })
}

#[test]
fn without_a_name_each_is_a_line() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    let line = |name: &str, attention: u64, note: Option<&str>| {
        json!({
            "name": name, "about": "flows", "headline": format!("{name} says so"),
            "findings": 3, "attention": attention, "note": note,
        })
    };
    let items = [line("review", 3, None), line("unused", 0, Some("not known before May"))];
    broker.answer("GET /reports", 200, json!({ "items": items }));
    let listed = home.ebb(&["admin", "report"]);
    assert_exit(&listed, 0);
    let text = stdout(&listed);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[1].starts_with("review") && lines[1].contains("3          review says so"));
    assert!(lines[2].starts_with("unused") && lines[2].contains("none"), "{text}");
    assert!(stderr(&listed).contains("not known before May"));
}

#[test]
fn with_a_name_it_tells_what_since_when_why_and_what_to_do() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    broker.answer("GET /reports/review", 200, stale());
    let shown = home.ebb(&["admin", "report", "review", "--since", "30d", "--share", "40"]);
    assert_exit(&shown, 0);
    let asked = &broker.calls("GET /reports/review")[0].path;
    assert!(asked.ends_with("/reports/review?since=30d&share=40"), "{asked}");
    let text = stdout(&shown);
    for part in ["was reviewed last", "2025-01-02", "things change", "look at it"] {
        assert!(text.contains(part), "{part} isn't in {text}");
    }
    assert!(!text.contains('\u{1b}'), "{text:?}");
    for part in ["1 of 2 flows not reviewed", "a note", "4 more are not listed"] {
        assert!(stderr(&shown).contains(part), "{part} isn't in {}", stderr(&shown));
    }
}

#[test]
fn programs_get_all_of_it() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    broker.answer("GET /reports/review", 200, stale());
    let shown = home.ebb(&["admin", "report", "review", "--output", "json"]);
    assert_exit(&shown, 0);
    assert_eq!(serde_json::from_str::<Value>(&stdout(&shown)).unwrap(), stale());
    assert_eq!(stderr(&shown), "");
}

#[test]
fn a_slip_is_told_before_anybody_is_asked() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    for slip in [
        ["admin", "report", "stale", "--share", "50"],
        ["admin", "report", "review", "--since", "soon"],
        ["admin", "report", "review", "--share", "0"],
        ["admin", "report", "review", "--least", "0"],
    ] {
        assert_exit(&home.ebb(&slip), 2);
    }
    assert!(stderr(&home.ebb(&["admin", "report", "stale"])).contains("rubber-stamps"));
}
