//! Guardrails as Cedar policies. Everything is permitted until a `forbid` says otherwise; a policy
//! that would permit is refused, because that is what access flows are for.
//!
//! Cedar passes over a policy that fails while it is evaluated. For a `forbid` that would open a
//! door, so here a failure forbids.

mod entities;
mod read;

use cedar_policy::{Authorizer, Decision, Effect, PolicySet, Schema};
use ebbgate_domain::guardrail::{Forbidden, Guardrails, Wanted};

pub use read::Reader;

/// What a guardrail can look at, in Cedar's schema language.
pub const SCHEMA: &str = include_str!("schema.cedarschema");

/// The name that a refusal bears when a guardrail could not be evaluated.
pub const FAILED: &str = "guardrail-failed";

/// Guardrails that were read and checked.
#[derive(Debug)]
pub struct CedarGuardrails {
    schema: Schema,
    policies: PolicySet,
    authorizer: Authorizer,
}

impl CedarGuardrails {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.policies.policies().filter(|policy| policy.effect() == Effect::Forbid).count()
    }

    fn says(&self, id: &str) -> Forbidden {
        let advice = self
            .policies
            .policies()
            .find(|policy| policy.id().to_string() == id)
            .and_then(|policy| policy.annotation("advice"))
            .map(ToOwned::to_owned);
        Forbidden { guardrail: id.to_owned(), advice }
    }
}

impl Guardrails for CedarGuardrails {
    fn forbids(&self, wanted: &Wanted<'_>) -> Option<Forbidden> {
        let asked = match entities::asked(wanted, &self.schema) {
            Ok(asked) => asked,
            Err(error) => {
                let advice = Some(format!("it could not be asked: {error}"));
                return Some(Forbidden { guardrail: FAILED.to_owned(), advice });
            }
        };
        let answer = self.authorizer.is_authorized(&asked.request, &self.policies, &asked.entities);
        if let Some(error) = answer.diagnostics().errors().next() {
            let advice = Some(format!("it could not be evaluated: {error}"));
            return Some(Forbidden { guardrail: FAILED.to_owned(), advice });
        }
        if answer.decision() == Decision::Allow {
            return None;
        }
        let mut ids: Vec<_> = answer.diagnostics().reason().map(ToString::to_string).collect();
        ids.sort();
        Some(self.says(ids.first().map_or(FAILED, String::as_str)))
    }
}

#[cfg(test)]
mod tests;
