//! Misfortune: strikes at random while the run is busy, and is over afterwards.

use std::sync::Arc;

use ebbgate_broker_app::Broker;
use ebbgate_domain::names::PrincipalId;

use crate::{
    agent::Host,
    kernel::{Millis, Node},
    scenario::{Fault, Sabotage},
    server::{Health, Server},
    settings,
    world::World,
};

/// After so long without a word an end of a stream counts as gone.
const SILENCE: Millis = 30_000;

/// Strikes until the busy time is over, then heals everything.
pub async fn strike(world: Arc<World>) {
    let sim = world.sim.clone();
    for server in world.servers.values() {
        server.back_up();
    }
    while sim.now() < world.profile.busy {
        sim.sleep(sim.between(1, world.profile.fault_pause * 2)).await;
        if let Some(fault) = sim.pick(&world.profile.faults).copied() {
            sim.spawn(Node::World, one(Arc::clone(&world), fault));
        }
    }
    sim.sleep(1).await;
    heal(&world);
}

fn heal(world: &World) {
    world.sim.note(Node::World, format_args!("heals"));
    *world.healed.lock() = true;
    world.gate.set_risks(0, 0);
    for server in world.servers.values() {
        server.set_health(Health::Up);
    }
    for host in &world.hosts {
        host.disk.set_full(false);
        world.sim.freeze(host.node, false);
    }
    world.sim.freeze(Node::Broker, false);
    world.broker_clock.set_ahead(0);
    // Some agents keep the wrong time for good, as far as they may and still take new grants.
    for host in &world.hosts {
        let wrong = if world.sim.chance(600) { 0 } else { host.clock.ahead() };
        host.clock.set_ahead(wrong.clamp(-50_000, 50_000));
    }
}

async fn one(world: Arc<World>, fault: Fault) {
    let sim = world.sim.clone();
    let agent = Arc::clone(sim.pick(&world.hosts).unwrap());
    let servers: Vec<_> = world.servers.values().cloned().collect();
    let server = sim.pick(&servers).unwrap();
    match fault {
        Fault::BrokerKilled => {
            sim.count("broker killed");
            sim.note(Node::Broker, format_args!("is killed"));
            sim.kill(Node::Broker);
        }
        Fault::BrokerFrozen => {
            sim.count("broker frozen");
            for host in &world.hosts {
                let (one, name) = (Arc::clone(&world), host.name.clone());
                sim.spawn(Node::World, async move {
                    one.sim.sleep(SILENCE).await;
                    if one.sim.is_frozen(Node::Broker) {
                        one.wire.break_stream(&name);
                    }
                });
            }
            freeze(&world, Node::Broker).await;
        }
        Fault::AgentKilled => {
            sim.count("agent killed");
            sim.note(agent.node, format_args!("is killed"));
            sim.kill(agent.node);
        }
        Fault::AgentFrozen => {
            sim.count("agent frozen");
            let (one, host) = (Arc::clone(&world), Arc::clone(&agent));
            sim.spawn(Node::World, async move {
                one.sim.sleep(SILENCE).await;
                if one.sim.is_frozen(host.node) {
                    one.wire.give_up_on(&host.name);
                }
            });
            freeze(&world, agent.node).await;
        }
        Fault::AgentRebooted => reboot(&world, &agent).await,
        Fault::StreamBroken => {
            sim.count("stream broken");
            sim.note(agent.node, format_args!("loses its stream"));
            world.wire.break_stream(&agent.name);
        }
        Fault::Partition => {
            sim.count("partition");
            let duration = for_a_while(&world);
            world.wire.partition(&agent.name, duration).await;
        }
        Fault::AgentClock => {
            sim.count("agent's clock jumps");
            let ahead = agent.clock.ahead() + jump(&world);
            sim.note(agent.node, format_args!("its wall clock is {ahead} ms ahead now"));
            agent.clock.set_ahead(ahead);
        }
        Fault::BrokerClock => {
            sim.count("broker's clock jumps");
            let ahead = world.broker_clock.ahead() + jump(&world) / 10;
            sim.note(Node::Broker, format_args!("its wall clock is {ahead} ms ahead now"));
            world.broker_clock.set_ahead(ahead);
        }
        Fault::ServerStopped => sick(&world, server, Health::Stopped).await,
        Fault::ServerCutOff => sick(&world, server, Health::CutOff).await,
        Fault::ServerSlow => sick(&world, server, Health::Slow).await,
        Fault::ServerRefusing => sick(&world, server, Health::Refusing).await,
        Fault::ServerRestored => restore(&world, server).await,
        Fault::RoleDropped => {
            if let Some(grant) = server.drop_one() {
                sim.count("role dropped behind our back");
                sim.note(Node::World, format_args!("somebody drops {grant}"));
            }
        }
        Fault::DiskFull => {
            sim.count("disk full");
            sim.note(agent.node, format_args!("its disk is full"));
            agent.disk.set_full(true);
            until_healed(&world, for_a_while(&world)).await;
            agent.disk.set_full(false);
        }
        Fault::Leaver => leave(&world).await,
    }
}

