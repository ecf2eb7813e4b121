//! A target's model: a database server with log-in roles and live sessions, as `targets.md`'s
//! measurements have it. Taking log-in away or dropping a role leaves sessions alive, and clients
//! come back the moment they can. It knows no VALID UNTIL: what must end here ends by our deeds.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use ebbgate_agent_core::Failure;
use ebbgate_domain::{ids::GrantId, names::IntegrationName};
use futures_util::future::{Either, select};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;

use crate::{
    kernel::{Millis, Node, Sim},
    scenario::Sabotage,
};

/// How long a connector waits for an answer.
pub const PATIENCE: Millis = 10_000;

/// How a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Well.
    Up,
    /// It takes seconds for what takes milliseconds.
    Slow,
    /// Stopped: no session lives, roles rest on its disk.
    Stopped,
    /// The agent cannot reach it; people can.
    CutOff,
    /// The administrator's rights are gone.
    Refusing,
}

/// A log-in role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Whether it may log in.
    pub login: bool,
    /// The password's verifier.
    pub password: Option<String>,
    /// How many roles it is: one, where the name derives from the grant's id.
    pub made: u32,
}

/// What is on a server.
pub struct Content {
    /// Roles that bear our mark, by their grants.
    pub roles: BTreeMap<GrantId, Role>,
    /// Live sessions: their grants, and when those that were told to end are gone.
    pub sessions: BTreeMap<u64, (GrantId, Option<Millis>)>,
    /// People's programs: they hold a session whenever they can get one.
    pub clients: BTreeMap<GrantId, String>,
    /// How it is.
    pub health: Health,
    /// Since when.
    pub health_since: Millis,
    /// Grants whose role came into being by no order of ours: a back-up was restored, or a
    /// statement was carried out whose sender had died; with when that was.
    pub unasked: BTreeMap<GrantId, Millis>,
    /// Grants whose role somebody dropped behind our back.
    pub dropped: BTreeSet<GrantId>,
    /// Roles that were made since somebody last looked.
    pub made: Vec<GrantId>,
    backup: Option<BTreeMap<GrantId, Role>>,
    next_session: u64,
    sabotage: Option<Sabotage>,
}

/// A server. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    /// Which integration it is.
    pub integration: IntegrationName,
    sim: Sim,
    content: Arc<Mutex<Content>>,
    touched: Arc<AtomicBool>,
}

impl Content {
    /// Whether a person can use the grant now: a session lives, or the password opens one.
    pub fn is_usable(&self, grant: GrantId) -> bool {
        let has_session = self.sessions.values().any(|(of, _)| *of == grant);
        has_session
            || self.roles.get(&grant).is_some_and(|role| role.login && role.password.is_some())
    }

    /// Whether anything of the grant is there.
    pub fn has_anything(&self, grant: GrantId) -> bool {
        self.roles.contains_key(&grant) || self.sessions.values().any(|(of, _)| *of == grant)
    }

    /// Sessions that were told to end are gone; clients without one come back.
    pub fn settle(&mut self, now: Millis) {
        self.sessions.retain(|_, (_, ends)| ends.is_none_or(|ends| ends > now));
        if self.health == Health::Stopped {
            return;
        }
        for (grant, password) in &self.clients {
            let connected = self.sessions.values().any(|(of, _)| of == grant);
            let admitted = self.roles.get(grant).is_some_and(|role| {
                (role.login || self.sabotage == Some(Sabotage::IgnoredNologin))
                    && role.password.as_ref() == Some(password)
            });
            if admitted && !connected {
                self.next_session += 1;
                self.sessions.insert(self.next_session, (*grant, None));
            }
        }
    }

    /// Makes the role, or brings it back to what it should be.
    pub fn make_role(&mut self, grant: GrantId, now: Millis, sender_gone: bool) {
        if sender_gone && !self.roles.contains_key(&grant) {
            self.unasked.insert(grant, now);
        }
        self.made.push(grant);
        self.dropped.remove(&grant);
        let role = self.roles.entry(grant).or_insert(Role { login: true, password: None, made: 0 });
        role.login = true;
        if role.made == 0 || self.sabotage == Some(Sabotage::SecondRole) {
            role.made += 1;
        }
    }

    /// Tells a grant's sessions to end: gone after so many milliseconds. How many there were.
    pub fn terminate(&mut self, grant: GrantId, now: Millis, after: Millis) -> u32 {
        let mut ended = 0;
        for (_, ends) in
            self.sessions.values_mut().filter(|(of, ends)| *of == grant && ends.is_none())
        {
            *ends = Some(now + after);
            ended += 1;
        }
        ended
    }

    fn set_health(&mut self, health: Health, now: Millis) {
        if self.health == health {
            return;
        }
        self.health = health;
        self.health_since = now;
        if health == Health::Stopped {
            self.sessions.clear();
        }
    }
}

