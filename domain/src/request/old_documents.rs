//! Requests as earlier versions wrote them are read, and mean what they meant.

use super::*;
use crate::{
    flow::{ApprovalPolicy, Need, Policies, Voices},
    people::People,
    principal::{Directory, tests::person},
};

/// A pending request as 0.1.0 wrote it, with this in place of its approval.
fn written(quorum: &str) -> String {
    let flow = r#"{"name":"data-shop","requesters":["group:data"],
        "access":[{"scope":"shop","permissions":["select"]}],
        "approval":{"kind":"groups","between":"all","request_timeout":"8h",
            "groups":[{"name":"DBAs","need":"all","of":["group:dba","user:dan@example.com"]}]},
        "duration":{"default":"30m","max":"1h"},
        "justification":{"required":true,"ticket":null}}"#;
    format!(
        r#"{{"id":"req_018cc251f40001010101010101010101","requester":"ana@example.com",
        "flow":{flow},"flow_version":"0123456789ab","items":[],"duration":"30m","reason":"x",
        "ticket":null,{quorum}
        "reviews":[{{"by":"ben@example.com","verdict":"approve","comment":null,"at":"2026-11-23T08:00:00Z"}}],
        "created_at":"2026-11-23T07:00:00Z","lapses_at":"2026-11-23T15:00:00Z",
        "state":{{"state":"pending"}}}}"#
    )
}

const ONE: &str = r#""quorum":{"between":"all","groups":[{"name":"DBAs","need":"all",
    "of":["group:dba"],"everyone":["ben@example.com","dan@example.com"]}]},"#;

fn read(text: &str) -> Result<AccessRequest, serde_json::Error> {
    serde_json::from_str(text)
}

#[test]
fn one_quorum_becomes_a_list() {
    let request = read(&written(ONE)).unwrap();
    let [quorum] = &request.quorums[..] else { panic!("{:?}", request.quorums) };
    assert!(quorum.distinct && quorum.items.is_empty());
    let [group] = &quorum.groups[..] else { panic!("{:?}", quorum.groups) };
    assert_eq!((group.need, group.deny, group.steps.len()), (Voices::All, Need::Any, 0));
    let directory = Directory::new([
        person("ana", &["data"]),
        person("ben", &["dba"]),
        person("dan", &["dba"]),
    ]);
    let people = People::new(&directory, "2026-11-23T09:00:00Z".parse().unwrap());
    let [tally] = &request.tallies(&people)[..] else { panic!("one tally") };
    assert!(!tally.approved);
    assert_eq!(tally.groups[0].approved_by, ["ben@example.com".parse().unwrap()]);
    assert_eq!(tally.groups[0].waiting_for, ["dan@example.com".parse().unwrap()]);
    assert_eq!(request.due_at(), request.lapses_at);
}

#[test]
fn nobody_is_told_anew_of_a_request_from_before() {
    let request = read(&written(ONE)).unwrap();
    let directory = Directory::new([
        person("ana", &["data"]),
        person("ben", &["dba"]),
        person("dan", &["dba"]),
    ]);
    let people = People::new(&directory, "2026-11-23T09:00:00Z".parse().unwrap());
    let flows = [(request.flow.name.clone(), request.flow.clone())].into();
    let policies = Policies { flows, ..Policies::default() };
    let advanced = request.advance(&policies, &people).unwrap();
    assert_eq!(advanced.effects, []);
    let told = advanced.state.told.as_deref().unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].at, request.created_at);
    assert!(advanced.state.advance(&policies, &people).is_none(), "and that is written once");
}

#[test]
fn null_was_automatic_and_nothing_is_an_error() {
    assert_eq!(read(&written(r#""quorum":null,"#)).unwrap().quorums, []);
    assert_eq!(read(&written(r#""quorums":[],"#)).unwrap().quorums, []);
    for wrong in ["", r#""quorum":{},"#, r#""quorum":true,"#, r#""quorum":{"groups":[]},"#] {
        assert!(read(&written(wrong)).is_err(), "{wrong}");
    }
    let twice = format!(r#"{ONE}"quorums":[],"#);
    assert!(read(&written(&twice)).is_err());
}

#[test]
fn a_request_reads_what_it_writes() {
    let request = read(&written(ONE)).unwrap();
    let again = serde_json::to_string(&request).unwrap();
    assert_eq!(read(&again).unwrap(), request);
}

/// A flow that uses nothing new keeps its version, so that nothing seems changed after an update.
#[test]
fn an_untouched_flow_keeps_its_form() {
    let flow = r#"{"name":"data-shop","requesters":["group:data"],"access":[{"scope":"shop","permissions":["select"]}],"approval":{"kind":"groups","between":"all","groups":[{"name":"DBAs","need":"any","of":["group:dba"]}],"request_timeout":"8h"},"duration":{"default":"30m","max":"1h"},"justification":{"required":true,"ticket":null}}"#;
    let read: AccessFlow = serde_json::from_str(flow).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), flow);
}

#[test]
fn a_flow_without_an_approval_is_not_automatic() {
    let flow = r#"{"name":"x","requesters":[],"access":[],"duration":{"default":"30m","max":"1h"},"justification":{"required":true,"ticket":null}}"#;
    assert!(serde_json::from_str::<AccessFlow>(flow).is_err());
    assert!(serde_json::from_str::<ApprovalPolicy>("{}").is_err());
}
