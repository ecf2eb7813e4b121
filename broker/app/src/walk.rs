//! Walking all live grants, page by page, so that memory stays bounded; and going on after one that
//! fails.

use std::fmt;

use ebbgate_broker_ports::{StoreError, store::GrantQuery};
use ebbgate_domain::{grant::Grant, ids::GrantId, names::IntegrationName};

use crate::{AppError, Broker};

/// How many grants are read at once.
const PAGE: u32 = 256;

/// A walk over live grants, newest first.
pub(crate) struct LiveGrants<'a> {
    broker: &'a Broker,
    integrations: &'a [IntegrationName],
    before: Option<GrantId>,
}

impl Broker {
    /// All live grants on these integrations, or on all where none is named.
    pub(crate) fn live_grants<'a>(&'a self, integrations: &'a [IntegrationName]) -> LiveGrants<'a> {
        LiveGrants { broker: self, integrations, before: None }
    }
}

impl LiveGrants<'_> {
    /// The next ones; none at the end. What can't be read is left out.
    pub(crate) async fn next_page(&mut self) -> Result<Option<Vec<Grant>>, StoreError> {
        let query = GrantQuery {
            integrations: self.integrations.to_vec(),
            live: true,
            before: self.before,
            limit: PAGE,
            ..GrantQuery::default()
        };
        let page = self.broker.store().grants(&query).await?;
        let Some(last) = page.last() else { return Ok(None) };
        self.before = Some(last.value.id);
        Ok(Some(page.into_iter().map(|grant| grant.value).collect()))
    }
}

/// What went wrong with single ones among many, while the others were done.
#[derive(Debug, Default)]
pub(crate) struct Failures(Option<AppError>);

impl Failures {
    /// Takes up how it went with one; a failure is logged.
    pub(crate) fn take(&mut self, id: impl fmt::Display, result: Result<(), AppError>) {
        if let Err(error) = result {
            tracing::error!(record.id = %id, error = ebbgate_broker_ports::chain(&error), "one of many could not be done");
            self.0.get_or_insert(error);
        }
    }

    /// The first failure, if there was one.
    pub(crate) fn first(self) -> Result<(), AppError> {
        self.0.map_or(Ok(()), Err)
    }
}
