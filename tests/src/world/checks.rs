//! What must hold in a world: its audit log is whole, broker and targets agree, nothing is left.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{World, deadline};
use crate::{
    clock::now,
    people::Person,
    places,
    process::Launch,
    waiting::{eventually, within},
};

impl World {
    /// All audit records, oldest first.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn audit(&self) -> Result<Vec<Value>> {
        let audrey = self.api(Person::Audrey)?;
        let mut records: Vec<Value> = Vec::new();
        loop {
            let after = records.last().and_then(|record| record["seq"].as_u64()).unwrap_or(0);
            let page = audrey.get(&format!("audit?after={after}&limit=200")).await?.status(200)?;
            let items = page["items"].as_array().context("items of the audit log")?;
            if items.is_empty() {
                return Ok(records);
            }
            records.extend(items.iter().cloned());
        }
    }

    /// The OpenAPI document as the broker's program prints it, without settings.
    ///
    /// # Errors
    /// When it can't be run or prints no JSON.
    pub async fn broker_openapi(&self) -> Result<Value> {
        let printed =
            Launch::new(places::program("ebbgate-broker")?)?.arg("openapi").output("").await?;
        serde_json::from_str(&printed.success()?).context("read the printed OpenAPI document")
    }

    /// Fails unless the audit log's chain is whole.
    ///
    /// # Errors
    /// When it is broken.
    pub async fn audit_is_intact(&self) -> Result<()> {
        let found = self.api(Person::Audrey)?.get("audit/verify").await?.status(200)?;
        ensure!(found["intact"] == true, "the audit log: {found}");
        Ok(())
    }

    /// Waits until targets and broker agree: no role without a live grant, no active database
    /// grant without its role, nothing overdue.
    ///
    /// # Errors
    /// When they go on to disagree.
    pub async fn agrees_with_its_targets(&self) -> Result<()> {
        let adam = self.api(Person::Adam)?;
        eventually("broker and targets agreeing", async || {
            let grants = adam.list("grants?state=all&of=everyone").await?;
            for (integration, server) in &self.databases {
                let roles = server.grant_roles().await?;
                for role in &roles {
                    let known = grants.iter().any(|grant| {
                        role.ends_with(grant["id"].as_str().unwrap_or("no id"))
                            && !matches!(grant["state"].as_str(), Some("revoked" | "failed"))
                    });
                    ensure!(known, "a role without a live grant: {role} in {grants:?}");
                }
                let active = grants.iter().filter(|grant| {
                    grant["integration"] == integration.as_str() && grant["state"] == "active"
                });
                for grant in active {
                    let id = grant["id"].as_str().context("a grant's id")?;
                    let there = roles.iter().any(|role| role.ends_with(id));
                    ensure!(there, "an active grant without a role: {grant}");
                    let overdue = deadline(grant)? < now();
                    ensure!(!overdue, "an active grant past its deadline: {grant}");
                }
            }
            Ok(())
        })
        .await
    }

    /// Waits until no role of any grant is left on any server.
    ///
    /// # Errors
    /// When one stays.
    pub async fn all_roles_are_gone(&self) -> Result<()> {
        within(Duration::from_secs(60), "no role of a grant being left", async || {
            for server in self.databases.values() {
                let roles = server.grant_roles().await?;
                ensure!(roles.is_empty(), "roles: {roles:?}");
            }
            if let Some(server) = &self.mariadb {
                let users = server.grant_users().await?;
                ensure!(users.is_empty(), "users: {users:?}");
            }
            Ok(())
        })
        .await
    }

    /// The places where secrets must never rest: logs, store and the agent's own directory.
    ///
    /// # Errors
    /// Never; the shop is always there.
    pub fn places_without_secrets(&self) -> Result<Vec<PathBuf>> {
        let mut places = vec![
            self.broker.log(),
            self.broker.folder().to_owned(),
            self.agent.log(),
            self.agent.dir(),
        ];
        places.extend(self.databases.values().map(|server| server.log().to_owned()));
        Ok(places)
    }
}
