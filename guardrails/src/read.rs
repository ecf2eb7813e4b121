//! Reading guardrails from files: every mistake with its place, and nothing half.

use std::{collections::BTreeSet, path::Path, str::FromStr as _};

use cedar_policy::{
    Authorizer, Effect, Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator,
};
use ebbgate_settings::{Mistakes, Place};
use miette::Diagnostic;

use crate::{CedarGuardrails, SCHEMA};

/// What lets everything through that no guardrail forbids; not an operator's.
const PERMIT: &str = "permit (principal, action, resource);";

/// Collects guardrails from files.
#[derive(Debug, Default)]
pub struct Reader {
    found: Vec<Policy>,
    ids: BTreeSet<String>,
}

impl Reader {
    /// Reads one file; what is wrong with it goes to `mistakes`.
    pub fn read(&mut self, file: &Path, text: &str, mistakes: &mut Mistakes) {
        let policies = match PolicySet::from_str(text) {
            Ok(policies) => policies,
            Err(errors) => {
                for error in errors.iter() {
                    mistakes.add(place(text, error), said(error));
                }
                return;
            }
        };
        if policies.templates().next().is_some() {
            mistakes.add(NOWHERE, "a guardrail has no slots: write the names themselves");
        }
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for (number, policy) in in_order(&policies).into_iter().enumerate() {
            let given = policy.annotation("id").map(ToOwned::to_owned);
            let id = given.unwrap_or_else(|| format!("{stem}-{}", number + 1));
            if policy.effect() == Effect::Permit {
                let message = format!("'{id}' permits: guardrails only forbid, flows permit");
                mistakes.add(NOWHERE, message);
                continue;
            }
            if !self.ids.insert(id.clone()) {
                mistakes.add(NOWHERE, format!("the guardrail '{id}' is defined twice"));
                continue;
            }
            let policy = policy.new_id(PolicyId::new(&id));
            for message in invalid(&policy, text) {
                mistakes.add(message.0, format!("'{id}': {}", message.1));
            }
            self.found.push(policy);
        }
    }

    /// All that was read, if it can be put together.
    ///
    /// # Errors
    /// What Cedar says; never for guardrails without mistakes.
    pub fn finish(self) -> Result<CedarGuardrails, Box<dyn std::error::Error + Send + Sync>> {
        let mut policies = PolicySet::new();
        policies.add(Policy::parse(Some(PolicyId::new("permit")), PERMIT)?)?;
        for policy in self.found {
            policies.add(policy)?;
        }
        Ok(CedarGuardrails { schema: schema()?, policies, authorizer: Authorizer::new() })
    }
}

const NOWHERE: Place = Place { line: 0, column: 0 };

fn schema() -> Result<Schema, Box<dyn std::error::Error + Send + Sync>> {
    let (schema, _) = Schema::from_cedarschema_str(SCHEMA)?;
    Ok(schema)
}

/// Cedar numbers policies as they stand in the file: `policy0`, `policy1`, …
fn in_order(policies: &PolicySet) -> Vec<Policy> {
    let mut all: Vec<_> = policies.policies().cloned().collect();
    let number = |policy: &Policy| -> usize {
        policy.id().to_string().trim_start_matches("policy").parse().unwrap_or(usize::MAX)
    };
    all.sort_by_key(number);
    all
}

/// What the schema says against a policy.
fn invalid(policy: &Policy, text: &str) -> Vec<(Place, String)> {
    let mut alone = PolicySet::new();
    let schema = match (alone.add(policy.clone()), schema()) {
        (Ok(()), Ok(schema)) => schema,
        (Err(error), _) => return vec![(NOWHERE, error.to_string())],
        (_, Err(error)) => return vec![(NOWHERE, error.to_string())],
    };
    let result = Validator::new(schema).validate(&alone, ValidationMode::Strict);
    result.validation_errors().map(|error| (place(text, error), said(error))).collect()
}

/// Cedar names its own id of the policy in each text; ours stands before it already.
fn said(error: &dyn Diagnostic) -> String {
    let message = error.to_string();
    let message = message.lines().next().unwrap_or_default();
    let message = match message.strip_prefix("for policy `").and_then(|rest| rest.split_once("`, "))
    {
        Some((_, rest)) => rest,
        None => message,
    };
    match error.help() {
        Some(help) => format!("{message} ({help})"),
        None => message.to_owned(),
    }
}

/// Line and column of what an error points at.
fn place(text: &str, error: &dyn Diagnostic) -> Place {
    let Some(label) = error.labels().and_then(|mut labels| labels.next()) else { return NOWHERE };
    let before = text.get(..label.offset()).unwrap_or(text);
    let line = before.matches('\n').count() as u64 + 1;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    Place { line, column: before[start..].chars().count() as u64 + 1 }
}
