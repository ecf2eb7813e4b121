//! A real SMTP server (aiosmtpd) with STARTTLS that keeps each message as a file.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use tokio::net::TcpStream;

use crate::{
    network::Port,
    places,
    process::{Launch, Program},
    settings,
    waiting::eventually,
};

/// A running mail server.
#[derive(Debug)]
pub struct MailServer {
    process: Program,
    port: Port,
    folder: PathBuf,
}

/// One message that it took.
#[derive(Debug, Clone)]
pub struct Mail {
    /// The headers and the body, as they came.
    pub text: String,
}

impl Mail {
    /// A header's value; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        let start = format!("{name}: ");
        self.text.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_default()
    }
}

impl MailServer {
    /// Starts it in a folder of its own; a certificate for `localhost` is in `ca.pem` there.
    ///
    /// # Errors
    /// When it isn't installed or doesn't come up.
    pub async fn start(folder: &Path) -> Result<Self> {
        let key = rcgen::KeyPair::generate().context("make a key")?;
        let names = vec!["localhost".to_owned()];
        let certificate = rcgen::CertificateParams::new(names)
            .and_then(|params| params.self_signed(&key))
            .context("make a certificate")?;
        settings::write(&folder.join("ca.pem"), &certificate.pem())?;
        settings::write(&folder.join("key.pem"), &key.serialize_pem())?;
        let port = Port::reserve()?;
        let mut process = Launch::new(places::smtp_python()?)?
            .args([
                "-m",
                "aiosmtpd",
                "--nosetuid",
                "--listen",
                &format!("localhost:{}", port.number()),
            ])
            .arg("--tlscert")
            .arg(folder.join("ca.pem"))
            .arg("--tlskey")
            .arg(folder.join("key.pem"))
            .args(["--class", "aiosmtpd.handlers.Mailbox"])
            .arg(folder.join("box"))
            .start("the mail server", &folder.join("smtp.log"))?;
        let at = ("localhost", port.number());
        eventually("the mail server listening", async || {
            process.ensure_running()?;
            TcpStream::connect(at).await.map(drop).context("connect to it")
        })
        .await?;
        Ok(Self { process, port, folder: folder.to_owned() })
    }

    /// What the broker's settings say of it.
    pub fn settings(&self, name: &str) -> String {
        format!(
            "  - {{name: {name}, kind: email, smtp: 'smtp://localhost:{}', from: 'Ebbgate <ebbgate@example.com>', ca: {}}}\n",
            self.port.number(),
            self.folder.join("ca.pem").display()
        )
    }

    /// All messages, oldest first.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn messages(&self) -> Result<Vec<Mail>> {
        let mut files: Vec<_> = fs::read_dir(self.folder.join("box/new"))
            .context("open the box")?
            .collect::<Result<Vec<_>, _>>()?;
        files.sort_by_key(|file| file.metadata().and_then(|about| about.modified()).ok());
        files
            .iter()
            .map(|file| Ok(Mail { text: fs::read_to_string(file.path())?.replace("\r\n", "\n") }))
            .collect()
    }

    /// Waits for the message to `person` whose subject contains `subject`.
    ///
    /// # Errors
    /// When none comes.
    pub async fn message(&self, person: &str, subject: &str) -> Result<Mail> {
        eventually(&format!("a mail to {person}: {subject}"), async || {
            let messages = self.messages()?;
            let found = messages.iter().find(|mail| {
                mail.header("To") == person && mail.header("Subject").contains(subject)
            });
            found.cloned().with_context(|| {
                let have: Vec<_> = messages
                    .iter()
                    .map(|mail| (mail.header("To"), mail.header("Subject")))
                    .collect();
                format!("{have:?}")
            })
        })
        .await
    }

    /// Stops it from doing anything; connections to it stay open.
    ///
    /// # Errors
    /// When it is gone.
    pub fn pause(&self) -> Result<()> {
        self.process.signal(Signal::SIGSTOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When it is gone.
    pub fn resume(&self) -> Result<()> {
        self.process.signal(Signal::SIGCONT)
    }
}
