//! The real AWS CLI.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{cache, named_by, on_path, python};
use crate::run::command;

/// Version 1, from PyPI. Version 2 isn't there; both call a credential_process alike.
const VERSION: &str = "1.45.11";

/// The program; installed where there is none that is new enough.
///
/// # Errors
/// When it can't be installed.
pub(crate) fn aws_cli() -> Result<PathBuf> {
    if let Some(named) = named_by("EBBGATE_AWS_CLI") {
        return Ok(named);
    }
    if let Some(found) = on_path("aws").filter(|aws| is_new_enough(aws)) {
        return Ok(found);
    }
    let folder = cache::tool(&format!("awscli-{VERSION}"), |folder| {
        let requirement = format!("awscli=={VERSION}");
        python::environment(folder, |v| v >= (3, 9), "Python 3.9 or newer", &[&requirement])
    })?;
    Ok(folder.join("bin/aws"))
}

/// `AWS_ENDPOINT_URL` leads it to an emulator; it came with 1.29 and 2.13.
fn is_new_enough(aws: &Path) -> bool {
    let Ok(output) = command(aws).arg("--version").output() else {
        return false;
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = said.strip_prefix("aws-cli/").and_then(|rest| rest.split(' ').next());
    let mut parts = version.unwrap_or_default().split('.').map(|part| part.parse().unwrap_or(0));
    matches!((parts.next(), parts.next()), (Some(1), Some(29..)) | (Some(2), Some(13..)))
}
