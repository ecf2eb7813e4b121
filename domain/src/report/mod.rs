//! Reports on access flows and those who decide: what went stale, what nobody uses, who is gone, who
//! does not look, what could go by itself. Pure: from facts to findings.
//!
//! Requests and refusals are taken up one by one ([`Usage`], [`Refusals`]), so that a report on many
//! needs no more memory than a few bytes for each. What comes out never holds a reason, a ticket or
//! a comment: names, counts and times alone.

mod decision_times;
mod denied;
mod departed;
mod empty_groups;
mod lookback;
mod quantile;
mod refusals;
mod review;
mod ripe;
mod rubber_stamps;
mod unused;
mod usage;

use std::{collections::BTreeMap, fmt, str::FromStr};

use jiff::Timestamp;

use crate::{
    duration::AccessDuration, flow::Policies, inventory::Inventory, people::People,
    principal::Subject,
};

pub use lookback::{InvalidLookback, Lookback};
pub use refusals::Refusals;
pub use usage::Usage;

/// How far reports look back where nothing is said: a quarter, of 90 days.
pub const DEFAULT_LOOKBACK: Lookback = Lookback::days(90);
/// Whoever approves faster than this at the median is taken to decide without looking, where nothing
/// else is said: 30 seconds.
pub const DEFAULT_FAST_SECONDS: u32 = 30;
/// Whoever has a say in so large a part of all decisions decides too often, where nothing else is
/// said: 50 percent.
pub const DEFAULT_SHARE_PERCENT: u8 = 50;
/// How many decisions of a person it takes to judge them, and how many refusals by one rule to
/// point at it, where nothing else is said.
pub const DEFAULT_LEAST_DECISIONS: u64 = 10;
/// How many approvals of a flow it takes to call it ripe, where nothing else is said.
pub const DEFAULT_LEAST_APPROVALS: u64 = 20;
/// The most findings that a report lists.
pub const MOST_FINDINGS: usize = 1_000;
/// How many of a long list a finding names.
const NAMED: usize = 3;

/// What a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReportName {
    /// Flows that nobody has reviewed for long.
    Review,
    /// Flows through which nobody asks.
    Unused,
    /// Groups that flows name and that have no members.
    EmptyGroups,
    /// Approvers who are gone.
    DepartedApprovers,
    /// Approvers who decide in seconds, or in too many cases.
    RubberStamps,
    /// How long decisions take.
    DecisionTimes,
    /// What rules and approvers said no to.
    Denied,
    /// Flows that could approve by themselves.
    Ripe,
}

/// There is no report of that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no report of that name: name one of {}", names())]
pub struct UnknownReport;

/// What a report is to be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How far it looks back.
    pub since: Lookback,
    /// Whoever approves faster than this at the median does not look.
    pub fast: AccessDuration,
    /// A say in so many percent of all decisions is too much; 1 to 100.
    pub share: u8,
    /// How many decisions, approvals or refusals a judgement takes at least; each report's own number
    /// where nothing is said.
    pub least: Option<u64>,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            since: DEFAULT_LOOKBACK,
            fast: AccessDuration::from_seconds(DEFAULT_FAST_SECONDS)
                .unwrap_or(AccessDuration::from_minutes(1)),
            share: DEFAULT_SHARE_PERCENT,
            least: None,
        }
    }
}

/// What reports are made from.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The flows in force.
    pub policies: &'a Policies,
    /// The people, as of now.
    pub people: People<'a>,
    /// The resources.
    pub inventory: &'a Inventory,
    /// Who has which role in the settings, such as `administrators`.
    pub roles: &'a [(&'a str, &'a [Subject])],
    /// What was asked and decided since the time that is looked back to.
    pub usage: &'a Usage,
    /// What was refused since then.
    pub refusals: &'a Refusals,
    /// When the broker's records begin; none where there are none.
    pub records_begin: Option<Timestamp>,
    /// What the report is to be like.
    pub terms: &'a Terms,
}

/// One report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What it is about.
    pub name: ReportName,
    /// What it says in one line.
    pub headline: String,
    /// Since when it looked; none for one that tells how things are now.
    pub since: Option<Timestamp>,
    /// As of when.
    pub at: Timestamp,
    /// What it found; what asks for attention comes first.
    pub findings: Vec<Finding>,
    /// How many findings are not listed because there are too many.
    pub left_out: usize,
    /// How many findings ask for attention, those that are not listed too.
    pub attention: usize,
    /// What it cannot tell, where there is such a thing.
    pub note: Option<String>,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// About what: `flow data-shop`, `group:dba`, `user:ben@example.com` …
    pub about: String,
    /// What was found.
    pub fact: String,
    /// Since when, where that is known.
    pub since: Option<Timestamp>,
    /// Why that matters.
    pub why: &'static str,
    /// What to do.
    pub advice: String,
    /// Whether somebody should do something, or this is only to be known.
    pub attention: bool,
    /// The same in numbers, for programs; the names tell the units.
    pub figures: BTreeMap<&'static str, u64>,
}

