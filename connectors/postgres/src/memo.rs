//! One look for all who wait for it: what was seen a moment ago is taken to be so, and a look that
//! fails while others wait for it fails for them too.

use std::{future::Future, time::Duration};

use ebbgate_connector_api::{ConnectorError, ErrorKind};
use tokio::{sync::Mutex, time::Instant};

/// For how long what was seen is taken to be so.
const KNOWN_GOOD: Duration = Duration::from_secs(60);

/// The last look at something.
#[derive(Default)]
pub(crate) struct Memo(Mutex<Option<LookedAt>>);

enum LookedAt {
    /// It was found or made good by a look that began then.
    Good(Instant),
    /// That could not be done; when it was given up, and why.
    Failed(Instant, ErrorKind, String),
}

impl Memo {
    /// Looks, unless somebody did lately. `doing` is what this caller cannot do where it fails.
    ///
    /// # Errors
    /// The look's own.
    pub(crate) async fn ensure(
        &self,
        doing: impl FnOnce() -> String,
        look: impl Future<Output = Result<(), ConnectorError>>,
    ) -> Result<(), ConnectorError> {
        let asked = Instant::now();
        let mut last = self.0.lock().await;
        match &*last {
            Some(LookedAt::Good(at)) if at.elapsed() < KNOWN_GOOD => return Ok(()),
            // It failed while we waited for it: a queue of those who try again would be endless.
            Some(LookedAt::Failed(at, kind, text)) if *at > asked => {
                return Err(ConnectorError::new(*kind, doing()).because(text.clone()));
            }
            _ => {}
        }
        let begun = Instant::now();
        let outcome = look.await;
        *last = Some(match &outcome {
            Ok(()) => LookedAt::Good(begun),
            Err(error) => LookedAt::Failed(Instant::now(), error.kind(), error.chain()),
        });
        outcome
    }
}
