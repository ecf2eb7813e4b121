//! Why, why not, who could approve, and who can reach what; and that it never says anything else
//! than the rules do.

use jiff::Timestamp;
use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::{
    flow::{
        Access, ApprovalPolicy, ApprovalRule, ApproverGroup, DurationRule, Need, ScopeRef, Voices,
    },
    grant::{Attempts, Grant, GrantState, Plan},
    inventory::ResourceKind,
    principal::{Directory, Subject, tests::person},
    request::AccessRequest,
    scope::{Scope, Selector},
    tags::{TagRule, TagRules},
};

fn id(name: &str) -> PrincipalId {
    format!("{name}@example.com").parse().unwrap()
}

fn directory() -> Directory {
    let mut gone = person("gone", &["data"]);
    gone.disabled = true;
    Directory::new([
        person("ana", &["data"]),
        person("carl", &["data", "contractors"]),
        person("maria", &["dba"]),
        person("eve", &["sales"]),
        gone,
    ])
}

fn resource(native: &str, data: &str) -> Resource {
    Resource {
        id: format!("prod/postgres/{native}").parse().unwrap(),
        integration: "prod".parse().unwrap(),
        kind: ResourceKind::Postgres,
        native: native.to_owned(),
        tags: [("data".to_owned(), data.to_owned())].into(),
    }
}

fn flow(name: &str, approval: ApprovalPolicy) -> AccessFlow {
    let access = Access {
        scope: ScopeRef::Named("pii".parse().unwrap()),
        permissions: vec!["select".parse().unwrap(), "full".parse().unwrap()],
    };
    AccessFlow {
        except: vec!["group:contractors".parse().unwrap()],
        justification: JustificationRule {
            ticket: Some("^OPS-".to_owned()),
            ..JustificationRule::default()
        },
        ..AccessFlow::new(
            name.parse().unwrap(),
            vec!["group:data".parse().unwrap()],
            vec![access],
            approval,
            DurationRule::new("30m".parse().unwrap(), "1h".parse().unwrap()),
        )
    }
}

fn by(who: &str) -> ApprovalPolicy {
    let dbas = ApproverGroup::new("DBAs", Voices::Any, vec![who.parse().unwrap()]);
    ApprovalPolicy::groups(Need::All, vec![dbas], "8h".parse().unwrap())
}

fn people(directory: &Directory) -> People<'_> {
    People::new(directory, Timestamp::UNIX_EPOCH)
}

fn policies(flows: Vec<AccessFlow>) -> Policies {
    let pii = TagRules([("data".to_owned(), TagRule::OneOf(vec!["pii".to_owned()]))].into());
    let scope = Scope {
        name: "pii".parse().unwrap(),
        selector: Selector { tags: pii, ..Selector::integration("prod".parse().unwrap()) },
        except: vec![Selector { patterns: vec!["*-tmp".to_owned()], ..Selector::default() }],
    };
    Policies {
        scopes: [(scope.name.clone(), scope)].into(),
        flows: flows.into_iter().map(|flow| (flow.name.clone(), flow)).collect(),
        ..Policies::default()
    }
}

/// What becomes of a person's question about `select` on the shop's personal data.
fn ask(
    who: &str,
    resource: &Resource,
    duration: Option<&str>,
    approval: ApprovalPolicy,
) -> FlowExplanation {
    let permission = "select".parse().unwrap();
    let question = Question {
        person: &id(who),
        resource,
        permission: Some(&permission),
        duration: duration.map(|text| text.parse().unwrap()),
        overdue_review: None,
    };
    explain_flow(
        &flow("pii", approval.clone()),
        question,
        &policies(vec![flow("pii", approval)]),
        &people(&directory()),
    )
}

/// The deepest findings that don't hold, as `rule: fact`.
fn failed(findings: &[Finding]) -> Vec<String> {
    let failed = findings.iter().filter(|finding| !finding.holds);
    failed
        .flat_map(|finding| {
            let deeper = failed_parts(finding);
            if deeper.is_empty() {
                vec![format!("{}: {}", finding.rule, finding.fact)]
            } else {
                deeper
            }
        })
        .collect()
}

fn failed_parts(finding: &Finding) -> Vec<String> {
    failed(&finding.parts)
}

#[test]
fn an_open_way_tells_who_could_approve() {
    let explained = ask("ana", &resource("shop", "pii"), None, by("group:dba"));
    assert_eq!(failed(&explained.rules), Vec::<String>::new());
    let approval = explained.ways[0].outcome.as_ref().unwrap();
    assert_eq!(approval.tallies[0].groups[0].waiting_for, [id("maria")]);
    assert_eq!(approval.duration, "30m".parse().unwrap());
    assert_eq!(explained.must_say.as_deref(), Some("a ticket that matches ^OPS-"));
}