/// Makes one report.
pub fn report(name: ReportName, facts: &Facts<'_>) -> Report {
    match name {
        ReportName::Review => review::report(facts),
        ReportName::Unused => unused::report(facts),
        ReportName::EmptyGroups => empty_groups::report(facts),
        ReportName::DepartedApprovers => departed::report(facts),
        ReportName::RubberStamps => rubber_stamps::report(facts),
        ReportName::DecisionTimes => decision_times::report(facts),
        ReportName::Denied => denied::report(facts),
        ReportName::Ripe => ripe::report(facts),
    }
}

impl ReportName {
    /// All of them, in the order of an overview.
    pub const ALL: [Self; 8] = [
        Self::Review,
        Self::Unused,
        Self::EmptyGroups,
        Self::DepartedApprovers,
        Self::RubberStamps,
        Self::DecisionTimes,
        Self::Denied,
        Self::Ripe,
    ];

    /// Its name in the API and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Review => "review",
            Self::Unused => "unused",
            Self::EmptyGroups => "empty-groups",
            Self::DepartedApprovers => "departed-approvers",
            Self::RubberStamps => "rubber-stamps",
            Self::DecisionTimes => "decision-times",
            Self::Denied => "denied",
            Self::Ripe => "ripe",
        }
    }

    /// What it is about, in a few words.
    pub fn about(self) -> &'static str {
        match self {
            Self::Review => "flows that nobody has reviewed for a quarter",
            Self::Unused => "flows through which nobody asks",
            Self::EmptyGroups => "groups that are named and have no members",
            Self::DepartedApprovers => "approvers who are gone",
            Self::RubberStamps => "approvers who decide in seconds, or in too many cases",
            Self::DecisionTimes => "how long decisions take",
            Self::Denied => "what rules and approvers say no to, and what nobody decides",
            Self::Ripe => "flows that could approve by themselves",
        }
    }

    /// Whether it looks at requests.
    pub fn reads_requests(self) -> bool {
        !matches!(self, Self::Review | Self::EmptyGroups)
    }

    /// Whether it looks at refusals.
    pub fn reads_refusals(self) -> bool {
        self == Self::Denied
    }
}

impl fmt::Display for ReportName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for ReportName {
    type Err = UnknownReport;

    fn from_str(text: &str) -> Result<Self, UnknownReport> {
        Self::ALL.into_iter().find(|name| name.as_str() == text).ok_or(UnknownReport)
    }
}

fn names() -> String {
    ReportName::ALL.map(ReportName::as_str).join(", ")
}

impl Facts<'_> {
    /// Now.
    fn now(&self) -> Timestamp {
        self.people.now
    }

    /// Since when it is looked at.
    fn since(&self) -> Timestamp {
        self.terms.since.before(self.now())
    }

    /// How much a judgement takes at least.
    fn least(&self, default: u64) -> u64 {
        self.terms.least.unwrap_or(default).max(1)
    }

    /// A report of these findings.
    fn report(&self, name: ReportName, mut findings: Vec<Finding>, headline: String) -> Report {
        // Stable: what a report puts first stays first among its like.
        findings.sort_by_key(|finding| !finding.attention);
        let attention = findings.iter().filter(|finding| finding.attention).count();
        let left_out = findings.len().saturating_sub(MOST_FINDINGS);
        findings.truncate(MOST_FINDINGS);
        Report {
            name,
            headline,
            since: name.reads_requests().then(|| self.since()),
            at: self.now(),
            findings,
            left_out,
            attention,
            note: None,
        }
    }
}

impl Finding {
    /// A finding that asks for attention, of which it is not known since when.
    fn new(
        about: impl fmt::Display,
        fact: impl Into<String>,
        why: &'static str,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            about: about.to_string(),
            fact: fact.into(),
            since: None,
            why,
            advice: advice.into(),
            attention: true,
            figures: BTreeMap::new(),
        }
    }

    fn since(mut self, since: Option<Timestamp>) -> Self {
        self.since = since;
        self
    }

    fn attention(mut self, attention: bool) -> Self {
        self.attention = attention;
        self
    }

    fn figure(mut self, name: &'static str, value: u64) -> Self {
        self.figures.insert(name, value);
        self
    }
}

/// The first few of a list, and how many more there are.
fn some_of<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let mut items = items.into_iter();
    let mut words: Vec<String> = items.by_ref().take(NAMED).map(|item| item.to_string()).collect();
    match items.count() {
        0 => {}
        more => words.push(format!("{more} more")),
    }
    words.join(", ")
}

/// `1 flow`, `2 flows`.
fn count_of(count: impl TryInto<u64>, one: &str) -> String {
    counted(count.try_into().unwrap_or(u64::MAX), one, &format!("{one}s"))
}

/// `1 person`, `2 people`.
fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests;
