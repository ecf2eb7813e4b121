//! Looking at a target for what bears our mark (I7), and clearing away what may go by now.

use std::sync::Arc;

use ebbgate_connector_api::Connector;
use ebbgate_domain::{Timestamp, names::IntegrationName};
use tokio::sync::mpsc;

use crate::keeper::Event;

/// Looks once; what is found goes to the keeper, who knows which of it belongs to somebody.
pub(crate) async fn sweep(
    integration: IntegrationName,
    connector: Arc<dyn Connector>,
    started: Timestamp,
    events: mpsc::UnboundedSender<Event>,
) {
    match connector.marked().await {
        Ok(marked) => {
            tracing::debug!(integration = %integration, marked = marked.len(), "swept");
            // The agent stops where nobody takes it.
            drop(events.send(Event::Marked { integration: integration.clone(), started, marked }));
        }
        Err(error) => {
            tracing::warn!(integration = %integration, error = error.chain(), "cannot look for what nobody knows");
        }
    }
    if let Err(error) = connector.prune(started).await {
        tracing::warn!(integration = %integration, error = error.chain(), "cannot clear away what may go");
    }
}
