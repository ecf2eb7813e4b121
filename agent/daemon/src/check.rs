//! `check`: whether the integrations in the settings can be used, and what cures what can't. It needs
//! neither the broker nor an enrolment.

use std::{fmt::Write as _, time::Duration};

use ebbgate_connector_api::Lack;
use ebbgate_domain::names::IntegrationName;
use tokio::{task::JoinSet, time::timeout};

use crate::settings::Connectors;

/// How long an integration's target may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was found at each integration, in the order of their names.
pub(crate) struct Checked(Vec<(IntegrationName, Result<Vec<Lack>, String>)>);

/// Asks every target, all at once.
pub(crate) async fn check(connectors: &Connectors) -> Checked {
    let mut asked = JoinSet::new();
    for (integration, connector) in connectors.clone() {
        asked.spawn(async move {
            // The connector's work runs on in a task of its own where it is not waited for.
            let work = tokio::spawn(async move { connector.check().await });
            let found = match timeout(PATIENCE, work).await {
                Ok(Ok(found)) => found.map_err(|error| error.chain()),
                Ok(Err(_)) => Err("the connector broke off".to_owned()),
                Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
            };
            (integration, found)
        });
    }
    let mut found = asked.join_all().await;
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    Checked(found)
}

impl Checked {
    /// Whether each target is there and lacks nothing.
    pub(crate) fn is_good(&self) -> bool {
        self.0.iter().all(|(_, found)| found.as_ref().is_ok_and(Vec::is_empty))
    }

    /// For people: what is missing, and below it what cures it, ready to be copied.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (integration, found) in &self.0 {
            let told = match found {
                Ok(lacks) if lacks.is_empty() => writeln!(text, "{integration}: ok"),
                Ok(lacks) => lacks.iter().try_for_each(|Lack { what, cure }| {
                    writeln!(text, "{integration}: missing: {what}")?;
                    cure.lines().try_for_each(|line| writeln!(text, "    {line}"))
                }),
                Err(error) => writeln!(text, "{integration}: unreachable: {error}"),
            };
            debug_assert!(told.is_ok(), "a text takes everything");
        }
        if self.0.is_empty() {
            text.push_str("there are no integrations in the settings\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::{FakeConnector, connectors};

    #[tokio::test]
    async fn tells_what_is_missing_and_what_cures_it() {
        let target = Arc::new(FakeConnector::default());
        let checked = check(&connectors(&target)).await;
        assert!(checked.is_good());
        assert_eq!(checked.text(), "orders: ok\n");

        let what = "the right to end sessions: live ones would outlast their grants".to_owned();
        let cure = "GRANT pg_signal_backend TO ebbgate;\nGRANT x TO y;".to_owned();
        target.lacks(Lack { what, cure });
        let checked = check(&connectors(&target)).await;
        assert!(!checked.is_good());
        assert_eq!(
            checked.text(),
            "orders: missing: the right to end sessions: live ones would outlast their grants\n    GRANT pg_signal_backend TO ebbgate;\n    GRANT x TO y;\n"
        );

        target.away(true);
        let checked = check(&connectors(&target)).await;
        assert!(!checked.is_good());
        assert!(checked.text().starts_with("orders: unreachable: "), "{}", checked.text());
    }
}