#[rstest]
#[case::not_in_the_group(
    "eve",
    "shop",
    "pii",
    None,
    "not_a_requester",
    "subject: group:data: eve@example.com is in sales"
)]
#[case::excepted(
    "carl",
    "shop",
    "pii",
    None,
    "not_a_requester",
    "exception: is not one of the exceptions"
)]
#[case::another_tag(
    "ana",
    "shop",
    "open",
    None,
    "resource_out_of_scope",
    "tag: data: wanted pii; it is open"
)]
#[case::an_exception(
    "ana",
    "shop-tmp",
    "pii",
    None,
    "resource_out_of_scope",
    "exceptions: fits none of the exceptions"
)]
#[case::too_long(
    "ana",
    "shop",
    "pii",
    Some("2h"),
    "duration_too_long",
    "duration: 2h is asked for; at most 1h"
)]
fn a_closed_way_tells_the_rule_and_its_facts(
    #[case] who: &str,
    #[case] native: &str,
    #[case] data: &str,
    #[case] duration: Option<&str>,
    #[case] code: &str,
    #[case] fact: &str,
) {
    let explained = ask(who, &resource(native, data), duration, by("group:dba"));
    assert_eq!(explained.ways[0].outcome.as_ref().unwrap_err().code(), code);
    assert_eq!(failed(&explained.rules), [fact]);
}

#[test]
fn nobody_who_could_approve_is_a_rule_that_does_not_hold() {
    let explained = ask("ana", &resource("shop", "pii"), None, by("user:ana@example.com"));
    assert!(!explained.is_open());
    assert!(failed(&explained.rules)[0].starts_with("approval: "), "{explained:?}");
}

