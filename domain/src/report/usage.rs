//! What was asked and decided, taken up request by request.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    approval::{Review, Told, Verdict},
    names::{FlowName, PrincipalId},
    request::{AccessRequest, Extension, ExtensionState, RequestState},
};

/// What was asked and decided in some time.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    /// By flow, those that are not in force any more too.
    pub(super) flows: BTreeMap<FlowName, FlowUse>,
    /// By who decided.
    pub(super) people: BTreeMap<PrincipalId, Decisions>,
    /// How many requests there were.
    pub(super) requests: u64,
    /// How many decisions people took together: a request or more time, each once.
    pub(super) decided: u64,
}

/// How a flow was used.
#[derive(Debug, Clone, Default)]
pub(super) struct FlowUse {
    /// How many requests were made through it.
    pub(super) requests: u64,
    /// How many of those, and of wishes for more time, people approved.
    pub(super) approved: u64,
    /// How many somebody denied.
    pub(super) denied: u64,
    /// How many nobody decided in time.
    pub(super) lapsed: u64,
    /// The first that was denied or lapsed.
    pub(super) first_no: Option<Timestamp>,
    /// The first that was decided by people.
    pub(super) first_decided: Option<Timestamp>,
    /// How long each decision took, in seconds.
    pub(super) waits: Vec<u64>,
    /// For how long each request was that people approved, in seconds.
    pub(super) asked: Vec<u64>,
    /// Whether access through it goes on, whenever it was asked for.
    pub(super) live: bool,
}

/// What one person decided.
#[derive(Debug, Clone, Default)]
pub(super) struct Decisions {
    /// In how many decisions they had a say.
    pub(super) said: u64,
    /// How long each of their approvals took since they were told, in seconds.
    pub(super) took: Vec<u64>,
    /// When they first did.
    pub(super) first: Option<Timestamp>,
    /// When they last did.
    pub(super) last: Option<Timestamp>,
}

/// What became of something that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It was approved, by people.
    Approved,
    /// Somebody said no.
    Denied,
    /// Nobody decided in time.
    Lapsed,
    /// It waits, was withdrawn, or needed nobody.
    Nothing,
}

/// Something that was asked of approvers: a request, or more time.
#[derive(Debug, Clone, Copy)]
struct Asked<'a> {
    at: Timestamp,
    told: &'a [Told],
    reviews: &'a [Review],
    outcome: Outcome,
}

impl Usage {
    /// Takes up a request that was made in the time that is looked at.
    pub fn take(&mut self, request: &AccessRequest) {
        self.requests += 1;
        let outcome = outcome(request);
        let flow = self.flows.entry(request.flow.name.clone()).or_default();
        flow.requests += 1;
        if outcome == Outcome::Approved {
            flow.asked.push(u64::from(request.duration.seconds()));
        }
        self.decisions(&request.flow.name, Asked::request(request, outcome));
        for extension in &request.extensions {
            self.decisions(&request.flow.name, Asked::extension(extension));
        }
    }

    /// Notes that access goes on that was asked for before the time that is looked at.
    pub fn goes_on(&mut self, request: &AccessRequest) {
        self.flows.entry(request.flow.name.clone()).or_default().live = true;
    }

    fn decisions(&mut self, flow: &FlowName, asked: Asked<'_>) {
        let flow = self.flows.entry(flow.clone()).or_default();
        match asked.outcome {
            Outcome::Approved => flow.approved += 1,
            Outcome::Denied => flow.denied += 1,
            Outcome::Lapsed => flow.lapsed += 1,
            Outcome::Nothing => {}
        }
        if matches!(asked.outcome, Outcome::Denied | Outcome::Lapsed) {
            earlier(&mut flow.first_no, asked.at);
        }
        let decided = matches!(asked.outcome, Outcome::Approved | Outcome::Denied);
        if let Some(last) = asked.reviews.last().filter(|_| decided) {
            flow.waits.push(seconds(asked.at, last.at));
            earlier(&mut flow.first_decided, last.at);
            self.decided += 1;
        }
        for review in asked.reviews {
            let person = self.people.entry(review.by.clone()).or_default();
            earlier(&mut person.first, review.at);
            person.last = person.last.max(Some(review.at));
            if review.verdict == Verdict::Approve {
                person.took.push(seconds(asked.told(review), review.at));
            }
            if decided {
                person.said += 1;
            }
        }
    }
}

impl<'a> Asked<'a> {
    fn request(request: &'a AccessRequest, outcome: Outcome) -> Self {
        let told = request.told.as_deref().unwrap_or_default();
        Self { at: request.created_at, told, reviews: &request.reviews, outcome }
    }

    fn extension(extension: &'a Extension) -> Self {
        let outcome = match extension.state {
            _ if extension.quorums.is_empty() => Outcome::Nothing,
            ExtensionState::Approved => Outcome::Approved,
            ExtensionState::Denied => Outcome::Denied,
            ExtensionState::Lapsed => Outcome::Lapsed,
            ExtensionState::Pending => Outcome::Nothing,
        };
        let told = extension.told.as_deref().unwrap_or_default();
        Self { at: extension.asked_at, told, reviews: &extension.reviews, outcome }
    }

    /// When whoever said this was told of it; when it was asked, where that is not known.
    fn told(&self, review: &Review) -> Timestamp {
        let theirs = self.told.iter().filter(|told| told.who == review.by && told.at <= review.at);
        theirs.map(|told| told.at).min().unwrap_or(self.at)
    }
}

fn outcome(request: &AccessRequest) -> Outcome {
    // Its time to begin is set with the approval, so one that lapsed or was withdrawn later was
    // approved all the same.
    let was_approved = request.activate_by.is_some() || request.activated_at.is_some();
    match request.state {
        _ if request.quorums.is_empty() => Outcome::Nothing,
        RequestState::Denied => Outcome::Denied,
        RequestState::Approved | RequestState::Active | RequestState::Ended { .. } => {
            Outcome::Approved
        }
        RequestState::Lapsed | RequestState::Cancelled if was_approved => Outcome::Approved,
        RequestState::Lapsed => Outcome::Lapsed,
        RequestState::Cancelled | RequestState::Pending => Outcome::Nothing,
    }
}

fn earlier(slot: &mut Option<Timestamp>, at: Timestamp) {
    *slot = Some(slot.map_or(at, |known| known.min(at)));
}

/// From one moment to a later one, in whole seconds; 0 where clocks were set back between them.
fn seconds(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_secs()).unwrap_or(0)
}
