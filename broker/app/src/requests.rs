//! Looking at requests.

use ebbgate_broker_ports::store::{GrantQuery, RequestQuery, Versioned};
use ebbgate_domain::{
    Timestamp, approval::Tally, grant::Grant, ids::RequestId, request::AccessRequest,
};

use crate::{AppError, Broker, Caller};

/// A request as its readers see it.
#[derive(Debug, Clone)]
pub struct RequestView {
    /// The request.
    pub request: AccessRequest,
    /// How each approval that it needs stands.
    pub tallies: Vec<Tally>,
    /// Its grants.
    pub grants: Vec<Grant>,
    /// As of when.
    pub now: Timestamp,
}

impl Broker {
    /// One request.
    ///
    /// # Errors
    /// There is none, or none for this caller.
    pub async fn request(&self, caller: &Caller, id: RequestId) -> Result<RequestView, AppError> {
        let request = self.visible_request(caller, id).await?.value;
        self.view(request).await
    }

    /// A request with its approvals and grants.
    ///
    /// # Errors
    /// The store failed.
    pub async fn view(&self, request: AccessRequest) -> Result<RequestView, AppError> {
        let snapshot = self.snapshot();
        let now = self.now();
        let substitutes = self.substitutes(now).await?;
        let tallies = request.tallies(&snapshot.people(&substitutes, now));
        let query = GrantQuery { request: Some(request.id), limit: 1_000, ..GrantQuery::default() };
        let grants =
            self.store().grants(&query).await?.into_iter().map(|grant| grant.value).collect();
        Ok(RequestView { request, tallies, grants, now })
    }

    /// The caller's requests, or everybody's for those who may read everything.
    ///
    /// # Errors
    /// The caller may not, or the store failed.
    pub async fn requests(
        &self,
        caller: &Caller,
        everyone: bool,
        mut query: RequestQuery,
    ) -> Result<Vec<AccessRequest>, AppError> {
        if everyone && !caller.auditor {
            return Err(AppError::Forbidden { role: "auditor" });
        }
        query.requester = (!everyone).then(|| caller.id.clone());
        Ok(self.store().requests(&query).await?.into_iter().map(|request| request.value).collect())
    }

    /// The requests that wait for the caller's decision, newest first; a page of `limit`, beginning
    /// after `before`.
    ///
    /// # Errors
    /// The store failed.
    pub async fn inbox(
        &self,
        caller: &Caller,
        mut before: Option<RequestId>,
        limit: u32,
    ) -> Result<Vec<AccessRequest>, AppError> {
        let snapshot = self.snapshot();
        let now = self.now();
        let substitutes = self.substitutes(now).await?;
        let people = snapshot.people(&substitutes, now);
        let mut waiting = Vec::new();
        loop {
            let query =
                RequestQuery { pending: true, before, limit: 200, ..RequestQuery::default() };
            let page = self.store().requests(&query).await?;
            let Some(last) = page.last() else {
                return Ok(waiting);
            };
            before = Some(last.value.id);
            for request in page {
                if request.value.waits_for(&caller.id, &people) {
                    waiting.push(request.value);
                    if waiting.len() >= limit as usize {
                        return Ok(waiting);
                    }
                }
            }
        }
    }

    /// A request that this caller may see: their own, one they may decide or have decided, or any
    /// for those who read everything. For others there is none.
    pub(crate) async fn visible_request(
        &self,
        caller: &Caller,
        id: RequestId,
    ) -> Result<Versioned<AccessRequest>, AppError> {
        let snapshot = self.snapshot();
        let now = self.now();
        let substitutes = self.substitutes(now).await?;
        let people = snapshot.people(&substitutes, now);
        self.store()
            .request(id)
            .await?
            .filter(|found| {
                let request = &found.value;
                caller.auditor
                    || request.requester == caller.id
                    || request.reviews.iter().any(|review| review.by == caller.id)
                    || request.may_decide(&caller.id, &people)
            })
            .ok_or_else(|| AppError::not_found("request", id))
    }
}
