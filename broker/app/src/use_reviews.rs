//! Reviews of emergencies: who owes one, what it is to be about, and writing it.

use crate::{
    AppError, Broker, Caller, ClientKey, RequestView,
    audit::{SLACK, event},
};
use ebbgate_broker_ports::store::RequestQuery;
use ebbgate_domain::{
    Timestamp,
    audit::AuditRecord,
    ids::RequestId,
    names::PrincipalId,
    request::{AccessRequest, UseReview},
};

/// How many requests are read at once.
const PAGE: u32 = 200;
/// The longest review, in characters.
const LONGEST_REVIEW: usize = 20_000;

/// How many audit records are read at once.
const RECORDS: u32 = 1_000;

/// Everything about one emergency on one page.
#[derive(Debug)]
pub struct UsePage {
    /// The request with its grants.
    pub view: RequestView,
    /// What the audit log has of it, in order.
    pub records: Vec<AuditRecord>,
}

impl Broker {
    /// The caller's emergencies, or everybody's for those who may read everything, newest first;
    /// only those without a written review where `open`. A page of `limit`, beginning after
    /// `before`.
    ///
    /// # Errors
    /// The caller may not, or the store failed.
    pub async fn use_reviews(
        &self,
        caller: &Caller,
        everyone: bool,
        open: bool,
        before: Option<RequestId>,
        limit: u32,
    ) -> Result<Vec<AccessRequest>, AppError> {
        if everyone && !caller.auditor {
            return Err(AppError::Forbidden { role: "auditor" });
        }
        let whose = (!everyone).then(|| caller.id.clone());
        self.uses(whose, before, limit as usize, |review| !open || review.written.is_none()).await
    }

    /// The oldest emergency of this person whose review is overdue.
    pub(crate) async fn overdue_review(
        &self,
        person: &PrincipalId,
    ) -> Result<Option<RequestId>, AppError> {
        let now = self.now();
        let found = self
            .uses(Some(person.clone()), None, usize::MAX, |review| review.is_overdue(now))
            .await?;
        Ok(found.last().map(|request| request.id))
    }

    async fn uses(
        &self,
        requester: Option<PrincipalId>,
        mut before: Option<RequestId>,
        limit: usize,
        wanted: impl Fn(&UseReview) -> bool + Send + Sync,
    ) -> Result<Vec<AccessRequest>, AppError> {
        let mut found = Vec::new();
        loop {
            let requester = requester.clone();
            let query = RequestQuery { requester, before, limit: PAGE, ..RequestQuery::default() };
            let page = self.store().requests(&query).await?;
            let Some(last) = page.last() else { return Ok(found) };
            before = Some(last.value.id);
            for request in page {
                if request.value.use_review.as_ref().is_some_and(&wanted) {
                    found.push(request.value);
                    if found.len() >= limit {
                        return Ok(found);
                    }
                }
            }
        }
    }

    /// One emergency with its grants and all that the audit log has of it.
    ///
    /// # Errors
    /// There is none, or none for this caller.
    pub async fn use_page(&self, caller: &Caller, id: RequestId) -> Result<UsePage, AppError> {
        let request = self.visible_request(caller, id).await?.value;
        if request.use_review.is_none() {
            return Err(AppError::not_found("break-glass", id));
        }
        let records = self.records_of(&request).await?;
        Ok(UsePage { view: self.view(request).await?, records })
    }

    /// What the audit log has of a request; what came before it was made is never read.
    async fn records_of(&self, request: &AccessRequest) -> Result<Vec<AuditRecord>, AppError> {
        let begin = request.created_at;
        let written = request.use_review.as_ref().and_then(|review| review.written.as_ref());
        let end = written.map_or(Timestamp::MAX, |written| {
            written.at.saturating_add(SLACK).unwrap_or(Timestamp::MAX)
        });
        let (mut found, mut seen) = (Vec::new(), self.records_before(begin).await?);
        loop {
            let page = self.store().audit(seen, RECORDS).await?;
            let Some(last) = page.last() else { return Ok(found) };
            seen = last.seq;
            let past = event(last).is_some_and(|event| event.at > end);
            found.extend(page.into_iter().filter(|record| {
                event(record).is_some_and(|event| event.request == Some(request.id))
            }));
            if past {
                return Ok(found);
            }
        }
    }

    /// Its requester, or an administrator, writes the review of an emergency.
    ///
    /// # Errors
    /// The rule that says no; the refusal is in the audit log.
    pub async fn write_review(
        &self,
        caller: &Caller,
        id: RequestId,
        text: &str,
        key: Option<&ClientKey>,
    ) -> Result<AccessRequest, AppError> {
        let length = text.trim().chars().count();
        if !(1..=LONGEST_REVIEW).contains(&length) {
            let message = format!("write what happened, in 1 to {LONGEST_REVIEW} characters");
            return Err(AppError::invalid("text", message));
        }
        let request = self.visible_request(caller, id).await?.value;
        if request.requester != caller.id && !caller.administrator {
            return Err(AppError::Forbidden { role: "administrator" });
        }
        self.change_request(caller, id, "write review", key, |request, people| {
            request.write_review(&caller.id, text.trim(), people)
        })
        .await
    }
}
