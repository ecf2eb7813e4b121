//! Waiting for a condition instead of sleeping for a time: fast when the machine is, patient when
//! it is busy, and telling what was last seen when it gives up.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// How long a test waits for something that should come about at once. Generous, since a loaded
/// machine is no defect; a passing test never waits this long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What a probe fails with when waiting on is in vain: the program it asks has ended.
#[derive(Debug)]
pub struct Hopeless(pub String);

impl std::fmt::Display for Hopeless {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Hopeless {}

/// Calls `probe` until it succeeds and gives what it returned. An error of `probe` means 'not
/// yet', unless it is [`Hopeless`].
///
/// # Errors
/// After [`PATIENCE`], with `what` was waited for and the probe's last error.
pub async fn eventually<T>(what: &str, probe: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    within(PATIENCE, what, probe).await
}

/// [`eventually`], with another limit.
///
/// # Errors
/// After `limit`, with `what` was waited for and the probe's last error.
pub async fn within<T>(
    limit: Duration,
    what: &str,
    mut probe: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let begin = Instant::now();
    let mut pause = Duration::from_millis(5);
    loop {
        match probe().await {
            Ok(found) => return Ok(found),
            Err(last) if begin.elapsed() >= limit || last.is::<Hopeless>() => {
                return Err(last)
                    .with_context(|| format!("waited {:.1?} in vain: {what}", begin.elapsed()));
            }
            Err(_) => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{bail, ensure};

    use super::*;

    #[tokio::test]
    async fn gives_what_the_probe_gave_at_last() {
        let mut calls = 0;
        let found = eventually("the third call", async || {
            calls += 1;
            ensure!(calls == 3, "call {calls}");
            Ok(calls)
        });
        assert_eq!(found.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn tells_what_it_saw_last() {
        let never = within(Duration::ZERO, "rain", async || -> Result<()> { bail!("sunshine") });
        let said = format!("{:#}", never.await.unwrap_err());
        assert!(
            said.starts_with("waited ") && said.ends_with(" in vain: rain: sunshine"),
            "{said}"
        );
    }

    #[tokio::test]
    async fn gives_up_at_once_where_there_is_no_hope() {
        let mut calls = 0;
        let never = eventually("an answer", async || -> Result<()> {
            calls += 1;
            Err(Hopeless("it is dead".to_owned()).into())
        });
        never.await.unwrap_err();
        assert_eq!(calls, 1);
    }
}
