//! From transitions to one transaction: collects state, audit events, notices and orders, commits
//! the first three together (I11), and hands the orders out only then (I1).

use std::future::Future;

use ebbgate_broker_ports::{
    NotPlaced, Outcome, StoreError,
    store::{Change, GrantQuery, IdempotencyKey, OutboxItem, Versioned, Write},
};
use ebbgate_connector_api::crash;
use ebbgate_domain::{
    Effect, Timestamp, Transition,
    audit::{Actor, AuditEvent},
    grant::Grant,
    ids::NoticeId,
    names::AgentName,
    notice::Notice,
    order::{Order, OrderAction},
    request::AccessRequest,
};

use crate::{AppError, Broker, Caller, ClientKey};

/// How often a use case reads anew and decides again when somebody else was faster.
const TRIES: u32 = 16;

/// A decision on its way into the store.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) change: Change,
    /// Each with the agent that it goes to.
    orders: Vec<(Order, Option<AgentName>)>,
}

impl Draft {
    /// One without orders.
    pub(crate) fn of(change: Change) -> Self {
        Self { change, orders: Vec::new() }
    }

    /// Takes up a request's transition; `version` is none for a new one.
    pub(crate) fn request(
        &mut self,
        broker: &Broker,
        version: Option<u64>,
        transition: Transition<AccessRequest>,
        now: Timestamp,
    ) {
        self.change.requests.push(write(version, transition.state));
        self.take(broker, transition.effects, transition.events, None, now);
    }

    /// Takes up a grant's transition.
    pub(crate) fn grant(
        &mut self,
        broker: &Broker,
        version: u64,
        transition: Transition<Grant>,
        now: Timestamp,
    ) {
        let place = transition.state.place.clone();
        self.change.grants.push(write(Some(version), transition.state));
        self.take(broker, transition.effects, transition.events, place.as_ref(), now);
    }

    /// Notes under which key it was asked for.
    pub(crate) fn key(
        &mut self,
        caller: &Caller,
        key: Option<&ClientKey>,
        subject: impl ToString,
        at: Timestamp,
    ) {
        self.change.idempotency = key.map(|key| IdempotencyKey {
            principal: caller.id.clone(),
            key: key.key.clone(),
            fingerprint: key.fingerprint.clone(),
            subject: subject.to_string(),
            at,
        });
    }

    fn take(
        &mut self,
        broker: &Broker,
        effects: Vec<Effect>,
        events: Vec<AuditEvent>,
        place: Option<&AgentName>,
        now: Timestamp,
    ) {
        self.change.events.extend(events);
        for effect in effects {
            match effect {
                Effect::Plan(grant) => self.change.grants.push(Write::Insert(*grant)),
                // Its grants have to be read first: see `add_request`.
                Effect::Extend(_) => {}
                Effect::Send(order) => self.orders.push((order, place.cloned())),
                Effect::Notify(notice) => self.notify(broker, &notice, now),
            }
        }
    }
}

impl Draft {
    /// Puts a notice into the outbox of each channel that carries it. Each copy has an id of its
    /// own, because each is delivered, or not, by itself.
    fn notify(&mut self, broker: &Broker, notice: &Notice, now: Timestamp) {
        for route in broker.snapshot().routes.iter().filter(|route| route.carries(notice)) {
            self.change.notices.push(OutboxItem {
                id: NoticeId::new(now, broker.ports.ids.entropy()),
                channel: route.channel.clone(),
                notice: notice.clone(),
                at: now,
                failures: 0,
            });
        }
    }
}

fn write<T>(version: Option<u64>, value: T) -> Write<T> {
    match version {
        Some(version) => Write::Update(Versioned { version, value }),
        None => Write::Insert(value),
    }
}

impl Broker {
    /// Commits a draft, then hands out its orders and wakes whoever has new work.
    pub(crate) async fn commit(&self, draft: Draft) -> Result<(), StoreError> {
        let plans = draft.change.grants.iter().any(|write| matches!(write, Write::Insert(_)));
        let notices = !draft.change.notices.is_empty();
        for (order, _) in &draft.orders {
            crash::point(order_point(order, "before_intent"));
        }
        self.store().commit(draft.change).await?;
        if plans {
            self.scheduler.notify_one();
        }
        if notices {
            self.outbox.send_replace(());
        }
        for (order, place) in draft.orders {
            crash::point(order_point(&order, "after_intent"));
            self.send(order, place.as_ref()).await;
        }
        Ok(())
    }

    /// Hands an order over. Where its place is away, that is an attempt that failed: the scheduler
    /// tries again, and the agent gets its standing orders when it comes.
    async fn send(&self, order: Order, place: Option<&AgentName>) {
        let (grant, seq, action) = (order.spec.grant, order.seq, order.action);
        let Err(away) = self.ports.placement.send(order, place).await else {
            return;
        };
        let outcome = not_placed(action, &away);
        if let Err(error) =
            Box::pin(self.record_outcome(grant, seq, outcome, Actor::Broker, self.now())).await
        {
            tracing::error!(grant.id = %grant, error = ebbgate_broker_ports::chain(&error), "cannot record that an order was not placed");
        }
    }

