//! How exposed our services are by their systemd units, as systemd itself counts it.

use anyhow::{Context as _, Result, bail};

use crate::run::{announce, command, workspace};

/// Where the units are.
const FOLDER: &str = "deploy/systemd";
/// The most exposed that one may be, in tenths (systemd-analyze(1): 0 is not at all, 100 fully).
const MOST_EXPOSED: &str = "20";

/// Fails when a unit is more exposed than that. Where systemd-analyze is missing or too old to look
/// at files, it says so.
///
/// # Errors
/// When one is, or the units can't be listed.
pub(crate) fn check() -> Result<()> {
    let help = command("systemd-analyze").arg("--help").output();
    if !help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains("--threshold")) {
        announce("NOT CHECKED: systemd units: there is no systemd-analyze of systemd 250 or newer");
        return Ok(());
    }
    announce("systemd units");
    let folder = workspace().join(FOLDER);
    let units = std::fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))?;
    let mut seen = 0;
    for unit in units.flatten() {
        let looked = command("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager", "--threshold", MOST_EXPOSED])
            .arg(unit.path())
            .output()
            .context("start systemd-analyze")?;
        let said = String::from_utf8_lossy(&looked.stdout);
        let verdict = said.lines().rfind(|line| line.contains("exposure level"));
        let verdict = verdict.unwrap_or("no verdict").trim_start_matches(['→', ' ']);
        if !looked.status.success() {
            let errors = String::from_utf8_lossy(&looked.stderr);
            bail!("{}: {verdict}\n{errors}", unit.path().display());
        }
        eprintln!("    {verdict}");
        seen += 1;
    }
    if seen == 0 { bail!("there are no units in {FOLDER}") } else { Ok(()) }
}
