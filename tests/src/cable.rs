//! Broker and agent on two networks of their own, joined by one cable that a test pulls out, or that
//! loses all frames of one direction: the kernel's own partition, below TCP.
//!
//! Each network is a namespace, kept by a relay in it. The agent's database answers on the agent's
//! loopback and the broker on the test's, over sockets in the file system. Nothing is changed in
//! the namespace of the machine.

use std::{
    env,
    ffi::OsString,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use tokio::task::JoinHandle;

use crate::{
    places,
    process::{Launch, Program},
    relay::{Listening, Place},
    waiting::{Hopeless, eventually},
};

/// Says why there can be no namespaces here: then tests that need them are left out. `cargo xtask
/// test` sets it where the kernel refuses, and says so; without it such tests fail there.
pub const NO_NAMESPACES: &str = "EBBGATE_NO_NAMESPACES";

/// The broker's end of the cable, and the agent's; RFC 5737 keeps them for examples.
const BROKER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const AGENT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
/// A hardware address that nobody has: what is sent to it is lost without a word.
const NOBODY: &str = "02:00:00:00:00:ff";

/// One of the two networks.
#[derive(Debug)]
struct Network {
    keeper: Program,
    /// The words that run a command in it.
    enter: Vec<OsString>,
}

/// Two networks and what joins them. All is gone when this is dropped.
#[derive(Debug)]
pub struct Cable {
    broker: Network,
    agent: Network,
    carrying: JoinHandle<()>,
}

/// What goes through the cable in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frames {
    /// What the agent sends.
    ToBroker,
    /// What the broker sends.
    ToAgent,
}

/// Why no namespaces are to be used, if that was said.
pub fn no_namespaces() -> Option<String> {
    env::var(NO_NAMESPACES).ok().filter(|reason| !reason.is_empty())
}

impl Cable {
    /// Makes both networks: in the broker's, `port` is reached on the test's loopback; in the
    /// agent's, each of `servers` (port and socket) on its own.
    ///
    /// # Errors
    /// When the kernel refuses, or `ip` of iproute2 is missing.
    pub async fn lay(folder: &Path, port: u16, servers: &[(u16, PathBuf)]) -> Result<Self> {
        let loopback = |port| Place::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let socket = Place::Unix(folder.join("broker.socket"));
        let databases: Vec<_> = servers
            .iter()
            .map(|(port, socket)| (loopback(*port), Place::Unix(socket.clone())))
            .collect();
        // Those who are not root are root among their own.
        let as_root = nix::unistd::geteuid().is_root();
        let new_user: &[&str] = if as_root { &[] } else { &["--user", "--map-root-user"] };
        let log = folder.join("agent-network.log");
        let agent = Network::make(&[], new_user, &databases, &log).await?;
        // Beside the first one, among the same users.
        let enter_user: Vec<OsString> = if as_root {
            Vec::new()
        } else {
            let target = agent.keeper.id().to_string();
            ["nsenter", "--target", &target, "--user", "--preserve-credentials"]
                .map(OsString::from)
                .into()
        };
        let broker = [(socket.clone(), loopback(port))];
        let log = folder.join("broker-network.log");
        let broker = Network::make(&enter_user, &[], &broker, &log).await?;
        let carrying = tokio::spawn(Listening::at(&loopback(port)).await?.carry_to(socket));
        let cable = Self { broker, agent, carrying };
        cable.join().await?;
        Ok(cable)
    }

    async fn join(&self) -> Result<()> {
        let other = self.broker.keeper.id().to_string();
        let joined = ["link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns"];
        self.agent.ip(&[&joined[..], &[other.as_str()]].concat()).await?;
        for (network, address) in [(&self.broker, BROKER), (&self.agent, AGENT)] {
            network.ip(&["address", "add", &format!("{address}/30"), "dev", "cable"]).await?;
            network.ip(&["link", "set", "cable", "up"]).await?;
        }
        Ok(())
    }

