//! `ebb request`: asks for access and, if wanted, waits for it, telling whom it waits for.

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};

use super::{Context, live_grants, requests};
use crate::{
    api::{
        ApiError, Client, Connect, Grant, GrantState, NewRequest, Request, RequestState, Wanted,
    },
    args, aws_config, clock, describe,
    exit::{Exit, Stop},
    lookup,
    output::{self, Format},
    text::clock,
};

/// A person's approval takes minutes, provisioning a second or two.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub(super) async fn run(context: &Context, args: args::Request) -> Result<Exit> {
    let client = context.client()?;
    let (wish, waiting) = wish(args);
    let request: Request = client.post("/requests", &wish).await?;
    output::note(&format!("asked for {}: {}", describe::what(&request), request.id));
    follow(context, &client, request, &waiting).await
}

/// Waits for a request, if that is wanted, and shows what became of it.
pub(super) async fn follow(
    context: &Context,
    client: &Client,
    request: Request,
    waiting: &args::Waiting,
) -> Result<Exit> {
    let waits = waiting.wait
        || waiting.timeout.is_some()
        || (!waiting.no_wait && io::stdout().is_terminal());
    let until = waiting.timeout.map(|timeout| timeout.after(clock::now()));
    let request = if waits {
        let id = request.id.clone();
        let mut interrupts = signal(SignalKind::interrupt()).context("cannot watch for signals")?;
        let mut watch = Watch::default();
        tokio::select! {
            done = watch.wait(client, request, until) => done?,
            _ = interrupts.recv() => {
                let message = format!("no longer waiting; see `ebb requests show {id}` or `ebb requests cancel {id}`");
                return Err(Stop::new(Exit::WAITS, message).into());
            }
        }
    } else {
        request
    };
    finish(context, client, &request).await
}

fn wish(args: args::Request) -> (NewRequest, args::Waiting) {
    let permission = args.permission;
    let wanted = |id| Wanted { id, permission: permission.clone() };
    let wish = NewRequest {
        resources: args.resources.into_iter().map(wanted).collect(),
        flow: args.flow,
        duration: args.duration.map(|duration| duration.to_string()),
        reason: args.reason,
        ticket: args.ticket,
        starts_at: args.start_at.map(|start| start.0),
    };
    (wish, args.waiting)
}

/// A wait, and what was last told of it.
#[derive(Default)]
struct Watch {
    told: String,
    away: bool,
}

