//! What an agent does on its targets, one effect at a time.

use ebbgate_agent_core::{Done, Effect};
use ebbgate_domain::{ids::GrantId, order::Provisioned, verifier::Verifier};

use crate::{agent::Host, connector::Connector};

/// Carries an effect out and gives its end.
pub(crate) async fn see_through(
    effect: Effect,
    connector: &Connector,
    host: &Host,
) -> (GrantId, Done) {
    let grant = effect.grant();
    let done = match effect {
        Effect::Provision(_) => {
            let done = connector.provision(grant).await;
            Done::Provision(done.map(|()| Provisioned::default()))
        }
        Effect::Revoke(_) => Done::Revoke(connector.revoke(grant, &host.clock).await),
        Effect::Credential { seq, verifier, .. } => {
            Done::Credential { seq, result: connector.credential(grant, text(&verifier)).await }
        }
        Effect::RemoveOrphan { integration, .. } => {
            Done::Orphan { integration, result: connector.revoke(grant, &host.clock).await }
        }
    };
    (grant, done)
}

/// A verifier as the target keeps it.
pub(crate) fn text(verifier: &Verifier) -> String {
    match verifier {
        Verifier::Scram(verifier) => verifier.to_sql_text(),
        Verifier::Mysql(_) => "none of these servers takes it".to_owned(),
    }
}
