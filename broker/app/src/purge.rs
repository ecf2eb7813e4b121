//! Removing from the store what nobody needs any more. The audit log keeps what it says of it, for
//! good: nothing of that can be put back.

use ebbgate_broker_ports::store::{AgentRecord, Purged, Stale};
use ebbgate_domain::Timestamp;
use jiff::SignedDuration;

use crate::{AppError, Broker};

/// For how long a call that is repeated under its key gives what it gave.
const KEYS: SignedDuration = SignedDuration::from_hours(24);
/// How long after its end, or after it was spent, an enrolment token is kept.
const TOKENS: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long a retired agent is listed after its last certificate has ended.
const AGENTS: SignedDuration = SignedDuration::from_hours(90 * 24);
/// How many of each kind are removed at once.
const BATCH: u32 = 1_000;

impl Broker {
    /// Removes some of what nobody needs any more; whether there may be more of it.
    ///
    /// # Errors
    /// The store failed.
    pub async fn purge(&self) -> Result<bool, AppError> {
        let now = self.now();
        let forgotten = before(now, AGENTS);
        let agents = self.store().agents().await?;
        let agents = agents.iter().filter(|agent| last_use(agent).is_some_and(|at| at < forgotten));
        let stale = Stale {
            keys_before: before(now, KEYS),
            tokens_before: before(now, TOKENS),
            agents: agents.map(|agent| agent.id).collect(),
        };
        let Purged { keys, tokens, agents } = self.store().purge(&stale, BATCH).await?;
        if keys + tokens + agents > 0 {
            tracing::info!(keys, tokens, agents, "removed what nobody needs any more");
        }
        Ok(keys.max(tokens) >= BATCH.into())
    }
}

fn before(now: Timestamp, age: SignedDuration) -> Timestamp {
    now.saturating_sub(age).unwrap_or(Timestamp::MIN)
}

/// When a retired agent could last have spoken; none for one that still may.
fn last_use(agent: &AgentRecord) -> Option<Timestamp> {
    let revoked = agent.revoked.as_ref().map(|revoked| revoked.at);
    let last = [Some(agent.certificate_expires_at), agent.last_seen, revoked];
    last.into_iter().flatten().max().filter(|_| agent.retired)
}
