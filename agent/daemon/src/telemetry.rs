//! The agent's log: one JSON line each on standard error, or text on a terminal. No bodies, no
//! secrets.

use std::{
    error::Error,
    io::{self, IsTerminal as _},
};

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Starts logging. `EBBGATE_LOG` filters (default `info`), `EBBGATE_LOG_FORMAT` is `text` or `json`.
pub(crate) fn start() {
    let filter = EnvFilter::try_from_env("EBBGATE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let text = match std::env::var("EBBGATE_LOG_FORMAT") {
        Ok(format) => format == "text",
        Err(_) => io::stderr().is_terminal(),
    };
    let registry = tracing_subscriber::registry().with(filter);
    if text {
        registry.with(fmt::layer().with_writer(io::stderr)).init();
    } else {
        registry.with(fmt::layer().json().with_writer(io::stderr)).init();
    }
}

/// An error and its causes in one line. The JSON layer shows an error's own words only.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;

    #[test]
    fn a_chain_names_the_operation_and_its_causes() {
        let error = files::read("/nowhere/x".as_ref()).unwrap_err();
        assert_eq!(chain(&error), "cannot read /nowhere/x: No such file or directory (os error 2)");
    }
}
