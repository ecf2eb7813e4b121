//! What rules said no to, taken up record by record from the audit log.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{
    audit::{Action, Actor, AuditEvent},
    names::PrincipalId,
};

/// What is refused to somebody who wants access. Other refusals, such as of a vote that does not
/// count, say nothing of flows.
const WISHES: [&str; 3] = ["request", "extend", "activate"];

/// What rules said no to in some time.
#[derive(Debug, Clone, Default)]
pub struct Refusals {
    pub(super) by_rule: BTreeMap<Rule, Refused>,
}

/// A rule that says no.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rule {
    /// The refusal's code.
    pub(super) code: String,
    /// The guardrail, where it was one.
    pub(super) guardrail: Option<String>,
}

/// What one rule said no to.
#[derive(Debug, Clone, Default)]
pub(super) struct Refused {
    /// How often.
    pub(super) count: u64,
    /// To whom.
    pub(super) people: BTreeSet<PrincipalId>,
    /// Through which flows it was asked, where that is known, and how often.
    pub(super) flows: BTreeMap<String, u64>,
    /// When first.
    pub(super) first: Option<Timestamp>,
}

impl Refusals {
    /// Whether a record may be of interest, by its text alone: reading it is the dear part.
    pub fn may_matter(body: &str) -> bool {
        body.contains("request.refused")
    }

    /// Takes up what the audit log has; what is no refusal of a wish is passed over.
    pub fn take(&mut self, event: &AuditEvent) {
        let detail = |name: &str| event.details.get(name).and_then(|value| value.as_str());
        let wish = detail("what").is_some_and(|what| WISHES.contains(&what));
        let Some(code) = detail("code").filter(|_| wish) else { return };
        if event.action != Action::RequestRefused {
            return;
        }
        let guardrail = detail("guardrail").map(ToOwned::to_owned);
        let rule = Rule { code: code.to_owned(), guardrail };
        let refused = self.by_rule.entry(rule).or_default();
        refused.count += 1;
        refused.first = Some(refused.first.map_or(event.at, |known| known.min(event.at)));
        if let Actor::Principal(person) = &event.actor {
            refused.people.insert(person.clone());
        }
        if let Some(flow) = detail("flow") {
            *refused.flows.entry(flow.to_owned()).or_default() += 1;
        }
    }

    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        self.by_rule.values().map(|refused| refused.count).sum()
    }
}
