//! People: what they do, at random and with impatience. A call that got no answer is made again under
//! its key.

use std::sync::Arc;

use ebbgate_broker_app::{AppError, ClientKey, Wish, WishItem};
use ebbgate_broker_ports::store::{GrantQuery, RequestQuery};
use ebbgate_connector_api::{Credential, CredentialWish};
use ebbgate_domain::{
    approval::Verdict,
    duration::AccessDuration,
    ids::{GrantId, RequestId},
    request::{AccessRequest, ExtensionState},
    scram::ScramVerifier,
    verifier::Verifier,
};

use crate::{
    kernel::Node,
    settings::{ADMINISTRATOR, id, parsed},
    world::{INTEGRATIONS, World},
};

/// Those who ask for access.
const REQUESTERS: [&str; 4] = ["ana", "bo", "cy", "ben"];
/// Those who approve; ben asks, too.
const APPROVERS: [&str; 4] = ["ben", "dan", "eve", "fay"];
/// What somebody does.
enum Deed {
    Ask,
    Review,
    Withdraw,
    Release,
    Revoke,
    Activate,
    Extend,
    Claim,
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
            70..76 => Deed::Activate,
            76..84 => Deed::Extend,
            84..86 => Deed::Claim,
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
                Deed::Activate => activate(&one).await,
                Deed::Extend => extend(&one).await,
                Deed::Claim => claim(&one).await,
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
    let flow = *sim.pick(&["auto", "one", "one", "both", "later"]).unwrap();
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

/// The requests that somebody sees: their own, or everybody's.
async fn requests(
    world: &Arc<World>,
    who: &str,
    everyone: bool,
    query: RequestQuery,
) -> Vec<AccessRequest> {
    let who = id(who);
    let found = world
        .broker
        .call(move |broker| async move {
            let caller = broker.caller(&who)?;
            broker.requests(&caller, everyone, query).await.ok()
        })
        .await;
    found.flatten().unwrap_or_default()
}

async fn review(world: &Arc<World>) {
    let sim = &world.sim;
    let Some(request) = anything_pending(world).await else { return };
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
        Some(Ok(decided)) => {
            sim.count("review");
            let more = decided.extensions.last();
            if more.is_some_and(|more| more.reviews.iter().any(|review| review.by == id(who))) {
                sim.count("review of an extension");
            }
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

/// Any request that waits for somebody's word, on itself or on more time.
async fn anything_pending(world: &Arc<World>) -> Option<RequestId> {
    let query = RequestQuery { pending: true, limit: 20, ..RequestQuery::default() };
    let pending = requests(world, ADMINISTRATOR, true, query).await;
    world.sim.pick(&pending).map(|request| request.id)
}

async fn claim(world: &Arc<World>) {
    let sim = &world.sim;
    let who = *sim.pick(&APPROVERS).unwrap();
    let Some(request) = anything_pending(world).await else { return };
    let answer = insist!(world, who, |broker, caller, key| {
        broker.claim_request(&caller, request, key).await
    });
    if let Some(Ok(_)) = answer {
        sim.count("claim");
        sim.note(Node::World, format_args!("{who} looks at {request}"));
    }
}

/// One of somebody's own requests that are not over and of which something holds.
async fn own_open(
    world: &Arc<World>,
    who: &str,
    wanted: impl Fn(&AccessRequest) -> bool,
) -> Option<RequestId> {
    let query = RequestQuery { open: true, limit: 20, ..RequestQuery::default() };
    let open = requests(world, who, false, query).await;
    let open: Vec<_> = open.iter().filter(|request| wanted(request)).collect();
    world.sim.pick(&open).map(|request| request.id)
}

async fn activate(world: &Arc<World>) {
    let sim = &world.sim;
    let who = *sim.pick(&REQUESTERS).unwrap();
    let waits = own_open(world, who, AccessRequest::awaits_activation).await;
    let Some(request) = waits else { return };
    let answer =
        insist!(world, who, |broker, caller, key| broker.activate(&caller, request, key).await);
    if let Some(Ok(_)) = answer {
        sim.count("activation");
        sim.note(Node::World, format_args!("{who} activates {request}"));
    }
}

/// Asks for more time; now and then for more than there is.
async fn extend(world: &Arc<World>) {
    let sim = &world.sim;
    let who = *sim.pick(&REQUESTERS).unwrap();
    let granted = own_open(world, who, |request| request.activated_at.is_some()).await;
    let Some(request) = granted else { return };
    let seconds = if sim.chance(50) { 1_800 } else { sim.between(5, 120) };
    let by = AccessDuration::from_seconds(u32::try_from(seconds).unwrap()).unwrap();
    let answer = insist!(world, who, |broker, caller, key| {
        broker.extend(&caller, request, by, Some("not done yet"), key).await
    });
    match answer {
        Some(Ok(asked)) => {
            let given =
                asked.extensions.last().is_some_and(|more| more.state == ExtensionState::Approved);
            sim.count(if given { "extension at once" } else { "extension asked" });
            sim.note(Node::World, format_args!("{who} asks for {seconds} s more of {request}"));
        }
        Some(Err(AppError::Refused(refusal))) if refusal.code() == "extension_too_long" => {
            sim.count("extension past the maximum refused");
        }
        _ => {}
    }
}

async fn withdraw(world: &Arc<World>) {
    let sim = &world.sim;
    let who = *sim.pick(&REQUESTERS).unwrap();
    let query = RequestQuery { pending: true, limit: 5, ..RequestQuery::default() };
    let pending = requests(world, who, false, query).await;
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
