//! What a test can make go wrong.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The faults in force.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Faults {
    /// How long a write to IAM stays without effect, in milliseconds of real time.
    propagation_ms: u64,
    /// Every connection is answered 503.
    down: bool,
    planned: Vec<Planned>,
}

#[derive(Debug, Clone, Serialize)]
struct Planned {
    kind: Fault,
    left: u32,
    /// Only this operation, as `AssumeRole` or `sts:AssumeRole`; all if absent.
    action: Option<String>,
}

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fault {
    /// Refused as too frequent.
    Throttle,
    /// Fails with 500 before it has any effect.
    Fail,
    /// Takes effect, but its answer is lost: the client sees a 500.
    LoseAnswer,
}

/// What `POST /_fake/faults` takes. What is absent stays as it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    propagation_ms: Option<u64>,
    throttle_next: Option<u32>,
    fail_next_5xx: Option<u32>,
    lose_answer_next: Option<u32>,
    action: Option<String>,
    down: Option<bool>,
}

impl Faults {
    /// Applies a change: a count replaces the count that is left for the same action; 0 takes it
    /// away.
    pub(crate) fn change(&mut self, change: &Change) {
        if let Some(ms) = change.propagation_ms {
            self.propagation_ms = ms;
        }
        if let Some(down) = change.down {
            self.down = down;
        }
        for (kind, count) in [
            (Fault::Throttle, change.throttle_next),
            (Fault::Fail, change.fail_next_5xx),
            (Fault::LoseAnswer, change.lose_answer_next),
        ] {
            let Some(left) = count else { continue };
            self.planned.retain(|planned| planned.kind != kind || planned.action != change.action);
            if left > 0 {
                self.planned.push(Planned { kind, left, action: change.action.clone() });
            }
        }
    }

    /// Whether nothing is served.
    pub(crate) fn down(&self) -> bool {
        self.down
    }

    /// How long a write to IAM stays without effect.
    pub(crate) fn propagation(&self) -> Duration {
        Duration::from_millis(self.propagation_ms)
    }

    /// The fault, if any, that is planned for this request; it is used up.
    pub(crate) fn take(&mut self, service: &str, operation: &str) -> Option<Fault> {
        let full = format!("{service}:{operation}");
        let at = self.planned.iter().position(|planned| {
            planned.action.as_ref().is_none_or(|action| action == operation || *action == full)
        })?;
        let planned = &mut self.planned[at];
        planned.left -= 1;
        let kind = planned.kind;
        if planned.left == 0 {
            self.planned.remove(at);
        }
        Some(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(faults: &mut Faults, json: &str) {
        faults.change(&serde_json::from_str(json).unwrap());
    }

    #[test]
    fn faults_are_used_up_by_the_operation_that_they_name() {
        let mut faults = Faults::default();
        change(&mut faults, r#"{"throttle_next": 2, "action": "AssumeRole"}"#);
        change(&mut faults, r#"{"fail_next_5xx": 1, "action": "iam:CreateRole"}"#);
        assert_eq!(faults.take("s3", "GetObject"), None);
        assert_eq!(faults.take("sts", "AssumeRole"), Some(Fault::Throttle));
        assert_eq!(faults.take("iam", "CreateRole"), Some(Fault::Fail));
        assert_eq!(faults.take("iam", "CreateRole"), None);
        assert_eq!(faults.take("sts", "AssumeRole"), Some(Fault::Throttle));
        assert_eq!(faults.take("sts", "AssumeRole"), None);
    }

    #[test]
    fn zero_takes_a_fault_away_and_absent_fields_stay() {
        let mut faults = Faults::default();
        change(&mut faults, r#"{"lose_answer_next": 3, "propagation_ms": 50}"#);
        change(&mut faults, r#"{"down": true}"#);
        assert!(faults.down());
        assert_eq!(faults.propagation(), Duration::from_millis(50));
        assert_eq!(faults.take("s3", "PutObject"), Some(Fault::LoseAnswer));
        change(&mut faults, r#"{"lose_answer_next": 0}"#);
        assert_eq!(faults.take("s3", "PutObject"), None);
    }

    #[test]
    fn a_misspelt_fault_is_an_error() {
        serde_json::from_str::<Change>(r#"{"throttle": 1}"#).unwrap_err();
    }
}
