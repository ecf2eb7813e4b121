//! Two clocks. The real one judges signatures, for clients sign with theirs. The movable one is
//! what AWS is made to believe: it drives `aws:CurrentTime`, issue times and expiry, so that a test
//! needs not wait an hour for an hour.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};

/// The two clocks, apart by an offset in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    offset_ms: AtomicI64,
}

/// A move to where no date can be written.
#[derive(Debug, thiserror::Error)]
#[error("the clock can't be moved beyond the years -9999 to 9999")]
pub(crate) struct OutOfRange;

impl Clock {
    /// The machine's clock.
    #[allow(clippy::disallowed_methods, reason = "this is the adapter that reads the clock")]
    pub(crate) fn real(&self) -> Timestamp {
        Timestamp::now()
    }

    /// The movable clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.real().saturating_add(self.offset()).unwrap_or(Timestamp::MAX)
    }

    /// Moves the movable clock on, or back.
    ///
    /// # Errors
    /// When the result is no date.
    pub(crate) fn advance(&self, seconds: i64) -> Result<(), OutOfRange> {
        let to =
            self.now().checked_add(SignedDuration::from_secs(seconds)).map_err(|_| OutOfRange)?;
        self.set(to);
        Ok(())
    }

    /// Sets the movable clock, which runs on from there.
    pub(crate) fn set(&self, to: Timestamp) {
        let offset = to.as_millisecond() - self.real().as_millisecond();
        self.offset_ms.store(offset, Ordering::SeqCst);
    }

    /// Sets the movable clock to the real time.
    pub(crate) fn reset(&self) {
        self.offset_ms.store(0, Ordering::SeqCst);
    }

    fn offset(&self) -> SignedDuration {
        SignedDuration::from_millis(self.offset_ms.load(Ordering::SeqCst))
    }
}

/// `2026-05-01T12:00:00Z`, as the Query services and S3's headers of that kind write it.
pub(crate) fn iso_seconds(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `2026-05-01T12:00:00.000Z`, as S3's XML and condition keys write it.
pub(crate) fn iso_millis(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_movable_clock_runs_apart_from_the_real_one() {
        let clock = Clock::default();
        clock.advance(3_600).unwrap();
        let ahead = clock.now().duration_since(clock.real());
        assert!(ahead > SignedDuration::from_mins(59), "{ahead}");
        clock.set("2030-01-01T00:00:00Z".parse().unwrap());
        assert_eq!(clock.now().strftime("%Y").to_string(), "2030");
        clock.reset();
        assert!(clock.now().duration_since(clock.real()) < SignedDuration::from_mins(1));
        clock.advance(i64::MAX).unwrap_err();
    }

    #[test]
    fn formats() {
        let moment = "2026-05-01T12:00:00.0456Z".parse().unwrap();
        assert_eq!(iso_seconds(moment), "2026-05-01T12:00:00Z");
        assert_eq!(iso_millis(moment), "2026-05-01T12:00:00.045Z");
    }
}
