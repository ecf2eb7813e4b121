//! Asking for access.

use ebbgate_broker_ports::{Snapshot, StoreError};
use ebbgate_domain::{
    Timestamp,
    duration::AccessDuration,
    ids::{GrantId, RequestId},
    inventory::Resource,
    names::{FlowName, PermissionName},
    offer::choose_flow,
    refusal::Refusal,
    request::{self, AccessRequest, Submission},
};

use crate::{AppError, Broker, Caller, ClientKey, Mistake, draft::Draft};

/// The most resources in one request.
const MOST_ITEMS: usize = 50;
/// The longest reason and ticket, in characters.
pub(crate) const LONGEST_TEXT: usize = 2_000;

/// What somebody asks for, as they wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The resources.
    pub items: Vec<WishItem>,
    /// Through which flow, if they named one.
    pub flow: Option<FlowName>,
    /// For how long, if they said so.
    pub duration: Option<AccessDuration>,
    /// Why.
    pub reason: Option<String>,
    /// The ticket.
    pub ticket: Option<String>,
    /// When access is to begin, where that is later than the approval.
    pub starts_at: Option<Timestamp>,
}

/// One resource of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WishItem {
    /// Its id, or its name where only one bears it.
    pub resource: String,
    /// The permission, if they named one.
    pub permission: Option<PermissionName>,
}

/// What was refused, for the audit log.
pub(crate) struct Refused<'a> {
    /// What somebody wanted to do.
    pub(crate) what: &'a str,
    /// With which request.
    pub(crate) request: Option<RequestId>,
    /// Through which flow, where that is known.
    pub(crate) flow: Option<FlowName>,
}

impl<'a> From<&'a str> for Refused<'a> {
    fn from(what: &'a str) -> Self {
        Self { what, request: None, flow: None }
    }
}

impl Broker {
    /// Asks for access. The flag tells whether the request is new (not a repeated call's).
    ///
    /// # Errors
    /// What makes no sense, or the rule that says no; the refusal is in the audit log.
    pub async fn submit(
        &self,
        caller: &Caller,
        wish: &Wish,
        key: Option<&ClientKey>,
    ) -> Result<(AccessRequest, bool), AppError> {
        if let Some(done) = self.replay(caller, key).await? {
            return Ok((self.done_before(&done).await?, false));
        }
        let mut through = wish.flow.clone();
        let result = self.submit_new(caller, wish, key, &mut through).await;
        match result {
            // Two calls with one key at the same instant: the other one made it.
            Err(AppError::Store(StoreError::KeyUsed)) => match self.replay(caller, key).await? {
                Some(done) => Ok((self.done_before(&done).await?, false)),
                None => Err(AppError::KeyReused),
            },
            Err(AppError::Refused(refusal)) => {
                let refused = Refused { what: "request", request: None, flow: through };
                Err(self.refused(caller, refusal, refused).await)
            }
            other => other.map(|request| (request, true)),
        }
    }

    async fn done_before(&self, id: &str) -> Result<AccessRequest, AppError> {
        let missing = || AppError::not_found("request", id);
        let request = id.parse().map_err(|_| missing())?;
        Ok(self.store().request(request).await?.ok_or_else(missing)?.value)
    }

    async fn submit_new(
        &self,
        caller: &Caller,
        wish: &Wish,
        key: Option<&ClientKey>,
        through: &mut Option<FlowName>,
    ) -> Result<AccessRequest, AppError> {
        let snapshot = self.snapshot();
        if snapshot.policies.unknown {
            return Err(AppError::FlowsUnknown);
        }
        let now = self.now();
        let found = check(wish, &snapshot)?;
        let wanted: Vec<_> =
            found.iter().map(|(resource, permission)| (*resource, permission.as_ref())).collect();
        let flow = match &wish.flow {
            Some(name) => snapshot
                .policies
                .flows
                .get(name)
                .ok_or_else(|| AppError::not_found("flow", name))?,
            None => choose_flow(&caller.id, &wanted, &snapshot.policies, &snapshot.directory)?,
        };
        *through = Some(flow.name.clone());
        let items: Vec<_> = found
            .into_iter()
            .map(|(resource, permission)| {
                (GrantId::new(now, self.ports.ids.entropy()), resource, permission)
            })
            .collect();
        let overdue_review = match flow.break_glass {
            Some(_) => self.overdue_review(&caller.id).await?,
            None => None,
        };
        let submission = Submission {
            id: RequestId::new(now, self.ports.ids.entropy()),
            requester: &caller.id,
            flow,
            items: &items,
            duration: wish.duration,
            reason: wish.reason.as_deref(),
            ticket: wish.ticket.as_deref(),
            starts_at: wish.starts_at,
            overdue_review,
        };
        let substitutes = self.substitutes(now).await?;
        let people = snapshot.people(&substitutes, now);
        let transition = request::submit(submission, &snapshot.policies, &people)?;
        let made = transition.state.clone();
        let mut draft = Draft::default();
        draft.request(self, None, transition, now);
        draft.key(caller, key, made.id, now);
        self.commit(draft).await?;
        Ok(made)
    }

