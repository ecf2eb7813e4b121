//! The end: when misfortune is over and time has passed, nothing is left but what is live.

use ebbgate_agent_core::Stage;

use crate::world::World;

/// What is not settled yet, in words; nothing where all is quiet.
pub fn left_over(world: &World) -> Vec<String> {
    let mut left = Vec::new();
    {
        let records = world.store.records();
        let requests = records.requests.values().filter(|found| !found.value.is_over());
        left.extend(
            requests.map(|found| format!("{} is {}", found.value.id, found.value.state_name())),
        );
        let grants = records.grants.values().filter(|found| !found.value.is_over());
        left.extend(
            grants.map(|found| format!("{} is {}", found.value.id, found.value.state_name())),
        );
        left.extend(
            records.outbox.undelivered().map(|item| format!("{} is not delivered", item.id)),
        );
    }
    for server in world.servers.values() {
        let content = server.content();
        let name = &server.integration;
        left.extend(content.roles.keys().map(|grant| format!("{name} has the role of {grant}")));
        left.extend(
            content.sessions.values().map(|(grant, _)| format!("{name} has a session of {grant}")),
        );
    }
    if !left.is_empty() {
        return left;
    }
    for host in &world.hosts {
        let state = host.disk.state();
        let open = state
            .held()
            .filter(|held| !matches!(held.stage, Stage::TornDown { recorded: true, .. }));
        left.extend(
            open.map(|held| {
                format!("{} holds {} {}", host.name, held.spec.grant, held.state_name())
            }),
        );
    }
    left
}
