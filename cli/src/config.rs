//! What `ebb` knows between two runs: which broker, whose token; and where it keeps that.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use aws_lc_rs::digest;
use etcetera::BaseStrategy as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    broker_url::BrokerUrl,
    exit::{Exit, Stop},
    files,
};

/// The folders that `ebb` uses.
#[derive(Debug, Clone)]
pub(crate) struct Homes {
    config: PathBuf,
    cache: PathBuf,
}

impl Homes {
    /// `$EBB_HOME` and its `cache`, or `ebb` in the folders of the XDG base directory specification.
    ///
    /// # Errors
    /// There is no home directory.
    pub(crate) fn find() -> Result<Self> {
        if let Some(home) = env::var_os("EBB_HOME").filter(|home| !home.is_empty()) {
            let config = PathBuf::from(home);
            return Ok(Self { cache: config.join("cache"), config });
        }
        let xdg = etcetera::base_strategy::Xdg::new()
            .context("cannot find your home directory: set HOME or EBB_HOME")?;
        Ok(Self { config: xdg.config_dir().join("ebb"), cache: xdg.cache_dir().join("ebb") })
    }

    fn settings_file(&self) -> PathBuf {
        self.config.join("config.json")
    }

    fn token_file(&self) -> PathBuf {
        self.config.join("token")
    }

    /// Where what can be got anew is kept.
    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    /// Where AWS credentials are kept for as long as they are valid.
    pub(crate) fn creds(&self) -> PathBuf {
        self.cache.join("creds")
    }
}

/// `config.json`: what isn't secret.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) broker: Option<BrokerUrl>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<PathBuf>,
}

impl Settings {
    /// What was stored by the last `ebb login`.
    ///
    /// # Errors
    /// The file can't be read or understood; the error names it and the place.
    pub(crate) fn load(homes: &Homes) -> Result<Self> {
        let path = homes.settings_file();
        let Some(content) = files::read(&path)? else {
            return Ok(Self::default());
        };
        serde_json::from_slice(&content).with_context(|| {
            format!("cannot understand {} (write it anew with `ebb login`)", path.display())
        })
    }
}

/// Which broker to speak to, trusting whom, as whom.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) broker: BrokerUrl,
    /// A PEM file with roots to trust beside the system's.
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) token: SecretString,
}

impl Login {
    /// The stored log-in, with what `EBB_BROKER`, `EBB_CA_FILE` and `EBB_TOKEN` say instead.
    ///
    /// # Errors
    /// Nobody is logged in; a file can't be read; the stored token is open to others.
    pub(crate) fn load(homes: &Homes) -> Result<Self> {
        let stored = Settings::load(homes)?;
        let broker = broker_variable()?;
        let ca_file = variable("EBB_CA_FILE")?.map(PathBuf::from).or(stored.ca_file);
        if let Some(token) = variable("EBB_TOKEN")?.map(Zeroizing::new) {
            let broker = broker.or(stored.broker).ok_or_else(not_logged_in)?;
            return Ok(Self { broker, ca_file, token: read_token(&token)? });
        }
        if broker.is_some() && stored.broker.is_some() && broker != stored.broker {
            // A token goes to nobody but the broker that it was given for.
            return Err(Stop::new(
                Exit::DENIED,
                "EBB_BROKER names another broker than the one that you are logged in to: \
                 set EBB_TOKEN too, or run `ebb login`",
            )
            .into());
        }
        let token = stored_token(&homes.token_file())?.ok_or_else(not_logged_in)?;
        Ok(Self { broker: broker.or(stored.broker).ok_or_else(not_logged_in)?, ca_file, token })
    }

    /// Stores this log-in in place of any other.
    ///
    /// # Errors
    /// A file can't be written; then nobody is logged in.
    pub(crate) fn store(&self, homes: &Homes) -> Result<()> {
        files::private_folder(&homes.config)?;
        // First, lest a crash half-way leaves the old broker's token beside the new broker's name.
        files::remove(&homes.token_file())?;
        let settings =
            Settings { broker: Some(self.broker.clone()), ca_file: self.ca_file.clone() };
        let mut text = serde_json::to_vec_pretty(&settings).context("cannot write JSON")?;
        text.push(b'\n');
        files::write_whole(&homes.settings_file(), &text, files::PRIVATE)?;
        let token = Zeroizing::new(format!("{}\n", self.token.expose_secret()));
        files::write_whole(&homes.token_file(), token.as_bytes(), files::PRIVATE)
    }

