//! People: who there is, which flows they use, and what they do, at random and with impatience. A
//! call that got no answer is made again under its key.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use ebbgate_broker_app::{AppError, ClientKey, Wish, WishItem};
use ebbgate_broker_ports::{
    Catalogue, Snapshot,
    store::{GrantQuery, RequestQuery},
};
use ebbgate_connector_api::{Credential, CredentialWish};
use ebbgate_domain::{
    approval::Verdict,
    duration::AccessDuration,
    flow::{
        Access, AccessFlow, ApprovalPolicy, ApproverGroup, DurationRule, Need, Policies, Voices,
    },
    ids::{GrantId, RequestId},
    inventory::{Inventory, Resource, ResourceKind},
    names::{AgentName, ChannelName, PrincipalId},
    notice::{Reach, Route},
    principal::{Directory, Principal},
    scope::{Scope, Selector},
    scram::ScramVerifier,
    verifier::Verifier,
};
use parking_lot::Mutex;

use crate::{
    kernel::Node,
    world::{AGENTS, INTEGRATIONS, World},
};

/// Those who ask for access.
const REQUESTERS: [&str; 4] = ["ana", "bo", "cy", "ben"];
/// Those who approve; ben asks, too.
const APPROVERS: [&str; 4] = ["ben", "dan", "eve", "fay"];
/// The administrator.
const ADMINISTRATOR: &str = "root";

/// Everybody, with their groups.
const PEOPLE: [(&str, &[&str]); 8] = [
    ("ana", &["data"]),
    ("bo", &["data"]),
    ("cy", &["data"]),
    ("ben", &["data", "dba"]),
    ("dan", &["dba", "security"]),
    ("eve", &["security"]),
    ("fay", &["dba"]),
    (ADMINISTRATOR, &["admins"]),
];

/// What the broker's settings say of people, flows and resources.
pub struct Settings {
    slot: Mutex<Arc<Snapshot>>,
    changes: AtomicUsize,
}

impl Catalogue for Settings {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.slot.lock().clone()
    }
}

impl Settings {
    /// Everybody is there.
    pub(crate) fn everybody() -> Self {
        Self { slot: Mutex::new(Arc::new(snapshot())), changes: AtomicUsize::new(0) }
    }

    /// How often they were changed.
    pub fn changes(&self) -> usize {
        self.changes.load(Ordering::Relaxed)
    }

    /// Disables somebody, or lets them in again: who, and whether they are in now.
    pub fn toggle(&self, who: &PrincipalId) -> bool {
        self.changes.fetch_add(1, Ordering::Relaxed);
        let mut slot = self.slot.lock();
        let mut enabled = true;
        let people = slot.directory.all().cloned().map(|mut person| {
            if person.id == *who {
                person.disabled = !person.disabled;
                enabled = !person.disabled;
            }
            person
        });
        let directory = Directory::new(people.collect::<Vec<_>>());
        *slot = Arc::new(Snapshot { directory, ..(**slot).clone() });
        enabled
    }
}

/// Who is in a group. That never changes; people are disabled and let in again.
pub fn members(group: &str) -> BTreeSet<PrincipalId> {
    let is_in = |(_, groups): &&(&str, &[&str])| groups.contains(&group);
    PEOPLE.iter().filter(is_in).map(|(name, _)| id(name)).collect()
}

/// The one channel there is.
pub fn mailbox() -> ChannelName {
    parsed("mailbox")
}