    /// The broker's address for the agent.
    pub fn broker_address(port: u16) -> SocketAddr {
        SocketAddr::from((BROKER, port))
    }

    /// The words that run a program on the broker's network.
    pub fn on_brokers_network(&self) -> &[OsString] {
        &self.broker.enter
    }

    /// The words that run a program on the agent's network.
    pub fn on_agents_network(&self) -> &[OsString] {
        &self.agent.enter
    }

    /// Pulls the cable out: neither end has a carrier.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn pull_out(&self) -> Result<()> {
        self.agent.ip(&["link", "set", "cable", "down"]).await
    }

    /// Plugs it in again.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn plug_in(&self) -> Result<()> {
        self.agent.ip(&["link", "set", "cable", "up"]).await
    }

    /// From now on all frames of one direction are lost, those of the other arrive.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn lose(&self, frames: Frames) -> Result<()> {
        let (sender, to) = self.way(frames);
        let to = to.to_string();
        let words = ["neighbour", "replace", &to, "lladdr", NOBODY, "dev", "cable"];
        sender.ip(&[&words[..], &["nud", "permanent"]].concat()).await
    }

    /// Nothing of that direction is lost any more.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn lose_no_more(&self, frames: Frames) -> Result<()> {
        let (sender, to) = self.way(frames);
        sender.ip(&["neighbour", "delete", &to.to_string(), "dev", "cable"]).await
    }

    fn way(&self, frames: Frames) -> (&Network, Ipv4Addr) {
        match frames {
            Frames::ToBroker => (&self.agent, BROKER),
            Frames::ToAgent => (&self.broker, AGENT),
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.carrying.abort();
    }
}

impl Network {
    async fn make(
        enter_user: &[OsString],
        new_user: &[&str],
        relayed: &[(Place, Place)],
        log: &Path,
    ) -> Result<Self> {
        let mut within = enter_user.to_vec();
        within.extend(["unshare", "--net"].iter().chain(new_user).map(OsString::from));
        within.push("--".into());
        // A new namespace's loopback is down.
        let keeper = Launch::new("/bin/sh")?
            .within(&within)
            .args(["-c", r#"ip link set lo up && exec "$@""#, "sh"])
            .arg(places::program("ebbgate-relay")?)
            .args(relayed.iter().flat_map(|(from, to)| [from.to_string(), to.to_string()]));
        let mut keeper = keeper.start("the keeper of a network", log)?;
        eventually("a network of its own", async || {
            keeper.ensure_running().map_err(|ended| {
                Hopeless(format!(
                    "{ended:#}\nNetwork namespaces need a kernel that lets us make them and `ip` of \
                     iproute2; to leave these tests out, say why in {NO_NAMESPACES}"
                ))
            })?;
            let said = fs::read_to_string(log).context("read its log")?;
            ensure!(said.lines().any(|line| line == "ready"), "{said}");
            Ok(())
        })
        .await?;
        ensure!(is_apart(&keeper)?, "the keeper is on the machine's own network");
        let target = keeper.id().to_string();
        let mut enter = ["nsenter", "--target", &target, "--net"].map(OsString::from).to_vec();
        if !nix::unistd::geteuid().is_root() {
            enter.extend(["--user", "--preserve-credentials"].map(OsString::from));
        }
        enter.push("--".into());
        Ok(Self { keeper, enter })
    }

    async fn ip(&self, words: &[&str]) -> Result<()> {
        let said = Launch::new("ip")?.within(&self.enter).args(words).output("").await?;
        said.success().map(drop).with_context(|| format!("ip {}", words.join(" ")))
    }
}

/// Whether a process has another network than we have.
fn is_apart(program: &Program) -> Result<bool> {
    let network = |process: &str| fs::read_link(format!("/proc/{process}/ns/net"));
    let theirs = network(&program.id().to_string()).context("look at the keeper's network")?;
    Ok(theirs != network("self").context("look at our network")?)
}