    /// Commits a draft under a key that two calls may use at the same instant: the other one did it.
    pub(crate) async fn commit_once(&self, draft: Draft) -> Result<(), StoreError> {
        match self.commit(draft).await {
            Err(StoreError::KeyUsed) => Err(StoreError::Conflict),
            other => other,
        }
    }

    /// Takes up a grant's transition together with what it means for its request. An order in it
    /// gets its place here.
    pub(crate) async fn draft_grant(
        &self,
        version: u64,
        transition: Transition<Grant>,
        now: Timestamp,
    ) -> Result<Draft, StoreError> {
        let mut draft = Draft::default();
        let runner = self.ports.placement.runner(&transition.state.integration);
        let transition = transition.placed(&runner, now);
        let grant = transition.state.clone();
        draft.grant(self, version, transition, now);
        let request = match self.store().request(grant.request).await {
            Ok(Some(request)) => request,
            // Its grants end all the same: the store has said what is wrong with it.
            Ok(None) | Err(StoreError::NotBelieved { .. }) => return Ok(draft),
            Err(error) => return Err(error),
        };
        let query =
            GrantQuery { request: Some(grant.request), limit: 1_000, ..GrantQuery::default() };
        let mut grants: Vec<_> =
            self.store().grants(&query).await?.into_iter().map(|grant| grant.value).collect();
        for sibling in &mut grants {
            if sibling.id == grant.id {
                *sibling = grant.clone();
            }
        }
        match request.value.follow(&grants, now) {
            Some(transition) => draft.request(self, Some(request.version), transition, now),
            // Of grants that end at the same moment each would take the other for live, and nobody
            // would end their request. Written as it is, it lets one of them come first.
            None if grant.is_over() && !request.value.is_over() => {
                draft.request(self, Some(request.version), Transition::to(request.value), now);
            }
            None => {}
        }
        Ok(draft)
    }

    /// Takes up a request's transition together with what it means for grants that it has already.
    pub(crate) async fn draft_request(
        &self,
        version: u64,
        transition: Transition<AccessRequest>,
        now: Timestamp,
    ) -> Result<Draft, StoreError> {
        let mut draft = Draft::default();
        self.add_request(&mut draft, version, transition, now).await?;
        Ok(draft)
    }

    /// The same, in a draft that holds other things too.
    pub(crate) async fn add_request(
        &self,
        draft: &mut Draft,
        version: u64,
        transition: Transition<AccessRequest>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let id = transition.state.id;
        let more = transition.effects.iter().find_map(|effect| match effect {
            Effect::Extend(by) => Some(*by),
            _ => None,
        });
        draft.request(self, Some(version), transition, now);
        let Some(by) = more else { return Ok(()) };
        let query = GrantQuery { request: Some(id), limit: 1_000, ..GrantQuery::default() };
        for grant in self.store().grants(&query).await? {
            let runner = self.ports.placement.runner(&grant.value.integration);
            if let Some(extended) = grant.value.extend(by, Actor::Broker, now) {
                draft.grant(self, grant.version, extended.placed(&runner, now), now);
            }
        }
        Ok(())
    }

    /// Runs `attempt` until nobody else was faster.
    pub(crate) async fn retry<T, F, A>(&self, mut attempt: A) -> Result<T, AppError>
    where
        A: FnMut() -> F,
        F: Future<Output = Result<T, AppError>>,
    {
        for _ in 1..TRIES {
            match attempt().await {
                Err(AppError::Store(StoreError::Conflict)) => {}
                done => return done,
            }
        }
        attempt().await
    }

    /// What was done under this key, if it was used; `None` to go on.
    pub(crate) async fn replay(
        &self,
        caller: &Caller,
        key: Option<&ClientKey>,
    ) -> Result<Option<String>, AppError> {
        let Some(key) = key else { return Ok(None) };
        let Some(done) = self.store().idempotency(&caller.id, &key.key).await? else {
            return Ok(None);
        };
        if done.fingerprint != key.fingerprint {
            return Err(AppError::KeyReused);
        }
        Ok(Some(done.subject))
    }
}

fn not_placed(action: OrderAction, away: &NotPlaced) -> Outcome {
    let error = away.to_string();
    match action {
        OrderAction::Provision => Outcome::ProvisionFailed { error, may_pass: true },
        OrderAction::Revoke => Outcome::TeardownFailed { error },
    }
}

fn order_point(order: &Order, step: &str) -> &'static str {
    match (order.action, step) {
        (OrderAction::Provision, "before_intent") => "broker.provision.before_intent",
        (OrderAction::Provision, _) => "broker.provision.after_intent",
        (OrderAction::Revoke, "before_intent") => "broker.revoke.before_intent",
        (OrderAction::Revoke, _) => "broker.revoke.after_intent",
    }
}
