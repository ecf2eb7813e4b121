//! Why a use case said no, for the person who asked.

use ebbgate_broker_ports::{FlowMistake, StoreError};
use ebbgate_connector_api::ConnectorError;
use ebbgate_domain::{flow_set::FlowSet, refusal::Refusal};

/// Why a use case said no.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A rule of the domain.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The caller lacks the role.
    #[error("this needs the role {role}")]
    Forbidden {
        /// The role.
        role: &'static str,
    },
    /// There is no such thing, or not for this caller.
    #[error("there is no {what} {id}")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// Fields that make no sense.
    #[error("{}", summary(.0))]
    Invalid(Vec<Mistake>),
    /// The idempotency key was used for something else.
    #[error("this Idempotency-Key was used for another request")]
    KeyReused,
    /// The answer held a secret, which is not kept: it can't be given twice.
    #[error("this was done already, and its answer is not kept: ask with a new Idempotency-Key")]
    KeySpent,
    /// An enrolment token that is unknown, spent or too old.
    #[error("the enrolment token is unknown, spent or expired: ask for a new one")]
    TokenRefused,
    /// Flows cannot be applied where they are in files.
    #[error(
        "this broker reads its flows from files: change those and reload it, or write `flows: \
         applied` into its settings, restart it and apply them"
    )]
    FlowsInFiles,
    /// Flows were applied since one looked.
    #[error("{}", changed(.since.as_deref()))]
    FlowsChanged {
        /// What is in force; none where that is nothing or not known.
        since: Option<Box<FlowSet>>,
    },
    /// Mistakes in flows.
    #[error("{}", mistakes(.0))]
    FlowMistakes(Vec<FlowMistake>),
    /// Nobody knows which flows are in force.
    #[error(
        "the flows that were applied last are not believed: nothing can be asked for until an \
         administrator applies flows again"
    )]
    FlowsUnknown,
    /// A target said no or did not answer.
    #[error("the target did not do it")]
    Connector(#[source] ConnectorError),
    /// The store.
    #[error("the broker could not save or read its records")]
    Store(#[from] StoreError),
}

/// One field that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Which field.
    pub field: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Mistake {
    /// A mistake in a field.
    pub fn new(field: impl Into<String>, message: impl ToString) -> Self {
        Self { field: field.into(), message: message.to_string() }
    }
}

fn summary(mistakes: &[Mistake]) -> String {
    let all: Vec<_> = mistakes.iter().map(|m| format!("{}: {}", m.field, m.message)).collect();
    all.join("; ")
}

fn changed(since: Option<&FlowSet>) -> String {
    let again = "plan again, and apply what still holds";
    match since {
        Some(set) => {
            let FlowSet { number, by, at, .. } = set;
            format!(
                "{by} applied flows at {at:.0} (number {number}) after this was planned: {again}"
            )
        }
        None => format!("what is in force is not what this was planned against: {again}"),
    }
}

fn mistakes(mistakes: &[FlowMistake]) -> String {
    let all: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    all.join("; ")
}

impl AppError {
    /// One mistake.
    pub fn invalid(field: &str, message: impl ToString) -> Self {
        Self::Invalid(vec![Mistake::new(field, message)])
    }

    /// Nothing of that id.
    pub fn not_found(what: &'static str, id: impl ToString) -> Self {
        Self::NotFound { what, id: id.to_string() }
    }
}
