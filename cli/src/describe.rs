//! Requests and grants in words.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::{
    api::{Connect, EndReason, Grant, GrantState, Request, RequestState, Told, WaitingFor},
    output::{Cell, Tone},
    text::{clock, moment},
};

/// `orders/postgres/shop (select), prod/s3/reports (read-only)`
pub(crate) fn what(request: &Request) -> String {
    let items: Vec<String> = request
        .items
        .iter()
        .map(|item| format!("{} ({})", item.resource, item.permission))
        .collect();
    items.join(", ")
}

/// Whom a request waits for: `DBAs (any of ana@x, bo@x) and Security (all of eve@x; approved by zoe@x)`
pub(crate) fn waits_for(groups: &[WaitingFor]) -> String {
    let open = groups.iter().filter(|group| !group.satisfied);
    let texts: Vec<String> = open
        .map(|group| {
            let people = group.waiting_for.join(", ");
            let approved = match group.approved_by.as_slice() {
                [] => String::new(),
                by => format!("; approved by {}", by.join(", ")),
            };
            format!("{} ({} of {people}{approved})", group.group, group.need)
        })
        .collect();
    texts.join(" and ")
}

/// Who was told: `maria@x, 14:03 (Data Team)`, with the step, the one they stand in for, and whether
/// they are still needed.
pub(crate) fn told(told: &Told, now: Timestamp) -> String {
    let mut why = told.group.clone();
    if told.step > 0 {
        why.push_str(&format!(", step {}", told.step));
    }
    if let Some(other) = &told.in_place_of {
        why.push_str(&format!(", for {other}"));
    }
    let gone = told.withdrawn_at.map(|at| format!(", not needed since {}", moment(at, now)));
    format!("{}, {} ({why}){}", told.who, moment(told.at, now), gone.unwrap_or_default())
}

