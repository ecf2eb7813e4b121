//! Places where tests kill the program, as power loss would: `EBBGATE_CRASH_AT=<point>`.
//!
//! Compiled into debug builds only; in a release build a point is nothing.

/// Dies here, with SIGKILL, where the environment says so.
#[cfg(debug_assertions)]
pub fn point(name: &str) {
    if std::env::var("EBBGATE_CRASH_AT").is_ok_and(|wanted| wanted == name) {
        let pid = std::process::id().to_string();
        // Not abort(): a SIGKILL runs no handler, flushes nothing and writes no core.
        let killed = std::process::Command::new("kill").args(["-KILL", &pid]).status();
        drop(killed);
        std::process::abort();
    }
}

/// Nothing in a release build.
#[cfg(not(debug_assertions))]
pub fn point(_name: &str) {}
