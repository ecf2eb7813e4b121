//! The daemon: wires adapters to ports, does what fell due while it was down, then serves.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use ebbgate_broker_app::{AppError, Broker, Outbox, Ports};
use ebbgate_broker_ports::{AppliedFlows as _, Catalogue as _, Clock as _, Store, StoreError};
use ebbgate_broker_store_common::{SealKeyFile, Table};
use ebbgate_broker_store_postgres::PostgresStore;
use ebbgate_broker_store_sqlite::SqliteStore;
use ebbgate_connector_api::Connector;
use ebbgate_connector_aws::{AwsConnector, AwsSettings};
use ebbgate_domain::{
    audit::{Action, Actor, AuditEvent},
    names::{AgentName, IntegrationName},
};
use ebbgate_settings::Mistake;
use secrecy::ExposeSecret as _;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    agents::{Agents, Hub},
    config::{self, Aws, Config, Integration, LiveConfig, Settings, StoreUrl, Target},
    http::{Api, router},
    metrics::Metrics,
    placement::Places,
    serve::Server,
    system::{SystemClock, SystemIds},
    tls::{self, Authority, BROKER_NAME, Certificates, OrderKey},
};

/// How long work in hand may take when the broker stops; a supervisor's patience is ten seconds.
const DRAIN: Duration = Duration::from_secs(8);
/// How often connectors clear away what may go.
const PRUNE: Duration = Duration::from_secs(60);
/// How often targets that are served from here are looked at for drift; agents do so by themselves.
/// What is found twice belongs to nobody for long enough to be removed.
const DRIFT: Duration = Duration::from_secs(60);
/// How often it is noted which resources are in the inventory; also whenever that is read.
const SIGHT: Duration = Duration::from_secs(3_600);
/// How often the broker's own certificate is made anew.
const CERTIFICATE: Duration = Duration::from_secs(24 * 3_600);

/// Opens the store that the settings name, and brings its tables up to date. The key of its seals
/// lies beside the broker's other keys, never in the store.
pub(crate) async fn open_store(settings: &Settings) -> Result<Arc<dyn Store>> {
    let key = SealKeyFile::in_dir(&settings.data_dir);
    Ok(match &settings.store {
        StoreUrl::Sqlite(path) => {
            if let Some(dir) = path.parent() {
                fs::create_dir_all(dir)
                    .with_context(|| format!("cannot make {}", dir.display()))?;
            }
            Arc::new(SqliteStore::open(path, &key).await.with_context(|| cannot_open(path))?)
        }
        StoreUrl::Postgres(url) => {
            Arc::new(PostgresStore::connect(url.expose_secret(), &key).await.context(CANNOT_OPEN)?)
        }
    })
}

/// Which records of the store bear no seal of the broker's key; with `accept` they get one.
pub(crate) async fn seal_store(settings: &Settings, accept: bool) -> Result<Vec<(Table, String)>> {
    let key = SealKeyFile::in_dir(&settings.data_dir);
    match &settings.store {
        StoreUrl::Sqlite(path) => {
            SqliteStore::seal(path, &key, accept).await.with_context(|| cannot_open(path))
        }
        StoreUrl::Postgres(url) => {
            PostgresStore::seal(url.expose_secret(), &key, accept).await.context(CANNOT_OPEN)
        }
    }
}

const CANNOT_OPEN: &str = "cannot open the PostgreSQL store";

fn cannot_open(path: &Path) -> String {
    format!("cannot open {}", path.display())
}

/// Everything that runs.
struct Daemon {
    file: PathBuf,
    settings: Settings,
    config: Arc<LiveConfig>,
    authority: Arc<Authority>,
    certificates: Arc<Certificates>,
    broker: Broker,
    places: Arc<Places>,
}

fn log_warnings(warnings: &[Mistake]) {
    for warning in warnings {
        tracing::warn!(%warning, "somebody should look at the settings");
    }
}

