//! Channels to people and to other systems: each is one file that renders the same notices for its
//! medium. The outbox decides when; a channel only delivers, once per call.

mod email;
mod log;
mod public_address;
mod render;
mod webhook;

pub use email::{EmailChannel, EmailSettings, InvalidEmailSettings, SmtpLogin, SmtpTls};
pub use log::LogChannel;
pub use webhook::{InvalidWebhookSettings, WebhookChannel, WebhookSecret, WebhookSettings};
