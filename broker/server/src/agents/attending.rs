//! One agent's stream: what is told it first, and what it says until it ends.

use std::{sync::Arc, time::Duration};

use ebbgate_broker_ports::{Outcome, store::AgentRecord};
use ebbgate_domain::{
    Timestamp,
    audit::{Action, Actor},
    clock_offset::ClockState,
    ids::GrantId,
    names::{AgentName, IntegrationName},
};
use ebbgate_proto::v1::{self, agent_message::Message, broker_message};
use futures_util::StreamExt as _;
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::{
    convert::{self, BadMessage},
    hub::{Joined, Pulse},
    questions::{Answer, Question},
    service::{Agents, bad, status},
};

/// How many outcomes of one agent are put on record at once.
const AT_ONCE: usize = 16;
/// An agent says something every ten seconds. One that is silent for so long is gone, whatever its
/// connection looks like.
const SILENCE: Duration = Duration::from_secs(45);

/// An agent that is connected.
#[derive(Clone)]
pub(super) struct Attending {
    agents: Agents,
    record: AgentRecord,
    integrations: Arc<Vec<IntegrationName>>,
}

impl Attending {
    /// Takes up an agent's stream: what stands for it goes out first.
    pub(super) async fn take_up(
        agents: Agents,
        record: AgentRecord,
        hello: &v1::Hello,
    ) -> Result<(Self, Joined), Status> {
        let (broker, hub) = (&agents.broker, &agents.hub);
        let integrations = agents.served_by(&record, hello);
        let record = AgentRecord {
            version: Some(hello.version.chars().take(64).collect()),
            integrations: integrations.clone(),
            ..record
        };
        let (name, id) = (record.name.clone(), record.id);
        // Nothing may be sent into an older stream of its while the orders are read.
        hub.evict(&name);
        let standing = broker.standing(&name, &integrations).await.map_err(status)?;
        let now = broker.now();
        let welcome = v1::Welcome {
            now_ms: now.as_millisecond(),
            orders: standing.orders.iter().map(|order| hub.signed(order, id, now)).collect(),
            integrations: integrations.iter().map(ToString::to_string).collect(),
            elsewhere: standing.elsewhere.iter().map(ToString::to_string).collect(),
        };
        // On record before it gets an order: what is not in the audit log did not connect.
        broker.note_agent(record.clone(), Action::AgentConnected).await.map_err(status)?;
        let pulse = Pulse {
            offset: offset(hello.now_ms, now),
            draining: hello.draining,
            held: u32::try_from(hello.held.len()).unwrap_or(u32::MAX),
        };
        let joined = hub.join(&name, id, integrations.clone(), pulse, welcome);
        // Shut out meanwhile: whoever did it found no stream to end.
        if let Err(refused) = agents.admitted(id).await {
            hub.leave(&name, joined.number);
            return Err(refused);
        }
        tracing::info!(agent.name = %name, orders = standing.orders.len(), "agent connected");
        say_clock(&name, pulse);
        broker.wake();
        tokio::spawn({
            let (broker, integrations) = (broker.clone(), integrations.clone());
            async move {
                if let Err(error) = broker.relieve(&integrations).await {
                    tracing::error!(
                        error = ebbgate_broker_ports::chain(&error),
                        "cannot hand over what absent agents hold; it is tried again when it is due"
                    );
                }
            }
        });
        Ok((Self { agents, record, integrations: Arc::new(integrations) }, joined))
    }

    /// Hears the agent until its stream ends, or is ended.
    pub(super) async fn listen(
        self,
        inbound: Streaming<v1::AgentMessage>,
        number: u64,
        stop: CancellationToken,
    ) {
        let name = self.record.name.clone();
        // An outcome that cannot be put on record ends the stream: the agent keeps it and tells it
        // again when it comes back.
        let hear = |message: Result<v1::AgentMessage, Status>| {
            let this = self.clone();
            async move { this.hear(message?, number).await }
        };
        let mut heard = inbound.map(hear).buffer_unordered(AT_ONCE);
        let reason = loop {
            // What is being put on record when it ends is told again, and changes nothing then.
            let next = tokio::select! {
                () = stop.cancelled() => break "the broker ended it".to_owned(),
                next = tokio::time::timeout(SILENCE, heard.next()) => next,
            };
            match next {
                Ok(Some(Ok(()))) => {}
                Ok(Some(Err(error))) => break error.message().to_owned(),
                Ok(None) => break "the agent ended it".to_owned(),
                Err(_) => break format!("nothing was heard for {} s", SILENCE.as_secs()),
            }
        };
        tracing::info!(agent.name = %name, reason, "an agent's stream ends");
        drop(heard);
        let Self { agents, record, .. } = self;
        agents.hub.leave(&name, number);
        if let Err(error) = agents.broker.note_agent(record, Action::AgentDisconnected).await {
            tracing::error!(agent.name = %name, error = ebbgate_broker_ports::chain(&error), "cannot note that an agent left");
        }
    }

