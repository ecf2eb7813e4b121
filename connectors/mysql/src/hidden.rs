//! Sessions that are listed under another name than that of whoever logged in.
//!
//! While a session is inside a routine or trigger that runs with its maker's rights, MariaDB lists it
//! under the maker's name and host part, and KILL USER knows it by no other. So whoever waits there,
//! perhaps for a row that somebody else has locked, would be seen by nobody who looks for their name,
//! and go on afterwards. What can be told is who *may* be hidden so: it is at work, and the name under
//! which it is listed, with the host part, is that of such a maker.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::{failure::Failure, live::Listed, names, server::Session, sql};

/// A session that may be somebody else's than its line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hidden {
    pub(crate) id: u64,
    /// With whose rights it runs something: `user@host`; a role is `role@`.
    pub(crate) runs_as: String,
}

impl Hidden {
    /// Whether those rights are a grant's, by its user or its role.
    pub(crate) fn runs_as_a_grant(&self) -> bool {
        let name = self.runs_as.rsplit_once('@').map_or("", |(name, _)| name);
        names::grant_of(name).is_some() || names::is_privilege_role(name)
    }
}

/// What several looks one after the other have told.
#[derive(Default)]
pub(crate) struct Looks {
    /// Who was hidden in all of them. Who was seen under their own name in between is known.
    all_along: Option<HashSet<u64>>,
    /// Of each name whether it is that of a maker.
    makers: HashMap<String, bool>,
}

impl Looks {
    /// Who among `listed` may be hidden, and was in each look before.
    pub(crate) async fn again(
        &mut self,
        session: &mut Session,
        listed: &[Listed],
    ) -> Result<Vec<Hidden>, Failure> {
        let nobody = self.all_along.as_ref().is_some_and(HashSet::is_empty);
        if nobody || !session.dialect().lists_definers() {
            return Ok(Vec::new());
        }
        let mut found: Vec<Hidden> = listed.iter().flat_map(may_be).collect();
        if let Some(before) = &self.all_along {
            found.retain(|one| before.contains(&one.id));
        }
        self.learn(session, &found).await?;
        found.retain(|one| self.makers.get(&one.runs_as) == Some(&true));
        self.all_along = Some(found.iter().map(|one| one.id).collect());
        Ok(found)
    }

    /// Finds out which names are those of makers. Triggers are in a file for each table, so only
    /// accounts are looked for there.
    async fn learn(&mut self, session: &mut Session, found: &[Hidden]) -> Result<(), Failure> {
        let known = &mut self.makers;
        let new: BTreeSet<String> = found
            .iter()
            .map(|one| one.runs_as.clone())
            .filter(|name| !known.contains_key(name))
            .collect();
        let accounts = accounts(session, &new).await?;
        let makers = makers(session, &accounts).await?;
        known.extend(new.into_iter().map(|name| {
            let is_maker = makers.contains(&name);
            (name, is_maker)
        }));
        Ok(())
    }
}

/// Those of `names`, which are like `user@host` and `role@`, that there are.
async fn accounts(
    session: &mut Session,
    names: &BTreeSet<String>,
) -> Result<BTreeSet<String>, Failure> {
    // Each by the table's key, of which there may be many thousands.
    let is =
        |(user, host)| format!("(Host = {} AND User = {})", sql::literal(host), sql::literal(user));
    let which: Vec<_> = names.iter().filter_map(|name| name.rsplit_once('@')).map(is).collect();
    if which.is_empty() {
        return Ok(BTreeSet::new());
    }
    let look = format!(
        "SELECT CONCAT(User, '@', Host) FROM {} WHERE {}",
        session.dialect().accounts(),
        which.join(" OR ")
    );
    Ok(session.column(look).await?.into_iter().filter(|name| names.contains(name)).collect())
}

/// Those of `names` with whose rights something runs that others call.
async fn makers(
    session: &mut Session,
    names: &BTreeSet<String>,
) -> Result<BTreeSet<String>, Failure> {
    if names.is_empty() {
        return Ok(BTreeSet::new());
    }
    // A role is told with or without an `@` after it.
    let plain = names.iter().filter_map(|name| name.strip_suffix('@'));
    let all: Vec<_> = names.iter().map(String::as_str).chain(plain).map(sql::literal).collect();
    let all = all.join(", ");
    let look = format!(
        "SELECT definer FROM mysql.proc WHERE security_type = 'DEFINER' AND definer IN ({all})
         UNION SELECT DEFINER FROM information_schema.TRIGGERS WHERE DEFINER IN ({all})"
    );
    let whole = |name: String| if name.contains('@') { name } else { name + "@" };
    let told = session.column(look).await?.into_iter().map(whole);
    Ok(told.filter(|name| names.contains(name)).collect())
}

/// As whom a session may be running something. What it is doing, it does by itself where the line
/// names a client's address; a maker's host part may look like one.
fn may_be(one: &Listed) -> Vec<Hidden> {
    // Nobody waits in a routine who sleeps. Threads of the server have logged nobody in.
    if matches!(one.state.as_str(), "Sleep" | "Daemon" | "Connect") {
        return Vec::new();
    }
    let with_port = one.client.rsplit_once(':').map(|(host, _)| host);
    let hosts = std::iter::once(one.client.as_str()).chain(with_port);
    hosts.map(|host| Hidden { id: one.id, runs_as: format!("{}@{host}", one.user) }).collect()
}