    /// Puts a refusal into the audit log and gives it back as the answer. Where even that fails,
    /// the failure is the answer: nothing happens unrecorded.
    pub(crate) async fn refused(
        &self,
        caller: &Caller,
        refusal: Refusal,
        refused: Refused<'_>,
    ) -> AppError {
        use ebbgate_domain::audit::{Action, Actor, AuditEvent};

        self.ports.meter.refused(refusal.code());
        let actor = Actor::Principal(caller.id.clone());
        let mut event = AuditEvent::new(Action::RequestRefused, actor, self.now())
            .detail("what", refused.what)
            .detail("code", refusal.code())
            .detail("message", refusal.to_string());
        if let Some(flow) = refused.flow {
            event = event.detail("flow", flow.to_string());
        }
        if let Refusal::ForbiddenByGuardrail(forbidden) = &refusal {
            event = event.detail("guardrail", forbidden.guardrail.as_str());
        }
        event.request = refused.request;
        let mut draft = Draft::default();
        draft.change.events.push(event);
        match self.commit(draft).await {
            Ok(()) => AppError::Refused(refusal),
            Err(error) => error.into(),
        }
    }
}

/// Finds the resources and looks at what rules cannot: lengths, unknown and doubled names.
fn check<'a>(
    wish: &Wish,
    snapshot: &'a Snapshot,
) -> Result<Vec<(&'a Resource, Option<PermissionName>)>, AppError> {
    let mut mistakes = Vec::new();
    if wish.items.is_empty() || wish.items.len() > MOST_ITEMS {
        mistakes.push(Mistake::new("resources", format!("name 1 to {MOST_ITEMS} resources")));
    }
    for (field, text) in [("reason", &wish.reason), ("ticket", &wish.ticket)] {
        if text.as_ref().is_some_and(|text| text.chars().count() > LONGEST_TEXT) {
            mistakes.push(Mistake::new(field, format!("at most {LONGEST_TEXT} characters")));
        }
    }
    let mut found: Vec<(&Resource, Option<PermissionName>)> = Vec::new();
    for (index, item) in wish.items.iter().enumerate() {
        match find(&item.resource, snapshot) {
            Ok(resource) if found.iter().any(|(other, _)| other.id == resource.id) => {
                mistakes.push(Mistake::new(format!("resources[{index}].id"), "is named twice"));
            }
            Ok(resource) => found.push((resource, item.permission.clone())),
            Err(message) => mistakes.push(Mistake::new(format!("resources[{index}].id"), message)),
        }
    }
    if mistakes.is_empty() { Ok(found) } else { Err(AppError::Invalid(mistakes)) }
}

/// A resource by its id, or by its bare name where only one bears it.
pub(crate) fn find<'a>(text: &str, snapshot: &'a Snapshot) -> Result<&'a Resource, String> {
    let by_id = text.parse().ok().and_then(|id| snapshot.inventory.get(&id));
    if let Some(resource) = by_id {
        return Ok(resource);
    }
    let named: Vec<_> = snapshot.inventory.named(text).collect();
    match named.as_slice() {
        [only] => Ok(only),
        [] => Err(format!(
            "there is no resource {text}: see what you may ask for with `ebb resources`"
        )),
        many => {
            let ids: Vec<_> = many.iter().map(|r| r.id.to_string()).collect();
            Err(format!("{text} is ambiguous: name one of {}", ids.join(", ")))
        }
    }
}
