//! PgBouncer in front of a private server, as people put it there: it looks a user's verifier up on
//! the server when they log in, and shares connections between them.

use std::{
    env, fs,
    fs::OpenOptions,
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    Error, POOLER_VARIABLE, PrivateServer, io,
    server::{free_port, make_directory, pause},
    supervisor::Supervisor,
};

/// How long it may take until it is ready.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// For how long a client keeps a connection to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolMode {
    /// For a transaction.
    Transaction,
    /// Until it leaves.
    Session,
}

/// A pooler of one's own. Dropping it ends it.
#[derive(Debug)]
pub struct Pooler {
    // Dropped before `directory`.
    _running: Supervisor,
    _directory: TempDir,
    port: u16,
}

impl Pooler {
    /// Starts one for `server`. A client that can't be given a connection to the server hears so
    /// after 2 s; by default PgBouncer lets it wait for two minutes.
    ///
    /// # Errors
    /// PgBouncer is not installed, or does not start.
    pub fn start(server: &PrivateServer, mode: PoolMode) -> Result<Self, Error> {
        let program = program()?;
        let directory = make_directory(server.account())?;
        let file = |name: &str| directory.path().join(name);
        let port = free_port()?;
        let (users, settings) = (file("users"), file("settings"));
        let postgres = format!("\"postgres\" \"{}\"\n", server.password());
        fs::write(&users, postgres).map_err(io("write PgBouncer's users"))?;
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = scram-sha-256\nauth_file = {}\nauth_user = postgres\n\
             auth_query = SELECT usename, passwd FROM pg_shadow WHERE usename = $1\n\
             pool_mode = {}\nignore_startup_parameters = extra_float_digits\n\
             server_login_retry = 1\nquery_wait_timeout = 2\n",
            server.port(),
            users.display(),
            match mode {
                PoolMode::Transaction => "transaction",
                PoolMode::Session => "session",
            },
        );
        fs::write(&settings, text).map_err(io("write PgBouncer's settings"))?;
        for file in [&users, &settings] {
            server.account().take(file)?;
        }
        let log = file("log");
        let open = OpenOptions::new().create(true).append(true).open(&log);
        let mut command = server.account().prefix();
        command.extend([program, settings].map(|path| path.display().to_string()));
        let running = Supervisor::start(
            &command,
            directory.path(),
            open.map_err(io("open PgBouncer's log"))?,
        )?;
        let deadline = Instant::now() + START_PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if !running.is_running() || Instant::now() > deadline {
                let tail = fs::read_to_string(&log).unwrap_or_default();
                return Err(Error::PoolerNotStarted { tail });
            }
            pause();
        }
        Ok(Self { _running: running, _directory: directory, port })
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}

fn program() -> Result<PathBuf, Error> {
    if let Some(named) = env::var_os(POOLER_VARIABLE).filter(|value| !value.is_empty()) {
        return Ok(PathBuf::from(named));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder: PathBuf| folder.join("pgbouncer"))
        .find(|file: &PathBuf| Path::is_file(file))
        .ok_or(Error::NoPooler)
}
