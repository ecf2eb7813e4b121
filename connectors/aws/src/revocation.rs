//! The end of a grant: which way it ends, and the look that proves it (I6).

use std::time::Duration;

use ebbgate_connector_api::{Clock, ConnectorError, ErrorKind};
use ebbgate_domain::{
    Timestamp,
    order::{Finding, GrantSpec},
};
use tokio::time::Instant;

use crate::{
    deny::MARGIN,
    probe::{Probe, Seen},
    s3_access::S3Access,
    sessions::Session,
};

/// For how long a look is repeated before the scheduler must come back: IAM's changes were seen to
/// take 3 to 4 seconds.
const PATIENCE: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Which way a grant ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nobody ever got credentials, so there is nothing to end.
    NothingIssued,
    /// STS itself has let all credentials expire.
    Lapsed { at: Timestamp },
    /// The session policy's time deny is in force since the deadline.
    Deadline,
    /// Somebody must deny what is still allowed.
    Early,
}

impl Ending {
    /// How this grant ends now.
    pub(crate) fn of(spec: &GrantSpec, now: Timestamp) -> Self {
        match spec.credentials_until {
            None => Self::NothingIssued,
            Some(until) if now.duration_since(until) >= MARGIN => {
                Self::Lapsed { at: until.min(spec.deadline) }
            }
            Some(_) if now >= spec.deadline => Self::Deadline,
            Some(_) => Self::Early,
        }
    }
}

/// What a probe came to in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) seen: Seen,
    /// When.
    pub(crate) at: Timestamp,
}

impl Look {
    /// For the finding's sentence.
    pub(crate) fn words(self) -> &'static str {
        match self.seen {
            Seen::ExplicitDeny => "a request in its name was refused: explicit deny",
            Seen::Denied => {
                "a request in its name was refused: access denied (no explicit deny seen)"
            }
            Seen::NoBucket => "the bucket does not exist any more",
            Seen::Allowed => "a request in its name was allowed",
        }
    }
}

/// Looks until access is closed.
///
/// A refusal that is no explicit deny may come from a right that the ceiling role lacks for this one
/// request, with others still open. So it counts only when it is all there is to be seen after the
/// time that a deny needs to come into force.
///
/// # Errors
/// `StillPresent` where access is open after [`PATIENCE`]; and as S3 answers.
pub(crate) async fn look_until_closed(
    probe: &Probe,
    access: &S3Access,
    session: &Session,
    clock: &dyn Clock,
) -> Result<Look, ConnectorError> {
    let credentials = session.credentials();
    let give_up = Instant::now() + PATIENCE;
    let mut pause = FIRST_PAUSE;
    loop {
        let seen = probe.look(access.bucket(), &credentials).await?;
        let last = Instant::now() + pause > give_up;
        match seen {
            Seen::ExplicitDeny | Seen::NoBucket => {
                return Ok(Look { seen, at: clock.now() });
            }
            Seen::Denied if last => {
                return Ok(Look { seen, at: clock.now() });
            }
            Seen::Allowed if last => return Err(still_open(access)),
            Seen::Denied | Seen::Allowed => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn still_open(access: &S3Access) -> ConnectorError {
    let doing = format!("see the access to the bucket {} closed", access.bucket());
    ConnectorError::new(ErrorKind::StillPresent, doing).because(format!(
        "a request in the session's name was still allowed after {} s",
        PATIENCE.as_secs()
    ))
}

/// The record of an end.
pub(crate) fn finding(
    checked_at: Timestamp,
    closed_at: Timestamp,
    sessions_ended: u32,
    summary: impl Into<String>,
) -> Finding {
    Finding { checked_at, closed_at, sessions_ended, summary: summary.into() }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::s3_access::tests::spec;

    fn at(time: &str) -> Timestamp {
        format!("2026-05-01T{time}Z").parse().unwrap()
    }

    /// The deadline is 12:30.
    #[rstest]
    #[case::never_used(None, "12:10:00", Ending::NothingIssued)]
    #[case::never_used_late(None, "13:10:00", Ending::NothingIssued)]
    #[case::early(Some("12:30:00"), "12:10:00", Ending::Early)]
    #[case::just_before(Some("12:30:00"), "12:29:59.999", Ending::Early)]
    #[case::deadline(Some("12:30:00"), "12:30:00", Ending::Deadline)]
    #[case::overdue(Some("12:40:00"), "12:44:59", Ending::Deadline)]
    #[case::lapsed(Some("12:40:00"), "12:45:00", Ending::Lapsed { at: at("12:30:00") })]
    #[case::lapsed_early(Some("12:15:00"), "12:20:00", Ending::Lapsed { at: at("12:15:00") })]
    #[case::within_the_margin(Some("12:15:00"), "12:19:59", Ending::Early)]
    fn ways(#[case] until: Option<&str>, #[case] now: &str, #[case] expected: Ending) {
        let spec = GrantSpec { credentials_until: until.map(at), ..spec("read-only", "reports") };
        assert_eq!(Ending::of(&spec, at(now)), expected);
    }
}