/// Runs the broker until SIGTERM or SIGINT.
///
/// # Errors
/// It cannot start: the message says what to change.
pub(crate) async fn run(file: &Path) -> Result<()> {
    let Config { settings, snapshot, tokens, flows, warnings } = config::load(file)?;
    log_warnings(&warnings);
    let clock = Arc::new(SystemClock);
    let config = Arc::new(LiveConfig::new(snapshot, tokens, flows, settings.applied_flows()));
    let authority = Arc::new(Authority::open(&settings.data_dir, clock.now())?);
    let own = authority.server_certificate(&names(&settings), clock.now())?;
    let certificates = Arc::new(Certificates::new(own, settings.tls.as_ref())?);
    let store = open_store(&settings).await?;
    let metrics = Arc::new(Metrics::new());
    let hub = Arc::new(Hub::new(OrderKey::open(&settings.data_dir)?, metrics.clone()));

    let (local, remote) = connectors(&settings.integrations).await?;
    let places = Arc::new(Places::new(local, remote, hub.clone(), clock.clone()));
    let broker = Broker::new(Ports {
        store,
        catalogue: config.clone(),
        placement: places.clone(),
        clock,
        ids: Arc::new(SystemIds),
        meter: metrics.clone(),
    });
    places.report_to(broker.clone());
    first_flows(&broker, &config).await?;
    let agents = Agents {
        broker: broker.clone(),
        hub: hub.clone(),
        authority: authority.clone(),
        integrations: Arc::new(settings.integrations.clone()),
    };
    let api = Api {
        broker: broker.clone(),
        config: config.clone(),
        authority: authority.clone(),
        hub,
        metrics,
    };
    let acceptor =
        TlsAcceptor::from(Arc::new(tls::server_config(&authority, certificates.clone())?));
    let daemon =
        Daemon { file: file.to_owned(), settings, config, authority, certificates, broker, places };
    daemon.serve(api, agents, acceptor).await
}

/// Puts in force what administrators applied last, before anything is decided.
async fn first_flows(broker: &Broker, config: &LiveConfig) -> Result<()> {
    match broker.follow_flows().await {
        // It has told of it. Without flows nothing is given, and what was given must end on time.
        Err(AppError::Store(StoreError::NotBelieved { .. })) => {}
        followed => {
            followed.context("the flows that were applied last do not fit the settings")?;
        }
    }
    if config.is_applied() && config.number() == 0 && !config.snapshot().policies.unknown {
        tracing::warn!(
            "no flows were ever applied, so nobody can ask for anything: an administrator applies \
             them with `ebb admin flows apply FOLDER`"
        );
    }
    Ok(())
}

impl Daemon {
    async fn serve(self, api: Api, agents: Agents, acceptor: TlsAcceptor) -> Result<()> {
        // Before anything else: what fell due while nobody was there, earliest first.
        if let Err(error) = self.broker.settle_leavers().await {
            // What could be settled is; one record that resists must not keep all others waiting.
            tracing::error!(
                error = ebbgate_broker_ports::chain(&error),
                "cannot settle all that people who left leave behind; it is tried again soon"
            );
        }
        self.broker.do_due().await;
        self.broker.count_stuck().await?;

        let listen = self.settings.listen;
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("cannot listen on {listen}"))?;
        let address = listener.local_addr()?;
        self.broker.note(self.started()).await?;
        announce(&address.to_string())?;

        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let server = Server { listener, acceptor, rest: router(api), agents };
        tasks.spawn(server.run(stop.clone()));
        tasks.spawn({
            let (broker, stop) = (self.broker.clone(), stop.clone());
            async move { broker.run_scheduler(stop).await }
        });
        for setting in &self.settings.channels {
            let (broker, channel, stop) =
                (self.broker.clone(), setting.channel.clone(), stop.clone());
            let outbox = Outbox::new(broker, channel, setting.per_minute);
            tasks.spawn(async move { outbox.run(stop).await });
        }
        tokio::spawn({
            let places = self.places.clone();
            async move { places.check().await }
        });
        tracing::info!(addr = %address, public_url = %self.settings.public_url, "listening");