    /// Tells one broker's one person from others without telling who it is: a token belongs to
    /// exactly one person, and reading it needs no network.
    pub(crate) fn fingerprint(&self) -> digest::Digest {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(self.broker.as_str().as_bytes());
        context.update(&[0]);
        context.update(self.token.expose_secret().as_bytes());
        context.finish()
    }
}

/// Forgets the token and all credentials that were got with it; true if there was a token.
///
/// # Errors
/// A file can't be removed.
pub(crate) fn forget(homes: &Homes) -> Result<bool> {
    let was_there = files::remove(&homes.token_file())?;
    let creds = homes.creds();
    match fs::remove_dir_all(&creds) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", creds.display()))
        }
        _ => Ok(was_there),
    }
}

/// A token as it was given: trimmed, and fit for a header.
///
/// # Errors
/// It is empty or has characters that no token has; the error doesn't repeat it.
pub(crate) fn read_token(text: &str) -> Result<SecretString> {
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Stop::new(
            Exit::USAGE,
            "the token is empty or has characters that no token has: give it as it was made, like ebu_…",
        )
        .into());
    }
    Ok(SecretString::from(token))
}

fn stored_token(path: &Path) -> Result<Option<SecretString>> {
    let Some(content) = files::read(path)?.map(Zeroizing::new) else {
        return Ok(None);
    };
    if files::is_open_to_others(path)? {
        let message = format!(
            "{} is open to other users: `chmod 600` it, and have the token replaced if they may have read it",
            path.display()
        );
        return Err(Stop::new(Exit::ERROR, message).into());
    }
    let text = str::from_utf8(&content).unwrap_or_default();
    read_token(text).map(Some).with_context(|| format!("cannot use {}", path.display()))
}

fn not_logged_in() -> Stop {
    Stop::new(Exit::DENIED, "you are not logged in: run `ebb login --broker URL`")
}

/// What `EBB_BROKER` says.
///
/// # Errors
/// It is no broker's address.
pub(crate) fn broker_variable() -> Result<Option<BrokerUrl>> {
    let broker = variable("EBB_BROKER")?.map(|text| text.parse()).transpose();
    broker.context("cannot use EBB_BROKER")
}

/// An environment variable; none if it is unset or empty.
pub(crate) fn variable(name: &str) -> Result<Option<String>> {
    match env::var(name) {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => Ok(Some(text)),
        Err(env::VarError::NotPresent) => Ok(None),
        // The value is not repeated: it may be a token.
        Err(env::VarError::NotUnicode(_)) => anyhow::bail!("{name} is not UTF-8"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_in_is_stored_for_its_owner_alone_and_forgotten() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let homes = Homes { config: folder.path().join("ebb"), cache: folder.path().join("cache") };
        let login = Login {
            broker: "https://x.example".parse().unwrap(),
            ca_file: Some("/etc/ca.pem".into()),
            token: SecretString::from("ebu_1"),
        };
        login.store(&homes).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&homes.config), mode(&homes.token_file())), (0o700, 0o600));
        let settings = Settings::load(&homes).unwrap();
        assert_eq!(settings.broker.unwrap(), login.broker);
        assert_eq!(settings.ca_file, login.ca_file);
        let token = stored_token(&homes.token_file()).unwrap().unwrap();
        assert_eq!(token.expose_secret(), "ebu_1");
        assert!(forget(&homes).unwrap());
        assert!(!forget(&homes).unwrap());
    }

    #[test]
    fn a_token_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        files::write_whole(&path, b"ebu_1\n", 0o644).unwrap();
        let error = stored_token(&path).unwrap_err().to_string();
        assert!(error.contains("open to other users") && !error.contains("ebu_1"), "{error}");
    }

    #[test]
    fn a_token_that_cannot_be_one_is_not_repeated() {
        for text in ["", "  ", "a b", "ebu_é"] {
            let error = read_token(text).unwrap_err().to_string();
            assert!(error.contains("no token has"), "{error}");
        }
        assert_eq!(read_token(" ebu_1\n").unwrap().expose_secret(), "ebu_1");
    }
}
