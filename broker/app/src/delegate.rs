//! Naming a substitute for one's approvals, and ending that.

use ebbgate_broker_ports::{
    StoreError,
    store::{RequestQuery, Versioned, Write},
};
use ebbgate_domain::{
    Timestamp, audit::Action, delegation::Delegation, ids::DelegationId, names::PrincipalId,
};

use crate::{AppError, Broker, Caller, ClientKey, draft::Draft};

/// How many pending requests are read at once.
const BATCH: u32 = 256;

/// A substitution that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelegationWish {
    /// Who speaks in the caller's place.
    pub to: PrincipalId,
    /// From when; from now on where it is not said.
    pub since: Option<Timestamp>,
    /// Until before when.
    pub until: Timestamp,
}

impl Broker {
    /// Names a substitute for the caller. Pending requests that wait for the caller ask the
    /// substitute too, in the same transaction.
    ///
    /// # Errors
    /// The rule that says no; the refusal is in the audit log.
    pub async fn delegate(
        &self,
        caller: &Caller,
        wish: &DelegationWish,
        key: Option<&ClientKey>,
    ) -> Result<Delegation, AppError> {
        let attempt = || async {
            if let Some(done) = self.replay(caller, key).await? {
                return self.delegation_of(&done).await;
            }
            let now = self.now();
            let others = self.substitutes(now).await?;
            let delegation = Delegation {
                id: DelegationId::new(now, self.ports.ids.entropy()),
                from: caller.id.clone(),
                to: wish.to.clone(),
                since: wish.since.map_or(now, |since| since.max(now)),
                until: wish.until,
                ended_at: None,
            };
            delegation.check(&others, &self.snapshot().directory, now)?;
            let mut draft = Draft::default();
            draft.change.events.push(delegation.event(Action::DelegationCreated, &caller.id, now));
            draft.change.delegations.push(Write::Insert(delegation.clone()));
            draft.key(caller, key, delegation.id, now);
            let after: Vec<_> = others.into_iter().chain([delegation.clone()]).collect();
            self.ask_anew(&mut draft, &after, now).await?;
            self.commit_once(draft).await?;
            Ok(delegation)
        };
        match self.retry(attempt).await {
            Err(AppError::Refused(refusal)) => {
                Err(self.refused(caller, refusal, "delegate".into()).await)
            }
            other => other,
        }
    }

    /// Ends a substitution before its time: whoever made it, the substitute, or an administrator.
    ///
    /// # Errors
    /// There is none, or it is over already.
    pub async fn end_delegation(
        &self,
        caller: &Caller,
        id: DelegationId,
        key: Option<&ClientKey>,
    ) -> Result<Delegation, AppError> {
        self.retry(|| async {
            if let Some(done) = self.replay(caller, key).await? {
                return self.delegation_of(&done).await;
            }
            let now = self.now();
            let all = self.store().delegations(now).await?;
            let mine = |found: &&Versioned<Delegation>| {
                let delegation = &found.value;
                delegation.id == id
                    && (delegation.from == caller.id
                        || delegation.to == caller.id
                        || caller.administrator)
            };
            let found =
                all.iter().find(mine).ok_or_else(|| AppError::not_found("delegation", id))?;
            let ended = Delegation { ended_at: Some(now), ..found.value.clone() };
            let mut draft = Draft::default();
            draft.change.events.push(ended.event(Action::DelegationEnded, &caller.id, now));
            let write = Versioned { version: found.version, value: ended.clone() };
            draft.change.delegations.push(Write::Update(write));
            draft.key(caller, key, id, now);
            let others = all.iter().filter(|other| other.value.id != id);
            let after: Vec<_> = others.map(|other| other.value.clone()).collect();
            self.ask_anew(&mut draft, &after, now).await?;
            self.commit_once(draft).await?;
            Ok(ended)
        })
        .await
    }

    /// The substitutions from or to the caller that are not over, or everybody's for those who read
    /// everything.
    ///
    /// # Errors
    /// The caller may not, or the store failed.
    pub async fn delegations(
        &self,
        caller: &Caller,
        everyone: bool,
    ) -> Result<Vec<Delegation>, AppError> {
        if everyone && !caller.auditor {
            return Err(AppError::Forbidden { role: "auditor" });
        }
        let all = self.substitutes(self.now()).await?;
        let mine =
            |found: &Delegation| everyone || found.from == caller.id || found.to == caller.id;
        Ok(all.into_iter().filter(mine).collect())
    }

    /// The substitutions that are not over.
    pub(crate) async fn substitutes(&self, now: Timestamp) -> Result<Vec<Delegation>, StoreError> {
        let all = self.store().delegations(now).await?;
        Ok(all.into_iter().map(|found| found.value).collect())
    }

    /// One that was made or ended under a key before. It may be over by now.
    async fn delegation_of(&self, id: &str) -> Result<Delegation, AppError> {
        let all = self.substitutes(Timestamp::MIN).await?;
        let found = all.into_iter().find(|delegation| delegation.id.to_string() == id);
        found.ok_or_else(|| AppError::not_found("delegation", id))
    }

    /// Pending requests may wait for other people now; they are told with the change that makes it
    /// so.
    async fn ask_anew(
        &self,
        draft: &mut Draft,
        delegations: &[Delegation],
        now: Timestamp,
    ) -> Result<(), AppError> {
        let snapshot = self.snapshot();
        let people = snapshot.people(delegations, now);
        let mut before = None;
        loop {
            let query =
                RequestQuery { pending: true, before, limit: BATCH, ..RequestQuery::default() };
            let page = self.store().requests(&query).await?;
            let Some(last) = page.last() else { return Ok(()) };
            before = Some(last.value.id);
            for request in page {
                if let Some(transition) = request.value.advance(&snapshot.policies, &people) {
                    let (policies, inventory) = (&snapshot.policies, &snapshot.inventory);
                    let transition =
                        policies.guarded(&request.value, transition, &people, inventory);
                    self.add_request(draft, request.version, transition, now).await?;
                }
            }
        }
    }
}
