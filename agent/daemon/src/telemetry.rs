//! The agent's log: one JSON line each on standard error, or text on a terminal. No bodies, no
//! secrets.

use std::{
    error::Error,
    io::{self, IsTerminal as _},
};

use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// Starts logging. `EBBGATE_LOG` filters by level and by target, as in `info,sqlx=debug` (default
/// `info`), `EBBGATE_LOG_FORMAT` is `text` or `json`.
pub(crate) fn start() {
    let (filter, complaint) = filter(std::env::var("EBBGATE_LOG").ok().as_deref());
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
    if let Some(error) = complaint {
        tracing::warn!(error, "EBBGATE_LOG is not understood: logging at info");
    }
}

/// By level and target alone: a filter by fields would bring regular expressions along.
fn filter(wanted: Option<&str>) -> (Targets, Option<String>) {
    let info = Targets::new().with_default(LevelFilter::INFO);
    match wanted.filter(|wanted| !wanted.trim().is_empty()).map(str::parse) {
        None => (info, None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (info, Some(chain(&error))),
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
    use tracing::Level;

    use super::*;
    use crate::files;

    #[test]
    fn filters_by_level_and_target_and_falls_back_on_info() {
        let (filtered, complaint) = filter(Some("warn,sqlx=debug"));
        assert!(complaint.is_none());
        assert!(filtered.would_enable("sqlx::query", &Level::DEBUG));
        assert!(!filtered.would_enable("ebbgate_agent", &Level::INFO));

        for unset in [None, Some(""), Some("sqlx=loud")] {
            let (filtered, complaint) = filter(unset);
            assert_eq!(complaint.is_some(), unset == Some("sqlx=loud"), "{unset:?}: {complaint:?}");
            assert!(filtered.would_enable("ebbgate_agent", &Level::INFO));
            assert!(!filtered.would_enable("ebbgate_agent", &Level::DEBUG));
        }
    }

    #[test]
    fn a_chain_names_the_operation_and_its_causes() {
        let error = files::read("/nowhere/x".as_ref()).unwrap_err();
        assert_eq!(chain(&error), "cannot read /nowhere/x: No such file or directory (os error 2)");
    }
}
