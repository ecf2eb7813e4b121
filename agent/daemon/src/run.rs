//! `run`: everything wired together. First the journal, then what is overdue, then the timers, and
//! only then the broker.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use ebbgate_agent_core::AgentState;
use ebbgate_connector_api::Lack;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Notify, mpsc},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{Clocks, SystemClocks},
    identity::AgentDir,
    journal::{Damage, Journal},
    keeper::{Keeper, Ways},
    renewal::Renewal,
    settings::{Connectors, Settings},
    telemetry::chain,
    uplink::Uplink,
};

/// How long the last reports may take to reach the broker.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// It can't start.
pub(crate) async fn run(settings: &Settings) -> anyhow::Result<()> {
    let dir = AgentDir::new(&settings.dir);
    let _lock = dir.lock()?;
    let clocks: Arc<dyn Clocks> = Arc::new(SystemClocks::open().context("cannot read the clocks")?);
    let connectors = settings.connectors()?;
    let (journal, recovered) = Journal::open(dir.path())?;
    tell_damage(&recovered.damage);
    check_identity(&dir, &recovered.state)?;
    tell_missing_connectors(&recovered.state, &connectors);

    let stop = stop_on_signal()?;
    let (events, inbox) = mpsc::unbounded_channel();
    let agent = settings.agent(recovered.state);
    let redial = Arc::new(Notify::new());
    let mut keeper = Keeper::new(
        agent,
        journal,
        connectors.clone(),
        Arc::clone(&clocks),
        Ways {
            events: events.clone(),
            redial: Arc::clone(&redial),
            draining: dir.draining(),
            sweep_every: settings.sweep.every,
        },
    );
    keeper.start();
    tracing::info!(dir = %dir.path().display(), integrations = connectors.len(), "running");

    let broker = &settings.broker;
    let renewal = Renewal::new(broker.clone(), dir.clone(), clocks, Arc::clone(&redial));
    let renewal = Arc::new(renewal);
    let renewing = tokio::spawn(Arc::clone(&renewal).run());
    let hang_up = CancellationToken::new();
    let uplink = Uplink { broker: broker.clone(), dir, events, renewal, redial };
    let mut uplink = tokio::spawn(uplink.run(hang_up.clone()));
    tokio::spawn(check_targets(connectors));

    keeper.run(inbox, stop).await;
    // The stream ends with the keeper's last words; a broker that does not answer is not waited for.
    renewing.abort();
    hang_up.cancel();
    if timeout(LAST_WORDS, &mut uplink).await.is_err() {
        uplink.abort();
    }
    tracing::info!("stopped");
    Ok(())
}

fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let told = stop.clone();
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        told.cancel();
    });
    Ok(stop)
}

/// An agent that holds something runs even without its identity: it has deadlines to keep.
fn check_identity(dir: &AgentDir, state: &AgentState) -> anyhow::Result<()> {
    match dir.enrolment() {
        Ok(agent) => tracing::info!(agent.name = %agent.name, agent.id = %agent.id, "enrolled"),
        Err(error) if state.held().next().is_none() => return Err(error.into()),
        Err(error) => tracing::error!(
            alarm = "not-enrolled",
            error = chain(&error),
            "running without an identity, to end what is held"
        ),
    }
    Ok(())
}

fn tell_damage(damage: &[Damage]) {
    for damage in damage {
        match damage {
            Damage::TornEnd { at } => tracing::warn!(
                at,
                "the journal's last record is not whole: the agent or the machine died while it was written"
            ),
            Damage::Unreadable { at, reason } => tracing::error!(
                alarm = "journal-damaged",
                at,
                reason,
                "a record of the journal cannot be read and is left out; the file is kept as journal.damaged"
            ),
        }
    }
}

fn tell_missing_connectors(state: &AgentState, connectors: &Connectors) {
    let missing = state
        .held()
        .filter(|held| held.is_open() && !connectors.contains_key(&held.spec.integration));
    for held in missing {
        tracing::error!(
            alarm = "integration-missing",
            grant.id = %held.spec.grant,
            integration = %held.spec.integration,
            "a grant is held on an integration that is not in the settings any more: put it back, so that it can be torn down"
        );
    }
}

async fn check_targets(connectors: Connectors) {
    for (integration, connector) in connectors {
        match connector.check().await.map_err(|error| error.chain()) {
            Ok(lacks) if lacks.is_empty() => {
                tracing::info!(%integration, "the target is there, with the needed rights");
            }
            Ok(lacks) => {
                for Lack { what, cure } in lacks {
                    tracing::warn!(%integration, cure, "the target lacks something: {what}");
                }
            }
            Err(error) => tracing::warn!(%integration, error, "the target cannot be used yet"),
        }
    }
}
