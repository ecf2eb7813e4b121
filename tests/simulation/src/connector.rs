//! The connector's model: the order of a teardown that the real ones keep (log-in away, sessions
//! ended until none is left, role dropped, looked at), a statement at a time, so that a crash may
//! come between any two.

use ebbgate_agent_core::Failure;
use ebbgate_connector_api::Clock;
use ebbgate_domain::{ids::GrantId, order::Finding};

use crate::{kernel::Millis, scenario::Sabotage, server::Server};

/// How often sessions are told to end before a teardown gives up for this time …
const ROUNDS: u32 = 20;
/// … and for how long. The next one takes log-in away anew: a back-up that was restored meanwhile may
/// have brought that back.
const LIMIT: Millis = 10_000;
/// The pause between two looks for sessions.
const PAUSE: u64 = 50;

/// Works on one server.
#[derive(Clone)]
pub struct Connector {
    server: Server,
    sabotage: Option<Sabotage>,
}

impl Connector {
    /// A connector for that server.
    pub fn new(server: Server, sabotage: Option<Sabotage>) -> Self {
        Self { server, sabotage }
    }

    /// Makes the permission exist.
    ///
    /// # Errors
    /// Nobody knows what was done.
    pub async fn provision(&self, grant: GrantId) -> Result<(), Failure> {
        self.server
            .ask("create the role", move |on, now, gone| on.make_role(grant, now, gone))
            .await
    }

    /// Registers a verifier: the account's name.
    ///
    /// # Errors
    /// There is no role that may log in, or nobody knows what was done.
    pub async fn credential(&self, grant: GrantId, verifier: String) -> Result<String, Failure> {
        let set = self
            .server
            .ask("set the password", move |on, _, _| match on.roles.get_mut(&grant) {
                Some(role) if role.login => {
                    role.password = Some(verifier);
                    true
                }
                _ => false,
            })
            .await?;
        if set { Ok(grant.to_string()) } else { Err(Failure::lasting("there is no such role")) }
    }

    /// Ends sessions, removes the role, looks whether both are gone.
    ///
    /// # Errors
    /// It is not done yet.
    pub async fn revoke(&self, grant: GrantId, clock: &dyn Clock) -> Result<Finding, Failure> {
        self.server
            .ask("take log-in away", move |on, _, _| {
                if let Some(role) = on.roles.get_mut(&grant) {
                    role.login = false;
                }
            })
            .await?;
        if self.sabotage == Some(Sabotage::Unverified) {
            return Ok(self.finding(clock, 0, clock.now()));
        }
        let ended = self.end_sessions(grant).await?;
        let closed_at = clock.now();
        self.server.ask("drop the role", move |on, _, _| drop(on.roles.remove(&grant))).await?;
        let left = self.server.ask("look", move |on, _, _| on.has_anything(grant)).await?;
        if left {
            return Err(Failure::passing("the role or a session is still there"));
        }
        Ok(self.finding(clock, ended, closed_at))
    }

    async fn end_sessions(&self, grant: GrantId) -> Result<u32, Failure> {
        let sim = self.server.sim();
        let mut ended = 0;
        let begun = sim.now();
        for _ in 0..ROUNDS {
            if sim.now() - begun >= LIMIT {
                break;
            }
            let after = sim.below(40);
            ended += self
                .server
                .ask("end sessions", move |on, now, _| on.terminate(grant, now, after))
                .await?;
            let none = self
                .server
                .ask("look for sessions", move |on, _, _| {
                    !on.sessions.values().any(|(of, _)| *of == grant)
                })
                .await?;
            if none {
                return Ok(ended);
            }
            sim.sleep(PAUSE).await;
        }
        Err(Failure::passing("sessions come back"))
    }

    /// The grants whose marks are there.
    ///
    /// # Errors
    /// The server did not answer.
    pub async fn marked(&self) -> Result<Vec<GrantId>, Failure> {
        self.server.ask("look for marks", |on, _, _| on.roles.keys().copied().collect()).await
    }

    fn finding(
        &self,
        clock: &dyn Clock,
        sessions_ended: u32,
        closed_at: ebbgate_domain::Timestamp,
    ) -> Finding {
        Finding {
            checked_at: clock.now(),
            closed_at,
            sessions_ended,
            summary: format!("neither role nor session on {}", self.server.integration),
        }
    }
}