#[test]
fn the_rule_that_decides_is_told_with_those_before_it() {
    let resource = resource("shop", "pii");
    let short = |most: &str, policy| ApprovalRule {
        when: serde_json::from_str(&format!(r#"{{"duration_at_most":"{most}"}}"#)).unwrap(),
        policy,
    };
    let mut flow = flow("pii", by("group:dba"));
    flow.rules = vec![short("10m", ApprovalPolicy::Automatic), short("30m", by("group:sales"))];
    let permission = "select".parse().unwrap();
    let question = Question {
        person: &id("ana"),
        resource: &resource,
        permission: Some(&permission),
        duration: None,
        overdue_review: None,
    };
    let policies = policies(vec![flow.clone()]);
    let explained = explain_flow(&flow, question, &policies, &people(&directory()));
    let told: Vec<_> =
        explained.rules[3].parts.iter().map(|part| (part.holds, part.fact.as_str())).collect();
    assert_eq!(
        told,
        [
            (false, "rule 1: at most 10m"),
            (true, "rule 2: at most 30m"),
            (true, "DBAs: eve@example.com"),
        ]
    );
}

#[rstest]
#[case("nobody", "nobody is known as nobody@example.com")]
#[case("gone", "gone@example.com is disabled")]
fn somebody_who_may_do_nothing_is_told_so(#[case] who: &str, #[case] fact: &str) {
    let resource = resource("shop", "pii");
    let question = Question {
        person: &id(who),
        resource: &resource,
        permission: None,
        duration: None,
        overdue_review: None,
    };
    let explained = explain(
        question,
        &policies(vec![flow("pii", ApprovalPolicy::Automatic)]),
        &people(&directory()),
    );
    assert_eq!(explained.person.fact, fact);
    assert!(!explained.is_open());
}

#[test]
fn open_flows_come_first_and_flows_that_do_not_concern_are_left_out() {
    let mut elsewhere = flow("elsewhere", ApprovalPolicy::Automatic);
    elsewhere.requesters = vec!["group:sales".parse().unwrap()];
    elsewhere.access[0].scope = ScopeRef::Everything { everything: "stage".parse().unwrap() };
    let flows = vec![
        elsewhere,
        flow("a-closed", by("user:ana@example.com")),
        flow("b-open", ApprovalPolicy::Automatic),
    ];
    let resource = resource("shop", "pii");
    let person = id("ana");
    let question = Question {
        person: &person,
        resource: &resource,
        permission: None,
        duration: None,
        overdue_review: None,
    };
    let explained = explain(question, &policies(flows), &people(&directory()));
    let names: Vec<_> = explained.flows.iter().map(|flow| flow.flow.as_str()).collect();
    assert_eq!(names, ["b-open", "a-closed"]);
    assert_eq!(explained.flows[0].ways.len(), 2, "each permission that is on offer");
}

#[test]
fn the_reverse_lists_everybody_with_their_ways() {
    let policies = policies(vec![flow("pii", by("group:dba"))]);
    let select = "select".parse().unwrap();
    let shop = resource("shop", "pii");
    let found = reach(&shop, Some(&select), &policies, &people(&directory()));
    let found: Vec<_> = found.iter().map(|reach| reach.person.clone()).collect();
    assert_eq!(found, [id("ana")], "contractors, sales and the disabled cannot");
    assert!(reach(&resource("shop", "open"), None, &policies, &people(&directory())).is_empty());
}

/// Ana's request, which waits.
fn pending() -> AccessRequest {
    let flow =
        AccessFlow { justification: JustificationRule::default(), ..flow("pii", by("group:dba")) };
    let shop = resource("shop", "pii");
    let items =
        [(GrantId::new(Timestamp::UNIX_EPOCH, [1; 10]), &shop, Some("select".parse().unwrap()))];
    let wish = Submission {
        id: RequestId::new(Timestamp::UNIX_EPOCH, [1; 10]),
        requester: &id("ana"),
        flow: &flow,
        items: &items,
        duration: None,
        reason: None,
        ticket: None,
        starts_at: None,
        overdue_review: None,
    };
    let policies = policies(vec![flow.clone()]);
    request::submit(wish, &policies, &people(&directory())).unwrap().state
}

/// The grant that a request becomes.
fn granted(request: &AccessRequest) -> Grant {
    let item = &request.items[0];
    let plan = Plan {
        id: item.grant,
        request: request.id,
        principal: &request.requester,
        resource: &item.resource,
        permission: &item.permission,
        rights: &[],
        flow: &request.flow.name,
        ticket: None,
        duration: request.duration,
        warn: None,
        recorded: false,
    };
    Grant::plan(plan, Timestamp::UNIX_EPOCH)
}

#[test]
fn a_pending_request_waits_for_those_who_can_decide() {
    let request = pending();
    let waits = stuck(&request, &request.tallies(&people(&directory())), &[]);
    assert_eq!(waits[0].fact, "waits for DBAs: maria@example.com");
    assert_eq!(waits[0].until, request.lapses_at);
    let everybody_left = Directory::new([person("ana", &["data"])]);
    let waits = stuck(&request, &request.tallies(&people(&everybody_left)), &[]);
    assert_eq!(waits[0].fact, "nobody of DBAs can decide now");
}

#[test]
fn an_approved_request_waits_for_its_grants_and_tells_what_went_wrong() {
    let mut request = pending();
    request.state = crate::request::RequestState::Approved;
    let mut grant = granted(&request);
    assert_eq!(
        stuck(&request, &[], std::slice::from_ref(&grant))[0].fact,
        "prod/postgres/shop is about to be provisioned"
    );
    grant.state = GrantState::Provisioning(Attempts {
        failed: 3,
        last_error: Some("the agent db-eu is away".to_owned()),
        next_at: Timestamp::UNIX_EPOCH,
        since: Timestamp::UNIX_EPOCH,
    });
    assert_eq!(
        stuck(&request, &[], std::slice::from_ref(&grant))[0].fact,
        "prod/postgres/shop is being provisioned; 3 attempts failed, the last: the agent db-eu is away"
    );
    grant.state = GrantState::Active;
    assert!(stuck(&request, &[], &[grant]).is_empty());
}

proptest! {
    /// The tree and the rules are of one mind: where all findings hold the way is open, and where
    /// one doesn't it is closed.
    #[test]
    fn the_tree_never_contradicts_the_rules(
        who in 0..5_usize,
        native in prop::sample::select(vec!["shop", "shop-tmp"]),
        data in prop::sample::select(vec!["pii", "open"]),
        minutes in 1..120_u32,
        requester in prop::sample::select(vec!["group:data", "group:sales", "everyone"]),
        approver in prop::sample::select(vec!["", "group:dba", "user:ana@example.com", "group:none"]),
        everything: bool,
    ) {
        let who = ["ana", "carl", "maria", "eve", "gone"][who];
        let approval = if approver.is_empty() { ApprovalPolicy::Automatic } else { by(approver) };
        let mut flow = flow("pii", approval);
        flow.requesters = vec![match requester {
            "everyone" => Subject::Everyone,
            other => other.parse().unwrap(),
        }];
        if everything {
            flow.access[0].scope = ScopeRef::Everything { everything: "prod".parse().unwrap() };
        }
        let policies = policies(vec![flow.clone()]);
        let person = id(who);
        let resource = resource(native, data);
        let permission = "select".parse().unwrap();
        let duration = AccessDuration::from_seconds(minutes * 60);
        let question =
            Question { person: &person, resource: &resource, permission: Some(&permission), duration, overdue_review: None };
        let explained = explain_flow(&flow, question, &policies, &people(&directory()));
        let holds = explained.rules.iter().all(|rule| rule.holds);
        prop_assert_eq!(holds, explained.is_open(), "{:#?}", explained);
        let reached = reach(&resource, Some(&permission), &policies, &people(&directory()));
        let within = minutes <= 60;
        prop_assert!(!within || reached.iter().any(|reach| reach.person == person) == explained.is_open());
    }
}
