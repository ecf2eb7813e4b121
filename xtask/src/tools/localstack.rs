//! LocalStack in host mode, for the suite that proves our calls of STS and IAM against software that
//! we did not write.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::{cache, named_by, python};

/// The last version whose syntax Python 3.11 reads; later ones want 3.13.
const VERSION: &str = "4.10.0";

/// What 4.10.0 was released with: newer ones of these break it.
const CONSTRAINTS: &str = "\
cbor2==5.7.1
localstack-twisted==24.3.0
moto-ext==5.1.15.post10
pyopenssl==25.3.0
";

/// The Python that has LocalStack.
///
/// # Errors
/// When there is no Python 3.11 or it can't be installed.
pub(crate) fn localstack() -> Result<PathBuf> {
    if let Some(named) = named_by("EBBGATE_LOCALSTACK_PYTHON") {
        return Ok(named);
    }
    let folder = cache::tool(&format!("localstack-{VERSION}"), install)?;
    Ok(folder.join("bin/python"))
}

fn install(folder: &Path) -> Result<()> {
    let constraints = folder.join("constraints.txt");
    fs::write(&constraints, CONSTRAINTS).context("write the versions to keep to")?;
    let constraints = constraints.to_str().context("a cache folder whose path is UTF-8")?;
    let package = format!("localstack-core[runtime]=={VERSION}");
    let requirements = ["--constraint", constraints, &package];
    python::environment(
        folder,
        |version| version == (3, 11),
        "Python 3.11",
        &requirements,
    )
    .with_context(|| {
        format!(
            "LocalStack {VERSION} needs Python 3.11 (python3.11 on the search path, with venv); \
                 set EBBGATE_LOCALSTACK_PYTHON to one that has it, or run the other tests by name"
        )
    })
}
