//! The program's log: one JSON line each on stderr, or text on a terminal. No bodies, no tokens.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Starts logging. `EBBGATE_LOG` filters (default `info`), `EBBGATE_LOG_FORMAT` is `text` or `json`.
pub(crate) fn start() {
    let filter = EnvFilter::try_from_env("EBBGATE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let text = match std::env::var("EBBGATE_LOG_FORMAT").as_deref() {
        Ok("text") => true,
        Ok(_) => false,
        Err(_) => std::io::stderr().is_terminal(),
    };
    let registry = tracing_subscriber::registry().with(filter);
    if text {
        registry.with(fmt::layer().with_writer(std::io::stderr)).init();
    } else {
        registry.with(fmt::layer().json().with_writer(std::io::stderr)).init();
    }
}