impl Watch {
    /// Waits until nothing more is to come, or until `until`; a broker that is away for a while
    /// is waited for too.
    async fn wait(
        &mut self,
        client: &Client,
        request: Request,
        until: Option<Timestamp>,
    ) -> Result<Request> {
        let path = format!("/requests/{}", request.id);
        let mut request = request;
        let mut pause = FIRST_PAUSE;
        while is_open(&request) {
            if self.tell(&request) {
                pause = FIRST_PAUSE;
            }
            if until.is_some_and(|until| clock::now() >= until) {
                break;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
            match client.get(&path, &[]).await {
                Ok(newer) => {
                    if std::mem::take(&mut self.away) {
                        output::note("the broker is back");
                    }
                    request = newer;
                }
                Err(error) if error.is_transient() => self.tell_away(error),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(request)
    }

    /// Tells what is waited for if that has changed; true if it has.
    fn tell(&mut self, request: &Request) -> bool {
        let text = progress(request, clock::now());
        if text == self.told {
            return false;
        }
        output::note(&text);
        self.told = text;
        true
    }

    fn tell_away(&mut self, error: ApiError) {
        if !std::mem::replace(&mut self.away, true) {
            output::warn(&format!(
                "{:#}; still trying, the request stays",
                anyhow::Error::from(error)
            ));
        }
    }
}

/// Whether something is still to come: a decision, or a grant that is being provisioned.
fn is_open(request: &Request) -> bool {
    match request.state {
        RequestState::Pending => true,
        RequestState::Approved if request.awaits_activation => false,
        RequestState::Approved => {
            request.grants.is_empty() || request.grants.iter().any(lookup::is_coming)
        }
        RequestState::Active => request.grants.iter().any(lookup::is_coming),
        _ => false,
    }
}

fn progress(request: &Request, now: Timestamp) -> String {
    if request.state == RequestState::Pending {
        // Not how long that is from now: each look would tell something new.
        let lapses = request.lapses_at.map(|at| format!("; lapses at {}", clock(at, now)));
        return format!(
            "waits for {}{}",
            describe::waits_for(&request.waiting_for),
            lapses.unwrap_or_default()
        );
    }
    let coming: Vec<String> = request
        .grants
        .iter()
        .filter(|grant| lookup::is_coming(grant))
        .map(|grant| match &grant.last_error {
            Some(error) => format!("{} (attempt {}: {error})", grant.resource, grant.attempts),
            None => grant.resource.clone(),
        })
        .collect();
    if coming.is_empty() {
        return "approved; access is being set up".to_owned();
    }
    format!("approved; access is being set up on {}", coming.join(", "))
}

/// Shows what became of the request, and how it is used.
async fn finish(context: &Context, client: &Client, request: &Request) -> Result<Exit> {
    if context.output.format != Format::Table || request.grants.is_empty() {
        context.output.show(request, requests::sheet)?;
    } else {
        context
            .output
            .show(&request.grants, |grants| super::grants::table(grants).without("WHO"))?;
    }
    let active: Vec<&Grant> =
        request.grants.iter().filter(|grant| lookup::is_active(grant)).collect();
    tell_use(client, &active).await?;
    verdict(request)
}

async fn tell_use(client: &Client, active: &[&Grant]) -> Result<()> {
    let on_aws = |grant: &Grant| matches!(grant.connect, Some(Connect::Aws { .. }));
    let mut live = Vec::new();
    if active.iter().any(|grant| on_aws(grant)) {
        // A profile's name depends on what else is live.
        live = live_grants(client).await?;
        live.retain(|grant| lookup::is_active(grant) && on_aws(grant));
    }
    let profiles = aws_config::profiles(&live)?;
    for grant in active {
        let same = |other: &Grant| {
            (&other.resource, &other.permission) == (&grant.resource, &grant.permission)
        };
        let profile = profiles
            .iter()
            .find(|(_, other)| same(other))
            .map(|(profile, _)| profile.name.as_str());
        if let Some(command) = describe::use_it(grant, profile) {
            output::note(&format!("use it: {command}"));
        }
    }
    Ok(())
}

/// The exit code that tells how far the request is.
fn verdict(request: &Request) -> Result<Exit> {
    let id = &request.id;
    let stop = |exit, message: String| Err(Stop::new(exit, message).into());
    match &request.state {
        RequestState::Pending => stop(
            Exit::WAITS,
            format!(
                "{id} waits for {}: see `ebb requests show {id}`",
                describe::waits_for(&request.waiting_for)
            ),
        ),
        RequestState::Approved if request.awaits_activation => {
            let begins = describe::begins(request, clock::now()).unwrap_or_default();
            stop(Exit::WAITS, format!("{id} is approved: {begins}"))
        }
        RequestState::Denied => {
            let denial = request.reviews.iter().find(|review| review.verdict == "deny");
            let by = denial.map(|review| {
                let comment = review.comment.as_deref().map(|text| format!(": {text}"));
                format!(" by {}{}", review.by, comment.unwrap_or_default())
            });
            stop(Exit::DENIED, format!("{id} was denied{}", by.unwrap_or_default()))
        }
        RequestState::Cancelled => stop(Exit::ERROR, format!("{id} was cancelled")),
        RequestState::Lapsed => stop(
            Exit::EXPIRED,
            format!("{id} has lapsed: nobody decided, or activated it, in time"),
        ),
        _ => {
            let failed = request.grants.iter().find(|grant| grant.state == GrantState::Failed);
            if let Some(grant) = failed {
                let why = grant.last_error.as_deref().unwrap_or("see `ebb grants show`");
                return stop(Exit::ERROR, format!("{} could not be set up: {why}", grant.resource));
            }
            if request.state == RequestState::Ended {
                let reason = request.end_reason.as_ref().map(|reason| format!(" ({reason})"));
                return stop(Exit::EXPIRED, format!("{id} is over{}", reason.unwrap_or_default()));
            }
            if let Some(grant) = request.grants.iter().find(|grant| lookup::is_coming(grant)) {
                output::note(&format!(
                    "{} is being set up: see `ebb grants show {}`",
                    grant.resource, grant.id
                ));
            }
            Ok(Exit::DONE)
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::{exit::exit_of, lookup::tests::grant};

    fn request(state: &str, more: &Value) -> Request {
        let mut request = json!({
            "id": "req_1", "requester": "ana@x", "flow": "f", "state": state, "duration": "30m",
            "items": [{"resource": "orders/postgres/shop", "type": "postgres", "permission": "select"}],
            "created_at": "2026-03-04T14:03:10Z",
        });
        let more = more.as_object().unwrap().clone();
        request.as_object_mut().unwrap().extend(more);
        serde_json::from_value(request).unwrap()
    }

    fn with_grants(state: &str, grants: &[&str]) -> Request {
        let grant = |state: &&str| Grant {
            state: serde_json::from_value((*state).into()).unwrap(),
            ..grant(1, "orders/postgres/shop", "select")
        };
        Request { grants: grants.iter().map(grant).collect(), ..request(state, &json!({})) }
    }

    #[rstest]
    #[case(with_grants("pending", &[]), true)]
    #[case(with_grants("approved", &[]), true)]
    #[case(with_grants("approved", &["provisioning"]), true)]
    #[case(with_grants("active", &["active", "provisioning"]), true)]
    #[case(with_grants("active", &["active", "failed"]), false)]
    #[case(with_grants("ended", &["failed"]), false)]
    #[case(with_grants("denied", &[]), false)]
    fn waits_while_something_is_to_come(#[case] request: Request, #[case] open: bool) {
        assert_eq!(is_open(&request), open);
    }

    #[rstest]
    #[case(with_grants("pending", &[]), Exit::WAITS)]
    #[case(with_grants("denied", &[]), Exit::DENIED)]
    #[case(with_grants("lapsed", &[]), Exit::EXPIRED)]
    #[case(with_grants("cancelled", &[]), Exit::ERROR)]
    #[case(with_grants("active", &["active", "failed"]), Exit::ERROR)]
    #[case(with_grants("ended", &["failed"]), Exit::ERROR)]
    #[case(with_grants("ended", &["revoked"]), Exit::EXPIRED)]
    #[case(with_grants("active", &["active"]), Exit::DONE)]
    #[case(with_grants("approved", &["provisioning"]), Exit::DONE)]
    fn the_exit_code_tells_how_far_it_is(#[case] request: Request, #[case] exit: Exit) {
        assert_eq!(verdict(&request).unwrap_or_else(|error| exit_of(&error)), exit);
    }

    #[test]
    fn a_denial_names_who_and_why() {
        let review = json!({"by": "bo@x", "verdict": "deny", "comment": "use the replica", "at": "2026-03-04T14:03:10Z"});
        let error = verdict(&request("denied", &json!({ "reviews": [review] }))).unwrap_err();
        assert_eq!(error.to_string(), "req_1 was denied by bo@x: use the replica");
    }

    #[test]
    fn tells_whom_it_waits_for_and_what_goes_wrong() {
        let waiting = json!({
            "waiting_for": [{"group": "DBAs", "need": "any", "waiting_for": ["bo@x"]}],
            "lapses_at": "2026-03-04T22:03:10Z",
        });
        let now = "2026-03-04T14:03:10Z".parse().unwrap();
        assert_eq!(
            progress(&request("pending", &waiting), now),
            "waits for DBAs (any of bo@x); lapses at 22:03:10Z"
        );
        let mut coming = with_grants("approved", &["provisioning"]);
        assert_eq!(
            progress(&coming, now),
            "approved; access is being set up on orders/postgres/shop"
        );
        coming.grants[0].last_error = Some("agent db-eu is not connected".into());
        coming.grants[0].attempts = 2;
        assert!(progress(&coming, now).ends_with("shop (attempt 2: agent db-eu is not connected)"));
    }
}
