//! E-mail over SMTP. One message a person, so that nobody sees who else was told; the message's id
//! is the same at each attempt, so that a mailbox shows it once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    time::Duration,
};

use async_trait::async_trait;
use ebbgate_broker_ports::{Channel, ChannelError, store::OutboxItem};
use ebbgate_domain::{
    Timestamp,
    ids::NoticeId,
    names::{ChannelName, PrincipalId},
};
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
    },
};
use secrecy::{ExposeSecret as _, SecretString};

use crate::render;

/// The longest time for one SMTP command.
const PATIENCE: Duration = Duration::from_secs(8);
/// Of how many unfinished notices it is remembered who has got them.
const REMEMBERED: usize = 1_000;

/// How the connection to the mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    /// TLS from the first byte (`smtps://`, RFC 8314).
    Implicit,
    /// STARTTLS, and nothing without it (`smtp://`).
    StartTls,
    /// None; for a relay on the same host.
    None,
}

/// Who we are to the mail server.
#[derive(Debug)]
pub struct SmtpLogin {
    /// The user.
    pub user: String,
    /// The password.
    pub password: SecretString,
}

/// How to send mail.
#[derive(Debug)]
pub struct EmailSettings {
    /// The channel's name.
    pub name: ChannelName,
    /// The mail server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: SmtpTls,
    /// Who we are to it.
    pub login: Option<SmtpLogin>,
    /// The sender, such as `Ebbgate <access@example.com>`.
    pub from: String,
    /// A certificate authority to trust beside the platform's, in PEM.
    pub authority: Option<Vec<u8>>,
}

/// Why an e-mail channel cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum InvalidEmailSettings {
    /// No sender.
    #[error("'{text}' is no sender: write Name <address@example.com>")]
    From {
        /// What was given.
        text: String,
    },
    /// TLS.
    #[error("cannot set up TLS to the mail server")]
    Tls(#[from] lettre::transport::smtp::Error),
}

/// Sends each notice to the people it is for.
#[derive(Debug)]
pub struct EmailChannel {
    name: ChannelName,
    from: Mailbox,
    transport: AsyncSmtpTransport<Tokio1Executor>,
    /// Who has got a notice of which others have not: they do not get it again when it is tried
    /// again. Forgotten at a restart: delivery is at least once.
    got: Mutex<BTreeMap<NoticeId, BTreeSet<PrincipalId>>>,
}

impl EmailChannel {
    /// A channel over this server. Nothing is connected yet.
    ///
    /// # Errors
    /// The sender is no mailbox, or TLS cannot be set up.
    pub fn new(settings: EmailSettings) -> Result<Self, InvalidEmailSettings> {
        let from = settings
            .from
            .parse()
            .map_err(|_| InvalidEmailSettings::From { text: settings.from.clone() })?;
        let parameters = || -> Result<TlsParameters, lettre::transport::smtp::Error> {
            let mut builder = TlsParameters::builder(settings.host.clone());
            if let Some(pem) = &settings.authority {
                builder = builder.add_root_certificate(Certificate::from_pem(pem)?);
            }
            builder.build_rustls()
        };
        let tls = match settings.tls {
            SmtpTls::Implicit => Tls::Wrapper(parameters()?),
            SmtpTls::StartTls => Tls::Required(parameters()?),
            SmtpTls::None => Tls::None,
        };
        let mut builder =
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(settings.host.as_str())
                .port(settings.port)
                .tls(tls)
                .timeout(Some(PATIENCE));
        if let Some(login) = settings.login {
            let password = login.password.expose_secret().to_owned();
            builder = builder.credentials(Credentials::new(login.user, password));
        }
        Ok(Self { name: settings.name, from, transport: builder.build(), got: Mutex::default() })
    }

    async fn send(&self, item: &OutboxItem, person: &PrincipalId) -> Result<(), Unsent> {
        // A service account, perhaps; it reads no mail.
        let Ok(address) = person.as_str().parse::<Address>() else {
            tracing::debug!(notice.id = %item.id, person = %person, "no e-mail address");
            return Ok(());
        };
        let message = self.message(item, address)?;
        match self.transport.send(message).await {
            Ok(_) => Ok(()),
            // The server will never take it for this person; the others still get theirs.
            Err(error) if error.is_permanent() => Err(Unsent::Never(error)),
            Err(error) => Err(Unsent::NotYet(error)),
        }
    }

    fn message(&self, item: &OutboxItem, to: Address) -> Result<Message, Unsent> {
        let notice = &item.notice;
        let domain = self.from.email.domain();
        let thread = format!("<{}@{domain}>", notice.request);
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to.clone()))
            .subject(render::subject(notice))
            .message_id(Some(format!("<{}.{to}>", item.id)))
            // Mail programs show all that is said of one request as one conversation.
            .in_reply_to(thread.clone())
            .references(thread)
            .date(std::time::SystemTime::from(item.at))
            .header(ContentType::TEXT_PLAIN)
            .body(render::body(notice))
            .map_err(Unsent::Message)
    }

    fn has_got(&self, id: NoticeId) -> BTreeSet<PrincipalId> {
        let got = self.got.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        got.get(&id).cloned().unwrap_or_default()
    }

    fn remember(&self, id: NoticeId, people: Option<BTreeSet<PrincipalId>>) {
        let mut got = self.got.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match people {
            Some(people) => got.insert(id, people),
            None => got.remove(&id),
        };
        while got.len() > REMEMBERED {
            got.pop_first();
        }
    }
}

/// Why one person's message was not sent.
#[derive(Debug, thiserror::Error)]
enum Unsent {
    #[error("the message could not be written")]
    Message(#[source] lettre::error::Error),
    #[error("the mail server refused the message for good")]
    Never(#[source] lettre::transport::smtp::Error),
    #[error("the mail server did not take the message")]
    NotYet(#[source] lettre::transport::smtp::Error),
}

#[async_trait]
impl Channel for EmailChannel {
    fn name(&self) -> &ChannelName {
        &self.name
    }

    async fn deliver(&self, item: &OutboxItem, _: Timestamp) -> Result<(), ChannelError> {
        let mut got = self.has_got(item.id);
        let mut failed = None;
        for person in &item.notice.to {
            if got.contains(person) {
                continue;
            }
            match self.send(item, person).await {
                Ok(()) => {
                    got.insert(person.clone());
                }
                Err(error @ Unsent::NotYet(_)) => failed = Some(error),
                Err(error) => {
                    tracing::warn!(
                        notice.id = %item.id,
                        person = %person,
                        error = ebbgate_broker_ports::chain(&error),
                        "a person cannot be told by e-mail"
                    );
                    got.insert(person.clone());
                }
            }
        }
        match failed {
            None => {
                self.remember(item.id, None);
                Ok(())
            }
            Some(error) => {
                self.remember(item.id, Some(got));
                let channel = self.name.clone();
                Err(ChannelError { channel, wait: None, source: error.into() })
            }
        }
    }
}
