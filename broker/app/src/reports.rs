//! Reports: gathers the facts that they are made from, page by page, and lets the pure core judge.

use ebbgate_broker_ports::{Snapshot, store::RequestQuery};
use ebbgate_domain::{
    Timestamp,
    report::{self, Facts, Refusals, Report, ReportName, Terms, Usage},
};

use crate::{
    AppError, Broker, Caller,
    audit::{event, require_auditor},
};

/// How many requests are read at once.
const PAGE: u32 = 200;
/// How many audit records are read at once.
const RECORDS: u32 = 1_000;

impl Broker {
    /// These reports, in their order, all as of the same moment. What was asked and what was refused
    /// since the time that is looked back to is read once for all of them.
    ///
    /// # Errors
    /// The caller may not read everything, or the store failed.
    pub async fn reports(
        &self,
        caller: &Caller,
        names: &[ReportName],
        terms: &Terms,
    ) -> Result<Vec<Report>, AppError> {
        require_auditor(caller)?;
        let (now, snapshot) = (self.now(), self.snapshot());
        let since = terms.since.before(now);
        let reads = |what: fn(ReportName) -> bool| names.iter().copied().any(what);
        let usage = match reads(ReportName::reads_requests) {
            true => self.usage(since).await?,
            false => Usage::default(),
        };
        let refusals = match reads(ReportName::reads_refusals) {
            true => self.refusals(since).await?,
            false => Refusals::default(),
        };
        let substitutes = self.substitutes(now).await?;
        let Snapshot { policies, inventory, administrators, auditors, .. } = &*snapshot;
        let facts = Facts {
            policies,
            people: snapshot.people(&substitutes, now),
            inventory,
            roles: &[("administrators", administrators), ("auditors", auditors)],
            usage: &usage,
            refusals: &refusals,
            records_begin: self.records_begin().await?,
            terms,
        };
        Ok(names.iter().map(|name| report::report(*name, &facts)).collect())
    }

    /// What was asked since then, and what goes on from before. The ids of requests are in the order
    /// of their making, so that what is older is never read.
    async fn usage(&self, since: Timestamp) -> Result<Usage, AppError> {
        let mut usage = Usage::default();
        let mut query = RequestQuery { limit: PAGE, ..RequestQuery::default() };
        'all: loop {
            let page = self.store().requests(&query).await?;
            let Some(last) = page.last() else { return Ok(usage) };
            query.before = Some(last.value.id);
            for request in page {
                if request.value.created_at < since {
                    break 'all;
                }
                usage.take(&request.value);
            }
        }
        let mut query = RequestQuery { open: true, limit: PAGE, ..RequestQuery::default() };
        loop {
            let page = self.store().requests(&query).await?;
            let Some(last) = page.last() else { return Ok(usage) };
            query.before = Some(last.value.id);
            page.iter().for_each(|request| usage.goes_on(&request.value));
        }
    }

    /// What was refused since then.
    async fn refusals(&self, since: Timestamp) -> Result<Refusals, AppError> {
        let mut refusals = Refusals::default();
        let mut seen = self.records_before(since).await?;
        loop {
            let page = self.store().audit(seen, RECORDS).await?;
            let Some(last) = page.last() else { return Ok(refusals) };
            seen = last.seq;
            let near = page.iter().filter(|record| Refusals::may_matter(&record.body));
            near.filter_map(event)
                .filter(|event| event.at >= since)
                .for_each(|event| refusals.take(&event));
        }
    }

    /// When the audit log begins.
    async fn records_begin(&self) -> Result<Option<Timestamp>, AppError> {
        Ok(self.store().audit(0, 1).await?.first().and_then(event).map(|event| event.at))
    }
}