        self.watch().await?;
        tracing::info!("stopping: no new work, what is in hand is finished");
        stop.cancel();
        tasks.close();
        let drained = tokio::time::timeout(DRAIN, async {
            tasks.wait().await;
            self.places.drain().await;
        });
        if drained.await.is_err() {
            tracing::warn!("some work was not finished in time; it is taken up at the next start");
        }
        Ok(())
    }

    /// Waits for signals and for the hours of housekeeping; returns when the broker shall stop.
    async fn watch(&self) -> Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut prune = tokio::time::interval(PRUNE);
        let mut drift = tokio::time::interval(DRIFT);
        let mut sight = tokio::time::interval(SIGHT);
        let mut certificate = tokio::time::interval(CERTIFICATE);
        loop {
            tokio::select! {
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
                _ = hangup.recv() => self.reload().await,
                _ = certificate.tick() => self.renew(),
                _ = prune.tick() => {
                    let places = self.places.clone();
                    tokio::spawn(async move { places.prune().await });
                }
                _ = sight.tick() => self.sight(),
                _ = drift.tick() => {
                    let places = self.places.clone();
                    tokio::spawn(async move { places.look_for_drift().await });
                }
            }
        }
    }

    /// Reads people, flows and resources again. What has a mistake changes nothing.
    async fn reload(&self) {
        self.renew();
        let warnings = match config::load(&self.file).and_then(|mut config| {
            let warnings = std::mem::take(&mut config.warnings);
            self.config.replace(&self.file, config).map(|()| warnings)
        }) {
            Ok(warnings) => warnings,
            Err(mistakes) => {
                tracing::error!(%mistakes, "the settings were not read again: the former ones stay in force");
                return;
            }
        };
        log_warnings(&warnings);
        let event = AuditEvent::new(Action::BrokerReloaded, Actor::Broker, self.broker.now());
        // They are in force already: what they mean is settled whether that can be noted or not.
        let noted = self.broker.note(event).await;
        let settled = self.broker.settle_leavers().await;
        match noted.and(settled) {
            Ok(()) => tracing::info!("people, flows and resources read again"),
            Err(error) => {
                tracing::error!(
                    error = ebbgate_broker_ports::chain(&error),
                    "cannot settle what changed settings mean; it is tried again soon"
                );
            }
        }
        self.broker.wake();
        self.sight();
    }

    /// Notes which resources are in the inventory; nobody waits for it.
    fn sight(&self) {
        let broker = self.broker.clone();
        tokio::spawn(async move {
            if let Err(error) = broker.sight_resources().await {
                let error = ebbgate_broker_ports::chain(&error);
                tracing::error!(error, "cannot note which resources there are; it is tried again");
            }
        });
    }

    fn renew(&self) {
        let renewed = self
            .authority
            .server_certificate(&names(&self.settings), self.broker.now())
            .map_err(anyhow::Error::from)
            .and_then(|own| Ok(self.certificates.replace(own, self.settings.tls.as_ref())?));
        if let Err(error) = renewed {
            tracing::error!(
                error = format!("{error:#}"),
                "the certificates were not renewed: the former ones stay"
            );
        }
    }

    fn started(&self) -> AuditEvent {
        let flows: BTreeMap<_, _> = self
            .broker
            .snapshot()
            .policies
            .flows
            .values()
            .map(|flow| (flow.name.to_string(), flow.version()))
            .collect();
        AuditEvent::new(Action::BrokerStarted, Actor::Broker, self.broker.now())
            .detail("version", env!("CARGO_PKG_VERSION"))
            .detail("flows", serde_json::to_value(flows).unwrap_or_default())
    }
}

/// The names and addresses that the broker's own certificate is for.
fn names(settings: &Settings) -> Vec<String> {
    let mut names = vec![BROKER_NAME.to_owned(), "localhost".to_owned()];
    if !settings.listen.ip().is_unspecified() {
        names.push(settings.listen.ip().to_string());
    }
    if let Some(host) = settings.public_url.host_str() {
        names.push(host.trim_start_matches('[').trim_end_matches(']').to_owned());
    }
    names.sort();
    names.dedup();
    names
}

type Local = BTreeMap<IntegrationName, Arc<dyn Connector>>;

/// The connectors that run here, and the agents that run the others.
async fn connectors(
    integrations: &[Integration],
) -> Result<(Local, BTreeMap<IntegrationName, Vec<AgentName>>)> {
    let (mut local, mut remote) = (Local::new(), BTreeMap::new());
    for integration in integrations {
        match &integration.target {
            Target::Database { at, .. } => {
                remote.insert(integration.name.clone(), at.clone());
            }
            Target::Aws(aws) => {
                let connector = aws_connector(&integration.name, aws).await.with_context(|| {
                    format!("cannot set up the integration {}", integration.name)
                })?;
                local.insert(integration.name.clone(), Arc::new(connector));
            }
        }
    }
    Ok((local, remote))
}

async fn aws_connector(name: &IntegrationName, aws: &Aws) -> Result<AwsConnector> {
    let region = aws_config::Region::new(aws.region.clone());
    let sdk =
        aws_config::defaults(aws_config::BehaviorVersion::latest()).region(region).load().await;
    let settings = AwsSettings {
        integration: name.clone(),
        region: aws.region.clone(),
        ceiling_role: aws.ceiling_role.parse()?,
        assume_role: aws.assume_role.as_deref().map(str::parse).transpose()?,
        endpoint: aws.endpoint.clone(),
    };
    Ok(AwsConnector::new(settings, &sdk)?)
}

/// Tells whoever started the program where it listens: `EBBGATE_READY_FILE` gets the address, all
/// at once.
fn announce(address: &str) -> Result<()> {
    let Some(path) = std::env::var_os("EBBGATE_READY_FILE").map(PathBuf::from) else {
        return Ok(());
    };
    let temporary = path.with_extension("new");
    fs::write(&temporary, format!("{address}\n"))
        .and_then(|()| fs::rename(&temporary, &path))
        .with_context(|| format!("cannot write {}", path.display()))
}
