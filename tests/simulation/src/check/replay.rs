//! I11: the audit log tells the whole story, and nobody has changed it.

use std::collections::BTreeMap;

use ebbgate_domain::{
    audit::{Action, AuditEvent, ChainWalk},
    ids::{GrantId, RequestId},
};

use super::{Checked, Violation, facts::News};
use crate::world::World;

/// The states that the audit log tells of.
#[derive(Default)]
pub(crate) struct Replay {
    walk: ChainWalk,
    requests: BTreeMap<RequestId, &'static str>,
    grants: BTreeMap<GrantId, &'static str>,
}

impl Replay {
    /// How many records were walked.
    pub(crate) fn records(&self) -> u64 {
        self.walk.records()
    }

    /// I11: … the audit log is a hash chain whose break is detected.
    pub(crate) fn i11_the_chain_is_whole(&mut self, news: &News) -> Checked {
        for (record, event) in &news.audit {
            self.walk.step(record).map_err(|broken| Violation::new("I11", broken.to_string()))?;
            self.follow(event);
        }
        Ok(())
    }

    /// I11: Every change of state and its audit record commit in one transaction: at any moment
    /// the states are those that the log tells of.
    pub(crate) fn i11_state_is_replay(&self, news: &News) -> Checked {
        for grant in &news.grants {
            let told = self.grants.get(&grant.id).copied().unwrap_or("planned");
            differ("grant", grant.id.to_string(), grant.state_name(), told)?;
        }
        for request in &news.requests {
            let told = self.requests.get(&request.id).copied().unwrap_or("unknown");
            differ("request", request.id.to_string(), request.state_name(), told)?;
        }
        Ok(())
    }

    /// I11: … and the store's head is its end.
    pub(crate) fn i11_the_end_is_the_head(&self, world: &World) -> Checked {
        let records = world.store.records().audit.len() as u64;
        let hash = self.walk.head().to_string();
        self.walk.finish(records, &hash).map_err(|broken| Violation::new("I11", broken.to_string()))
    }

    fn follow(&mut self, event: &AuditEvent) {
        let grant = match event.action {
            Action::GrantProvisioning => "provisioning",
            Action::GrantActive => "active",
            Action::GrantRevoking => "revoking",
            Action::GrantRevoked => "revoked",
            Action::GrantFailed => "failed",
            _ => "",
        };
        if let Some(id) = event.grant.filter(|_| !grant.is_empty()) {
            self.grants.insert(id, grant);
        }
        let request = match event.action {
            Action::RequestCreated => "pending",
            Action::RequestApproved => "approved",
            Action::RequestDenied => "denied",
            Action::RequestCancelled => "cancelled",
            Action::RequestLapsed => "lapsed",
            Action::RequestEnded => "ended",
            // The first grant makes it active; that is told with the grant.
            Action::GrantActive => "active",
            _ => return,
        };
        if let Some(id) = event.request {
            self.requests.insert(id, request);
        }
    }
}

fn differ(what: &str, id: String, is: &str, told: &str) -> Checked {
    if is == told {
        return Ok(());
    }
    Err(Violation::new("I11", format!("{what} {id} is {is}, but the audit log tells {told}")))
}