/// A person's id.
pub fn id(name: &str) -> PrincipalId {
    parsed(&format!("{name}@example.com"))
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn snapshot() -> Snapshot {
    let person = |name: &str, groups: &[&str]| {
        Principal::new(id(name), groups.iter().map(|group| parsed(group)))
    };
    let resource = |integration: &str| Resource {
        id: parsed(&format!("{integration}/postgres/shop")),
        integration: parsed(integration),
        kind: ResourceKind::Postgres,
        native: "shop".to_owned(),
        tags: BTreeMap::new(),
    };
    let scope = |integration: &str| {
        Scope::new(parsed(integration), Selector::integration(parsed(integration)))
    };
    let flows = [
        flow("auto", ApprovalPolicy::Automatic),
        flow("one", groups(Need::All, &["group:dba"])),
        flow("both", groups(Need::All, &["group:dba", "group:security"])),
    ];
    Snapshot {
        directory: Directory::new(PEOPLE.map(|(name, groups)| person(name, groups))),
        policies: Policies {
            scopes: INTEGRATIONS.iter().map(|name| (parsed(name), scope(name))).collect(),
            flows: flows.into_iter().map(|flow| (flow.name.clone(), flow)).collect(),
            ..Policies::default()
        },
        inventory: Inventory::new(INTEGRATIONS.map(resource)),
        agents: INTEGRATIONS.iter().map(|name| (parsed(name), agents_of(name))).collect(),
        administrators: vec![parsed("group:admins")],
        routes: vec![Route {
            channel: mailbox(),
            reach: Reach::Watchers { events: vec!["*".to_owned()] },
        }],
        ..Snapshot::default()
    }
}

fn agents_of(integration: &str) -> Vec<AgentName> {
    let serving = AGENTS.iter().filter(|(_, serves)| serves.contains(&integration));
    serving.map(|(name, _)| parsed(name)).collect()
}

fn groups(between: Need, of: &[&str]) -> ApprovalPolicy {
    let groups =
        of.iter().map(|group| ApproverGroup::new(*group, Voices::Any, vec![parsed(group)]));
    ApprovalPolicy::groups(between, groups.collect(), parsed("2m"))
}

fn flow(name: &str, approval: ApprovalPolicy) -> AccessFlow {
    let access = INTEGRATIONS.iter().map(|integration| Access {
        scope: parsed(integration),
        permissions: vec![parsed("select")],
    });
    AccessFlow::new(
        parsed(name),
        vec![parsed("group:data")],
        access.collect(),
        approval,
        DurationRule::new(parsed("1m"), parsed("30m")),
    )
}

/// What somebody does.
enum Deed {
    Ask,
    Review,
    Withdraw,
    Release,
    Revoke,
    Log,
}

/// People act until the busy time is over.
pub async fn act(world: Arc<World>) {
    let sim = world.sim.clone();
    while sim.now() < world.profile.busy {
        sim.sleep(sim.between(1, world.profile.people_pause * 2)).await;
        let deed = match sim.below(100) {
            0..32 => Deed::Ask,
            32..58 => Deed::Review,
            58..62 => Deed::Withdraw,
            62..66 => Deed::Release,
            66..70 => Deed::Revoke,
            _ => Deed::Log,
        };
        let one = Arc::clone(&world);
        sim.spawn(Node::World, async move {
            match deed {
                Deed::Ask => ask(&one).await,
                Deed::Review => review(&one).await,
                Deed::Withdraw => withdraw(&one).await,
                Deed::Release => end(&one, false).await,
                Deed::Revoke => end(&one, true).await,
                Deed::Log => log_in(&one).await,
            }
        });
    }
}

/// A call under a key, made again until there is an answer, as a client would.
macro_rules! insist {
    ($world:expr, $who:expr, $([$kept:ident])? |$broker:ident, $caller:ident, $key:ident| $call:expr) => {{
        let world: &Arc<World> = $world;
        let who: &str = $who;
        let key = ClientKey {
            key: format!("k-{}", world.sim.below(u64::MAX)),
            fingerprint: "f".to_owned(),
        };
        let mut answer = None;
        for _ in 0..4 {
            let (who, key) = (id(who), key.clone());
            $(let $kept = $kept.clone();)?
            let heard = world
                .broker
                .call(move |$broker| async move {
                    let $caller = $broker.caller(&who)?;
                    let $key = Some(&key);
                    Some($call)
                })
                .await;
            match heard {
                Some(Some(Err(AppError::Store(_)))) | None => {
                    world.sim.sleep(world.sim.between(500, 5_000)).await;
                }
                Some(said) => {
                    answer = said;
                    break;
                }
            }
        }
        answer
    }};
}

async fn ask(world: &Arc<World>) {
    let sim = &world.sim;
    let who = *sim.pick(&REQUESTERS).unwrap();
    let flow = *sim.pick(&["auto", "one", "one", "both"]).unwrap();
    let seconds = match sim.below(10) {
        0 => sim.between(1, 10),
        1 => sim.between(300, 900),
        _ => sim.between(20, 180),
    };
    let mut on = INTEGRATIONS.to_vec();
    if sim.chance(700) {
        let one = *sim.pick(&on).unwrap();
        on = vec![one];
    }
    let item =
        |name: &str| WishItem { resource: format!("{name}/postgres/shop"), permission: None };
    let wish = Wish {
        items: on.into_iter().map(item).collect(),
        flow: Some(parsed(flow)),
        duration: AccessDuration::from_seconds(u32::try_from(seconds).unwrap()),
        reason: Some("because".to_owned()),
        ticket: None,
        starts_at: None,
    };
    let answer = insist!(
        world,
        who,
        [wish] | broker,
        caller,
        key | broker.submit(&caller, &wish, key).await
    );
    if let Some(Ok((request, _))) = answer {
        sim.count("request");
        sim.note(Node::World, format_args!("{who} asks: {} {flow} {seconds} s", request.id));
    }
}

async fn review(world: &Arc<World>) {
    let sim = &world.sim;
    let query = RequestQuery { pending: true, limit: 20, ..RequestQuery::default() };
    let auditor = id(ADMINISTRATOR);
    let pending = world
        .broker
        .call(move |broker| async move {
            let caller = broker.caller(&auditor)?;
            broker.requests(&caller, true, query).await.ok()
        })
        .await;
    let Some(Some(pending)) = pending else { return };
    let Some(request) = sim.pick(&pending).map(|request| request.id) else { return };
    // Two at once: both click before either has an answer.
    for _ in 0..sim.between(1, 2) {
        let who = *sim.pick(&APPROVERS).unwrap();
        let verdict = if sim.chance(930) { Verdict::Approve } else { Verdict::Deny };
        let one = Arc::clone(world);
        sim.spawn(Node::World, async move { decide(&one, who, request, verdict).await });
    }
}

async fn decide(world: &Arc<World>, who: &'static str, request: RequestId, verdict: Verdict) {
    let answer = insist!(world, who, |broker, caller, key| {
        broker.review(&caller, request, verdict, Some("seen"), key).await
    });
    let sim = &world.sim;
    match answer {
        Some(Ok(_)) => {
            sim.count("review");
            sim.note(Node::World, format_args!("{who} says {verdict:?} to {request}"));
        }
        Some(Err(AppError::Refused(refusal))) => match refusal.code() {
            "own_request" => sim.count("own approval refused"),
            "already_decided" => sim.count("second approver refused"),
            _ => {}
        },
        _ => {}
    }
}

async fn withdraw(world: &Arc<World>) {
    let sim = &world.sim;
    let who = *sim.pick(&REQUESTERS).unwrap();
    let own = id(who);
    let query = RequestQuery { pending: true, limit: 5, ..RequestQuery::default() };
    let pending = world
        .broker
        .call(move |broker| async move {
            let caller = broker.caller(&own)?;
            broker.requests(&caller, false, query).await.ok()
        })
        .await;
    let Some(Some(pending)) = pending else { return };
    let Some(request) = sim.pick(&pending).map(|request| request.id) else { return };
    let answer =
        insist!(world, who, |broker, caller, key| broker.cancel(&caller, request, key).await);
    if let Some(Ok(_)) = answer {
        sim.count("withdrawal");
    }
}

/// The live grants of somebody, or of all.
async fn grants(world: &Arc<World>, who: &str, everyone: bool) -> Vec<GrantId> {
    let who = id(who);
    let query = GrantQuery { live: true, limit: 50, ..GrantQuery::default() };
    let found = world
        .broker
        .call(move |broker| async move {
            let caller = broker.caller(&who)?;
            broker.grants(&caller, everyone, query).await.ok()
        })
        .await;
    found.flatten().unwrap_or_default().iter().map(|grant| grant.id).collect()
}

async fn end(world: &Arc<World>, by_administrator: bool) {
    let sim = &world.sim;
    let who = if by_administrator { ADMINISTRATOR } else { *sim.pick(&REQUESTERS).unwrap() };
    let live = grants(world, who, by_administrator).await;
    let Some(grant) = sim.pick(&live).copied() else { return };
    let answer = insist!(world, who, |broker, caller, key| {
        if by_administrator {
            broker.revoke(&caller, grant, "enough", key).await
        } else {
            broker.release(&caller, grant, key).await
        }
    });
    if let Some(Ok(_)) = answer {
        sim.count(if by_administrator { "revocation" } else { "release" });
        sim.note(Node::World, format_args!("{who} ends {grant}"));
    }
}

/// Asks for a credential and logs in with it; the client keeps its session up from then on.
async fn log_in(world: &Arc<World>) {
    let sim = &world.sim;
    let who = *sim.pick(&REQUESTERS).unwrap();
    let live = grants(world, who, false).await;
    let Some(grant) = sim.pick(&live).copied() else { return };
    let verifier = verifier(world);
    let text = verifier.to_sql_text();
    world.secrets.lock().push(text.clone());
    let wish = CredentialWish::Verifier(Verifier::Scram(verifier));
    let caller = id(who);
    let answer = world
        .broker
        .call(move |broker| async move {
            let caller = broker.caller(&caller)?;
            Some(broker.credential(&caller, grant, wish, None).await)
        })
        .await;
    let Some(Some(Ok(issued))) = answer else { return };
    let Credential::Login { .. } = issued.credential else { return };
    sim.count("credential");
    sim.note(Node::World, format_args!("{who} logs in under {grant}"));
    if let Some(server) = world.servers.get(&issued.grant.integration) {
        server.touch().clients.insert(grant, text);
    }
}

/// The verifier of a password that nobody else has. Its keys are no real ones: nobody computes
/// anything with them here.
fn verifier(world: &World) -> ScramVerifier {
    use std::fmt::Write as _;

    // Base64 of 18 bytes is 24 characters without padding; hex digits are base64 characters.
    let mut salt = String::new();
    for _ in 0..24 {
        write!(salt, "{:x}", world.sim.below(16)).unwrap();
    }
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    parsed(&format!("SCRAM-SHA-256$4096:{salt}${key}:{key}"))
}