impl Server {
    /// An empty server that is well.
    pub fn new(sim: &Sim, integration: IntegrationName, sabotage: Option<Sabotage>) -> Self {
        let content = Content {
            roles: BTreeMap::new(),
            sessions: BTreeMap::new(),
            clients: BTreeMap::new(),
            health: Health::Up,
            health_since: 0,
            unasked: BTreeMap::new(),
            dropped: BTreeSet::new(),
            made: Vec::new(),
            backup: None,
            next_session: 0,
            sabotage,
        };
        let content = Arc::new(Mutex::new(content));
        Self { integration, sim: sim.clone(), content, touched: Arc::default() }
    }

    /// Whether anything was done to it since this was last asked.
    pub fn take_touched(&self) -> bool {
        self.touched.swap(false, Ordering::Relaxed)
    }

    /// What is on it, for somebody who changes that.
    pub fn touch(&self) -> MutexGuard<'_, Content> {
        self.touched.store(true, Ordering::Relaxed);
        self.content()
    }

    /// The world that it is in.
    pub fn sim(&self) -> &Sim {
        &self.sim
    }

    /// What is on it, settled to now.
    pub fn content(&self) -> MutexGuard<'_, Content> {
        let mut content = self.content.lock();
        content.settle(self.sim.now());
        content
    }

    /// Sends a statement and waits for its answer. The server carries out what has reached it
    /// whatever becomes of its sender; `statement` is told whether that is still there.
    ///
    /// # Errors
    /// No answer came in time, or the server refused. After silence nobody knows what was done.
    pub async fn ask<T: Send + 'static>(
        &self,
        doing: &'static str,
        statement: impl FnOnce(&mut Content, Millis, bool) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let (answer, heard) = oneshot::channel();
        let server = self.clone();
        self.sim.spawn(Node::World, async move {
            server.carry_out(statement, answer).await;
        });
        let silent = || Failure::passing(format!("could not {doing}: no answer"));
        match select(heard, self.sim.sleep(PATIENCE)).await {
            Either::Left((Ok(answer), _)) => answer,
            Either::Left((Err(_), _)) | Either::Right(_) => Err(silent()),
        }
    }

    async fn carry_out<T>(
        &self,
        statement: impl FnOnce(&mut Content, Millis, bool) -> T,
        answer: oneshot::Sender<Result<T, Failure>>,
    ) {
        self.sim.sleep(self.latency()).await;
        let result = {
            let now = self.sim.now();
            let mut content = self.touch();
            match content.health {
                // Nobody answers; the connection is refused at once, or nothing ever comes back.
                Health::Stopped => return,
                Health::CutOff => None,
                Health::Refusing => Some(Err(Failure::lasting("permission denied"))),
                Health::Up | Health::Slow => {
                    let result = statement(&mut content, now, answer.is_closed());
                    content.settle(now);
                    Some(Ok(result))
                }
            }
        };
        let Some(result) = result else {
            self.sim.sleep(PATIENCE + 1).await;
            drop(answer);
            return;
        };
        self.sim.sleep(self.latency()).await;
        let reachable = !matches!(self.content().health, Health::Stopped | Health::CutOff);
        if reachable && answer.send(result).is_err() {
            self.sim.count("answer to the dead");
        }
    }

    fn latency(&self) -> Millis {
        match self.content.lock().health {
            Health::Slow => self.sim.between(200, 2_500),
            _ => self.sim.between(1, 15),
        }
    }

    /// Changes how it is.
    pub fn set_health(&self, health: Health) {
        self.sim.note(Node::World, format_args!("{} is {health:?}", self.integration));
        self.touch().set_health(health, self.sim.now());
    }

    /// Keeps a copy of all roles.
    pub fn back_up(&self) {
        let mut content = self.content();
        content.backup = Some(content.roles.clone());
    }

    /// Puts the last copy in place of what there is, as a restore does; false where there is none.
    pub fn restore(&self) -> bool {
        let now = self.sim.now();
        let mut content = self.touch();
        let Some(backup) = content.backup.take() else { return false };
        let back: Vec<_> =
            backup.keys().filter(|grant| !content.roles.contains_key(grant)).copied().collect();
        for grant in back {
            content.unasked.insert(grant, now);
        }
        let lost: Vec<_> =
            content.roles.keys().filter(|grant| !backup.contains_key(grant)).copied().collect();
        content.dropped.extend(lost);
        content.sessions.clear();
        content.roles = backup;
        true
    }

    /// Drops one role behind everybody's back; its sessions live on, as they do. Not one that came
    /// back by itself: a session of that would be nobody's for good.
    pub fn drop_one(&self) -> Option<GrantId> {
        let roles: Vec<_> = {
            let content = self.content();
            let known = content.roles.keys().filter(|id| !content.unasked.contains_key(id));
            known.copied().collect()
        };
        let grant = *self.sim.pick(&roles)?;
        let mut content = self.touch();
        content.roles.remove(&grant);
        content.dropped.insert(grant);
        Some(grant)
    }
}
