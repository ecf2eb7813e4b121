//! `ebb aws configure`: a profile in the AWS settings for each live grant.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::{Context, live_grants};
use crate::{
    api::{Connect, Grant},
    args,
    aws_config::{self, Ended, Profile},
    clock,
    exit::Exit,
    files,
    lock::Lock,
    lookup, output,
};

pub(super) async fn run(context: &Context, args: &args::AwsConfigure) -> Result<Exit> {
    let live = live_grants(&context.client()?).await?;
    let on_aws: Vec<Grant> = live.iter().filter(|grant| is_usable(grant)).cloned().collect();
    let profiles: Vec<Profile> =
        aws_config::profiles(&on_aws)?.into_iter().map(|(profile, _)| profile).collect();
    let program = env::current_exe().context("cannot tell where ebb is")?;
    let program = program.to_str().context("the path of ebb is not UTF-8: put it elsewhere")?;
    let is_ended = |id: &str| {
        !live
            .iter()
            .any(|grant| grant.id == id && (lookup::is_active(grant) || lookup::is_coming(grant)))
    };

    let path = settings_file()?;
    let _lock = lock(context)?;
    // Where a link leads the file is replaced, not the link.
    let path = fs::canonicalize(&path).unwrap_or(path);
    let before = files::read(&path)?;
    let content = before.as_deref().unwrap_or_default();
    let ended = if args.prune { Ended::Prune } else { Ended::Keep };
    let update = aws_config::update(content, &profiles, ended, is_ended, program)
        .with_context(|| format!("{} is left as it is", path.display()))?;
    if update.content != content {
        let mode = match before {
            Some(_) => {
                fs::metadata(&path)
                    .with_context(|| format!("cannot look at {}", path.display()))?
                    .permissions()
                    .mode()
                    & 0o7777
            }
            None => files::PRIVATE,
        };
        if let Some(folder) = path.parent() {
            files::private_folder(folder)?;
        }
        files::write_whole(&path, &update.content, mode)?;
    }
    for name in &update.pruned {
        output::note(&format!("removed the profile {name}"));
    }
    for profile in &profiles {
        output::note(&format!("profile {} uses {}", profile.name, profile.grant));
    }
    if profiles.is_empty() {
        output::note("you have no live grants on AWS");
    }
    Ok(Exit::DONE)
}

fn is_usable(grant: &Grant) -> bool {
    lookup::is_active(grant) && matches!(grant.connect, Some(Connect::Aws { .. }))
}

/// `$AWS_CONFIG_FILE`, or `~/.aws/config`, as the SDKs have it.
///
/// # Errors
/// There is no home directory.
pub(super) fn settings_file() -> Result<PathBuf> {
    let home = || etcetera::home_dir().context("cannot find your home directory: set HOME");
    match env::var_os("AWS_CONFIG_FILE").filter(|path| !path.is_empty()) {
        Some(path) => match Path::new(&path).strip_prefix("~") {
            Ok(below) => Ok(home()?.join(below)),
            Err(_) => Ok(PathBuf::from(path)),
        },
        None => Ok(home()?.join(".aws").join("config")),
    }
}

/// Keeps two runs from overwriting each other's work; the lock ends with the process.
fn lock(context: &Context) -> Result<Lock> {
    let folder = context.homes.cache();
    files::private_folder(folder)?;
    Lock::take(&folder.join("aws-configure.lock"), clock::now())
}
