//! Questions to agents that somebody waits for: a verifier to register, sessions to list, a session
//! to end. What is asked and answered is kept nowhere.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use ebbgate_connector_api::{ConnectorError, Credential, ErrorKind};
use ebbgate_domain::{
    ids::GrantId,
    names::{AgentName, IntegrationName},
    session::LiveSession,
    verifier::Verifier,
};
use ebbgate_proto::v1::{self, broker_message::Message};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{Hub, convert};

/// How long a person waits for a verifier to be registered, and for a session to end.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long an agent may take to list sessions.
const LOOK_PATIENCE: Duration = Duration::from_secs(5);

/// Which answer is waited for. Only the agent that was asked can give it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Question {
    Credential(GrantId, u64),
    Numbered(u64),
}

/// An agent's answer.
pub(super) enum Answer {
    Credential(v1::CredentialOutcome),
    Sessions(v1::SessionsFound),
    Ended(v1::SessionEnded),
}

/// All that is waited for now.
#[derive(Default)]
pub(super) struct Questions {
    last: AtomicU64,
    waiting: Mutex<HashMap<(AgentName, Question), oneshot::Sender<Answer>>>,
}

impl Questions {
    fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Nobody waits for this agent any more: it left.
    pub(super) fn forget(&self, agent: &AgentName) {
        self.waiting.lock().retain(|(asked, _), _| asked != agent);
    }
}

/// Forgets a question when its asker goes on, whatever came of it.
struct Asked<'a> {
    questions: &'a Questions,
    key: (AgentName, Question),
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.questions.waiting.lock().remove(&self.key);
    }
}

impl Hub {
    /// An agent answered. An answer that nobody waits for any more is dropped: whoever asked was
    /// told so, and asks again.
    pub(super) fn answered(&self, agent: &AgentName, question: Question, answer: Answer) {
        let waiting = self.questions.waiting.lock().remove(&(agent.clone(), question));
        if waiting.is_none_or(|waiting| waiting.send(answer).is_err()) {
            tracing::debug!(agent.name = %agent, "nobody waits for this answer any more");
        }
    }

    async fn ask(
        &self,
        agent: &AgentName,
        question: Question,
        message: impl FnOnce(ebbgate_domain::ids::AgentId) -> Message,
        doing: &str,
        patience: Duration,
    ) -> Result<Answer, ConnectorError> {
        let (sender, receiver) = oneshot::channel();
        let asked = Asked { questions: &self.questions, key: (agent.clone(), question) };
        self.questions.waiting.lock().insert(asked.key.clone(), sender);
        let failed = |kind, why: String| Err(ConnectorError::new(kind, doing).because(why));
        if !self.tell_signed(agent, message) {
            return failed(ErrorKind::AgentAway, format!("the agent {agent} is not connected"));
        }
        match tokio::time::timeout(patience, receiver).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => failed(ErrorKind::AgentAway, format!("the agent {agent} has just left")),
            Err(_) => {
                let seconds = patience.as_secs();
                let why = format!("the agent {agent} did not answer within {seconds} s");
                failed(ErrorKind::Unreachable, why)
            }
        }
    }

    /// Passes a verifier to an agent and waits for its answer. The verifier is kept nowhere.
    pub(crate) async fn credential(
        &self,
        agent: &AgentName,
        grant: GrantId,
        seq: u64,
        verifier: &Verifier,
    ) -> Result<Credential, ConnectorError> {
        let doing = "register the password's verifier";
        let order = |id| {
            let order = convert::credential_order(grant, seq, verifier, id);
            Message::CredentialOrder(self.key.credential_order(&order))
        };
        match self.ask(agent, Question::Credential(grant, seq), order, doing, PATIENCE).await? {
            Answer::Credential(outcome) => convert::credential(outcome),
            _ => Err(not_understood(doing)),
        }
    }

    /// The live sessions on an integration, as an agent sees them now.
    pub(crate) async fn sessions(
        &self,
        agent: &AgentName,
        integration: &IntegrationName,
    ) -> Result<Vec<LiveSession>, ConnectorError> {
        let doing = "list the sessions under grants";
        let query = self.questions.next();
        let integration = integration.to_string();
        let wanted = |_| Message::SessionsWanted(v1::SessionsWanted { query, integration });
        match self.ask(agent, Question::Numbered(query), wanted, doing, LOOK_PATIENCE).await? {
            Answer::Sessions(found) => convert::sessions(found, doing),
            _ => Err(not_understood(doing)),
        }
    }

    /// Has an agent end one session; whether it was still there.
    pub(crate) async fn end_session(
        &self,
        agent: &AgentName,
        integration: &IntegrationName,
        session: &LiveSession,
    ) -> Result<bool, ConnectorError> {
        let doing = "end the session";
        let query = self.questions.next();
        let order = |_| {
            Message::EndSession(v1::EndSession {
                query,
                integration: integration.to_string(),
                session: Some(convert::session(session)),
            })
        };
        match self.ask(agent, Question::Numbered(query), order, doing, PATIENCE).await? {
            Answer::Ended(ended) => convert::ended(ended, doing),
            _ => Err(not_understood(doing)),
        }
    }
}

fn not_understood(doing: &str) -> ConnectorError {
    ConnectorError::new(ErrorKind::Invalid, doing)
        .because("the agent's answer belongs to another question")
}