/// Mostly short, now and then long.
fn for_a_while(world: &World) -> Millis {
    match world.sim.below(5) {
        0 => world.sim.between(60_000, 240_000),
        _ => world.sim.between(500, 45_000),
    }
}

async fn until_healed(world: &World, duration: Millis) {
    let end = (world.sim.now() + duration).min(world.profile.busy.max(world.sim.now()));
    world.sim.sleep_until(end).await;
}

/// From a second to an hour, either way.
fn jump(world: &World) -> i64 {
    let by = match world.sim.below(4) {
        0 => world.sim.between(60_000, 3_600_000),
        _ => world.sim.between(1_000, 120_000),
    };
    let by = i64::try_from(by).unwrap_or(0);
    if world.sim.chance(500) { by } else { -by }
}

async fn freeze(world: &World, node: Node) {
    let duration = for_a_while(world);
    world.sim.note(node, format_args!("stands still for {duration} ms"));
    world.sim.freeze(node, true);
    until_healed(world, duration).await;
    world.sim.freeze(node, false);
}

async fn reboot(world: &World, host: &Host) {
    if std::mem::replace(&mut *host.off.lock(), true) {
        return;
    }
    world.sim.count("agent rebooted");
    let duration = for_a_while(world);
    world.sim.note(host.node, format_args!("its host is off for {duration} ms"));
    world.sim.kill(host.node);
    until_healed(world, duration).await;
    host.clock.reboot();
    if world.sim.chance(300) {
        host.clock.set_ahead(host.clock.ahead() + jump(world));
    }
    *host.off.lock() = false;
}

async fn sick(world: &World, server: &Server, health: Health) {
    if server.content().health != Health::Up {
        return;
    }
    world.sim.count("server sick");
    server.set_health(health);
    until_healed(world, for_a_while(world)).await;
    server.set_health(Health::Up);
}

/// A back-up is made, and some time later put in place of what there is then.
async fn restore(world: &World, server: &Server) {
    server.back_up();
    until_healed(world, for_a_while(world)).await;
    if !*world.healed.lock() && server.restore() {
        world.sim.count("server restored");
        world.sim.note(Node::World, format_args!("{} is restored", server.integration));
    }
}

/// Somebody is disabled in the settings, or let in again; then the broker reads them anew.
async fn leave(world: &World) {
    let who: PrincipalId = settings::id(world.sim.pick(&["ana", "bo", "dan", "eve"]).unwrap());
    let enabled = world.settings.toggle(&who);
    world.sim.count("leaver");
    world.sim.note(Node::World, format_args!("{who} is in: {enabled}"));
    if world.sabotage == Some(Sabotage::LeaversStay) {
        return;
    }
    // Where it fails the broker tries again by itself, and so does a start.
    world.broker.call(|broker: Broker| async move { broker.settle_leavers().await.is_ok() }).await;
}