    async fn hear(&self, message: v1::AgentMessage, number: u64) -> Result<(), Status> {
        match message.message {
            Some(Message::Outcome(outcome)) => self.outcome(outcome).await,
            Some(Message::CredentialOutcome(outcome)) => {
                let grant = convert::grant(&outcome.grant_id).map_err(bad)?;
                let question = Question::Credential(grant, outcome.seq);
                self.answered(question, Answer::Credential(outcome));
                Ok(())
            }
            Some(Message::SessionsFound(found)) => {
                self.answered(Question::Numbered(found.query), Answer::Sessions(found));
                Ok(())
            }
            Some(Message::SessionEnded(ended)) => {
                self.answered(Question::Numbered(ended.query), Answer::Ended(ended));
                Ok(())
            }
            Some(Message::Heartbeat(heartbeat)) => {
                self.heartbeat(heartbeat, number);
                Ok(())
            }
            Some(Message::SweepReport(report)) => self.sweep(report).await,
            Some(Message::OrphanRemoved(orphan)) => self.orphan(orphan).await,
            Some(Message::Hello(_)) => Err(Status::invalid_argument("Hello comes once")),
            // A newer agent may say what this broker does not know yet.
            None => Ok(()),
        }
    }

    fn answered(&self, question: Question, answer: Answer) {
        self.agents.hub.answered(&self.record.name, question, answer);
    }

    fn heartbeat(&self, heartbeat: v1::Heartbeat, number: u64) {
        let (name, now) = (&self.record.name, self.agents.broker.now());
        let (hub, draining) = (&self.agents.hub, heartbeat.draining);
        let pulse = Pulse { offset: offset(heartbeat.now_ms, now), draining, held: heartbeat.held };
        let answer = v1::HeartbeatAnswer { now_ms: now.as_millisecond() };
        hub.tell(name, broker_message::Message::HeartbeatAnswer(answer));
        let Some(before) = hub.beat(name, number, pulse) else { return };
        if before.clock() != pulse.clock() {
            say_clock(name, pulse);
        }
        if before.draining != draining {
            tracing::info!(agent.name = %name, draining, "the agent says whether it takes new grants");
        }
        if before.draining != draining || before.clock() != pulse.clock() {
            // What waited for an agent that takes new grants may go on.
            self.agents.broker.wake();
        }
    }

    async fn sweep(&self, report: v1::SweepReport) -> Result<(), Status> {
        let by = Actor::Agent(self.record.name.clone());
        let report = convert::sweep(report, by).map_err(bad)?;
        if !self.integrations.contains(&report.integration) {
            return Err(bad(BadMessage("integration of its own")));
        }
        self.agents.broker.record_drift(report).await.map_err(status)
    }

    async fn outcome(&self, message: v1::Outcome) -> Result<(), Status> {
        let (grant, seq, outcome) = convert::outcome(message).map_err(bad)?;
        let torn_down = matches!(outcome, Outcome::TornDown { .. });
        let broker = &self.agents.broker;
        if !broker.is_on(grant, &self.integrations).await.map_err(status)? {
            tracing::warn!(agent.name = %self.record.name, grant.id = %grant, "an outcome for a grant that is not this agent's");
            return self.recorded(grant, seq, torn_down);
        }
        let actor = Actor::Agent(self.record.name.clone());
        broker.record_outcome(grant, seq, outcome, actor, broker.now()).await.map_err(status)?;
        self.recorded(grant, seq, torn_down)
    }

    fn recorded(&self, grant: GrantId, seq: u64, torn_down: bool) -> Result<(), Status> {
        let recorded = v1::OutcomeRecorded { seq, grant_id: grant.to_string(), torn_down };
        let message = broker_message::Message::OutcomeRecorded(recorded);
        // Where it left meanwhile, it tells the outcome again, which changes nothing.
        self.agents.hub.tell(&self.record.name, message);
        Ok(())
    }

    async fn orphan(&self, orphan: v1::OrphanRemoved) -> Result<(), Status> {
        let integration: IntegrationName =
            orphan.integration.parse().map_err(|_| bad(BadMessage("integration")))?;
        if !self.integrations.contains(&integration) {
            return Err(bad(BadMessage("integration of its own")));
        }
        let grant = convert::grant(&orphan.grant_id).map_err(bad)?;
        let finding =
            orphan.finding.ok_or(BadMessage("finding")).and_then(convert::finding).map_err(bad)?;
        let actor = Actor::Agent(self.record.name.clone());
        let broker = &self.agents.broker;
        broker.record_orphan(&integration, grant, &finding, actor).await.map_err(status)?;
        let recorded = v1::OrphanRecorded {
            integration: integration.to_string(),
            grant_id: grant.to_string(),
        };
        let message = broker_message::Message::OrphanRecorded(recorded);
        // Where it left meanwhile it tells that again: once too often on record, and not never.
        self.agents.hub.tell(&self.record.name, message);
        Ok(())
    }
}

#[cfg(test)]
mod tests;

/// How far an agent's clock is ahead. The way that its message took makes it look late by as much.
fn offset(agent_ms: i64, now: Timestamp) -> SignedDuration {
    SignedDuration::from_millis(agent_ms.saturating_sub(now.as_millisecond()))
}

fn say_clock(name: &AgentName, pulse: Pulse) {
    let offset_ms = pulse.offset.as_millis();
    match pulse.clock() {
        ClockState::Ok => {
            tracing::info!(agent.name = %name, offset_ms, "the agent's clock is right")
        }
        ClockState::Alarm => {
            tracing::error!(agent.name = %name, alarm = "clock-offset", offset_ms, "the agent's clock is off: set it right");
        }
        ClockState::Refused => {
            tracing::error!(agent.name = %name, alarm = "clock-offset", offset_ms, "the agent's clock is far off: it gets no new grants until it is set right");
        }
    }
}
