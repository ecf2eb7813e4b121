//! PgBouncer, for the tests that put a pooler between a person and PostgreSQL.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{debian, named_by, on_path};

/// Where Debian puts it; that need not be on everybody's search path.
const DEBIANS: &str = "/usr/sbin/pgbouncer";

/// The program; installs Debian's where there is none.
///
/// # Errors
/// When there is none and it can't be installed.
pub(crate) fn pgbouncer() -> Result<PathBuf> {
    if let Some(named) = named_by("EBBGATE_PGBOUNCER") {
        return Ok(named);
    }
    let find = || {
        let debians = Path::new(DEBIANS);
        on_path("pgbouncer").or_else(|| debians.is_file().then(|| debians.to_owned()))
    };
    if let Some(found) = find() {
        return Ok(found);
    }
    debian::install(&["pgbouncer"], "PgBouncer")?;
    find().context("find pgbouncer after its installation")
}
