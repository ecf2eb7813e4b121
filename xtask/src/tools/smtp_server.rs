//! aiosmtpd, a real SMTP server that keeps what it gets in a folder.

use std::path::PathBuf;

use anyhow::Result;

use super::{cache, named_by, python};

const VERSION: &str = "1.4.6";

/// The Python that has it; installed where there is none.
///
/// # Errors
/// When it can't be installed.
pub(crate) fn smtp_server() -> Result<PathBuf> {
    if let Some(named) = named_by("EBBGATE_SMTP_PYTHON") {
        return Ok(named);
    }
    let folder = cache::tool(&format!("aiosmtpd-{VERSION}"), |folder| {
        let requirement = format!("aiosmtpd=={VERSION}");
        python::environment(folder, |v| v >= (3, 9), "Python 3.9 or newer", &[&requirement])
    })?;
    Ok(folder.join("bin/python"))
}