/// What an operator's own permissions consist of.
pub(crate) fn rights(request: &Request) -> Option<String> {
    let own = request.items.iter().filter(|item| !item.rights.is_empty());
    let texts: Vec<_> =
        own.map(|item| format!("{}: {}", item.permission, item.rights.join(", "))).collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// The resources' tags, each once: `data=pii, env=prod`.
pub(crate) fn tags(request: &Request) -> Option<String> {
    let all = request.items.iter().flat_map(|item| &item.tags);
    let texts: BTreeSet<_> = all
        .map(|(key, value)| {
            format!("{key}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        })
        .collect();
    (!texts.is_empty()).then(|| texts.into_iter().collect::<Vec<_>>().join(", "))
}

/// A request's state, with who decided and why it ended.
pub(crate) fn request_state(request: &Request) -> Cell {
    let tone = match request.state {
        RequestState::Active => Tone::Good,
        RequestState::Pending | RequestState::Approved => Tone::Waits,
        RequestState::Denied | RequestState::Lapsed => Tone::Bad,
        RequestState::Ended if request.end_reason == Some(EndReason::Failed) => Tone::Bad,
        _ => Tone::Plain,
    };
    let text = match &request.end_reason {
        Some(reason) => format!("{} ({reason})", request.state),
        None => request.state.to_string(),
    };
    Cell::toned(text, tone)
}

/// When access begins that is approved; none where it has begun.
pub(crate) fn begins(request: &Request, now: Timestamp) -> Option<String> {
    if !request.awaits_activation {
        return None;
    }
    let start = request.starts_at.filter(|start| *start > now);
    Some(match (request.activate_by, start) {
        (Some(by), Some(start)) => format!(
            "`ebb activate {}` lets it begin from {} until {}",
            request.id,
            clock(start, now),
            clock(by, now)
        ),
        (Some(by), None) => {
            format!("`ebb activate {}` lets it begin until {}", request.id, clock(by, now))
        }
        (None, _) => {
            format!("it begins at {}", clock(start.or(request.starts_at).unwrap_or(now), now))
        }
    })
}

/// How the review of an emergency stands.
pub(crate) fn use_review(request: &Request, now: Timestamp) -> Cell {
    match &request.break_glass {
        None => Cell::toned("", Tone::Plain),
        Some(review) => match &review.written {
            Some(written) => Cell::toned(format!("written by {}", written.by), Tone::Good),
            None if review.due_at <= now => {
                Cell::toned(format!("overdue since {}", moment(review.due_at, now)), Tone::Bad)
            }
            None => Cell::toned(format!("due {}", moment(review.due_at, now)), Tone::Waits),
        },
    }
}

/// A grant's state, with why it ended and whether somebody must look at it.
pub(crate) fn grant_state(grant: &Grant) -> Cell {
    let tone = match grant.state {
        _ if grant.stuck => Tone::Bad,
        GrantState::Active => Tone::Good,
        GrantState::Planned | GrantState::Provisioning | GrantState::Revoking => Tone::Waits,
        GrantState::Failed => Tone::Bad,
        _ => Tone::Plain,
    };
    let mut text = grant.state.to_string();
    if let Some(reason) = &grant.end_reason {
        text.push_str(&format!(" ({reason})"));
    }
    if grant.stuck {
        text.push_str(", stuck");
    }
    Cell::toned(text, tone)
}

/// When a grant ends or ended.
pub(crate) fn grant_end(grant: &Grant, now: Timestamp) -> String {
    let at = grant.ended_at.or(grant.deadline);
    at.map(|at| moment(at, now)).unwrap_or_default()
}

/// Whether a grant's access is over, and that in words: `access ended at 14:03:10Z (expired)`.
pub(crate) fn ended(grant: &Grant, now: Timestamp) -> Option<String> {
    let passed = grant.deadline.filter(|deadline| *deadline <= now);
    let over =
        matches!(grant.state, GrantState::Revoking | GrantState::Revoked | GrantState::Failed);
    if !over && passed.is_none() {
        return None;
    }
    let reason = match (&grant.end_reason, passed) {
        (Some(reason), _) => reason.to_string(),
        (None, Some(_)) => EndReason::Expired.to_string(),
        (None, None) => grant.state.to_string(),
    };
    // An expired grant's access ended at its deadline, however long the teardown took to verify.
    let at = match reason.as_str() {
        "expired" => grant.deadline.or(grant.ended_at),
        _ => grant.ended_at,
    };
    Some(match at {
        Some(at) => format!("access ended at {} ({reason})", clock(at, now)),
        None => format!("access ended ({reason})"),
    })
}

/// The command that uses a grant; `profile` is its name in the AWS settings.
pub(crate) fn use_it(grant: &Grant, profile: Option<&str>) -> Option<String> {
    match (&grant.connect, profile) {
        (Some(Connect::Postgres { .. } | Connect::Mysql { .. }), _) => {
            Some(format!("ebb db {}", grant.resource))
        }
        (Some(Connect::Aws { .. }), Some(profile)) => {
            let bucket = grant.resource.splitn(3, '/').nth(2).filter(|_| grant.kind == "s3");
            let command = match bucket {
                Some(bucket) => format!("aws s3 ls s3://{bucket}"),
                None => "aws sts get-caller-identity".to_owned(),
            };
            Some(format!("ebb aws configure && AWS_PROFILE={profile} {command}"))
        }
        _ => None,
    }
}

/// The command that asks for what a grant gave.
pub(crate) fn ask_again(grant: &Grant) -> String {
    format!("ebb request {} --permission {}", grant.resource, grant.permission)
}

#[cfg(test)]
pub(crate) mod tests {
    use rstest::rstest;

    use super::*;
    use crate::lookup::tests::grant;

    #[test]
    fn only_open_groups_are_waited_for() {
        let groups: Vec<WaitingFor> = serde_json::from_value(serde_json::json!([
            {"group": "DBAs", "need": "any", "satisfied": true, "approved_by": ["bo@x"], "waiting_for": ["ana@x"]},
            {"group": "Security", "need": "all", "approved_by": ["zoe@x"], "waiting_for": ["eve@x", "joe@x"]},
            {"group": "Leads", "need": "any", "waiting_for": ["lea@x"]},
        ]))
        .unwrap();
        assert_eq!(
            waits_for(&groups),
            "Security (all of eve@x, joe@x; approved by zoe@x) and Leads (any of lea@x)"
        );
    }

    #[rstest]
    #[case::live("active", None, None, "14:00:00", None)]
    #[case::past_its_deadline(
        "active",
        None,
        None,
        "14:05:00",
        Some("access ended at 14:03:00Z (expired)")
    )]
    #[case::being_torn_down(
        "revoking",
        Some("expired"),
        None,
        "14:05:00",
        Some("access ended at 14:03:00Z (expired)")
    )]
    #[case::released(
        "revoked",
        Some("released"),
        Some("14:01:00"),
        "14:05:00",
        Some("access ended at 14:01:00Z (released)")
    )]
    #[case::revoked_just_now(
        "revoking",
        Some("revoked"),
        None,
        "14:00:00",
        Some("access ended (revoked)")
    )]
    fn says_when_access_ended_and_why(
        #[case] state: &str,
        #[case] reason: Option<&str>,
        #[case] ended_at: Option<&str>,
        #[case] now: &str,
        #[case] expected: Option<&str>,
    ) {
        let at = |time: &str| format!("2026-03-04T{time}Z").parse().unwrap();
        let word = |text: &str| serde_json::from_value(text.into()).unwrap();
        let grant = Grant {
            state: serde_json::from_value(state.into()).unwrap(),
            end_reason: reason.map(word),
            ended_at: ended_at.map(at),
            ..grant(3, "orders/postgres/shop", "select")
        };
        assert_eq!(ended(&grant, at(now)).as_deref(), expected);
    }

    #[test]
    fn says_how_to_use_it() {
        let connect = |value| serde_json::from_value(value).unwrap();
        let database = Grant {
            connect: connect(
                serde_json::json!({"kind": "postgres", "host": "h", "port": 5432, "database": "shop", "user": "u"}),
            ),
            ..grant(1, "orders/postgres/shop", "select")
        };
        assert_eq!(use_it(&database, None).unwrap(), "ebb db orders/postgres/shop");
        let bucket = Grant {
            connect: connect(serde_json::json!({"kind": "aws", "region": "r", "account": "1"})),
            ..grant(1, "prod/s3/reports", "read-only")
        };
        assert_eq!(
            use_it(&bucket, Some("p")).unwrap(),
            "ebb aws configure && AWS_PROFILE=p aws s3 ls s3://reports"
        );
    }
}
