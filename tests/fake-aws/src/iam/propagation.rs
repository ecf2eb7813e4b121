//! IAM's lag: a write is seen by who reads it back, but decides about requests only later, a
//! revocation as well as a grant.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency>

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A value whose changes take effect late, in real time.
#[derive(Debug)]
pub(crate) struct Propagating<T> {
    effective: Arc<T>,
    pending: VecDeque<(Instant, Arc<T>)>,
}

impl<T: Clone> Propagating<T> {
    /// A value that is in effect.
    pub(crate) fn new(value: T) -> Self {
        Self { effective: Arc::new(value), pending: VecDeque::new() }
    }

    /// The value as written last.
    pub(crate) fn current(&self) -> Arc<T> {
        let newest = self.pending.back().map(|(_, value)| value);
        Arc::clone(newest.unwrap_or(&self.effective))
    }

    /// The value in effect now.
    pub(crate) fn effective(&mut self) -> Arc<T> {
        self.effective_at(Instant::now())
    }

    /// Changes the value; the change takes effect after `delay`, never before earlier ones. A
    /// change that fails changes nothing.
    ///
    /// # Errors
    /// What `change` returns.
    pub(crate) fn change<R, E>(
        &mut self,
        delay: Duration,
        change: impl FnOnce(&mut T) -> Result<R, E>,
    ) -> Result<R, E> {
        self.change_at(Instant::now(), delay, change)
    }

    /// Lets pending changes take effect after `delay` at the latest: a test that lowers the lag
    /// need not wait for what it wrote under the old one.
    pub(crate) fn hasten(&mut self, delay: Duration) {
        let latest = Instant::now() + delay;
        for (at, _) in &mut self.pending {
            *at = latest.min(*at);
        }
    }

    fn effective_at(&mut self, now: Instant) -> Arc<T> {
        while let Some((at, _)) = self.pending.front()
            && *at <= now
        {
            if let Some((_, value)) = self.pending.pop_front() {
                self.effective = value;
            }
        }
        Arc::clone(&self.effective)
    }

    fn change_at<R, E>(
        &mut self,
        now: Instant,
        delay: Duration,
        change: impl FnOnce(&mut T) -> Result<R, E>,
    ) -> Result<R, E> {
        let mut value = T::clone(&self.current());
        let result = change(&mut value)?;
        let earlier = self.pending.back().map(|(at, _)| *at);
        let at = earlier.map_or(now + delay, |earlier| earlier.max(now + delay));
        self.pending.push_back((at, Arc::new(value)));
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(value: &mut Propagating<i32>, now: Instant, delay_ms: u64, to: i32) {
        let delay = Duration::from_millis(delay_ms);
        value
            .change_at(now, delay, |v| {
                *v = to;
                Ok::<_, ()>(())
            })
            .unwrap();
    }

    #[test]
    fn writes_are_read_back_at_once_and_take_effect_later() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let mut value = Propagating::new(0);
        set(&mut value, start, 100, 1);
        set(&mut value, after(50), 100, 2);
        assert_eq!(*value.current(), 2);
        assert_eq!(*value.effective_at(after(99)), 0);
        assert_eq!(*value.effective_at(after(100)), 1);
        assert_eq!(*value.effective_at(after(150)), 2);
    }

    #[test]
    fn a_fast_write_does_not_overtake_a_slow_one() {
        let start = Instant::now();
        let mut value = Propagating::new(0);
        set(&mut value, start, 100, 1);
        set(&mut value, start, 0, 2);
        assert_eq!(*value.effective_at(start), 0);
        assert_eq!(*value.effective_at(start + Duration::from_millis(100)), 2);
    }

    #[test]
    fn without_delay_a_write_is_in_effect_at_once() {
        let start = Instant::now();
        let mut value = Propagating::new(0);
        set(&mut value, start, 0, 1);
        assert_eq!(*value.effective_at(start), 1);
    }

    #[test]
    fn a_lowered_lag_releases_what_is_pending() {
        let mut value = Propagating::new(0);
        set(&mut value, Instant::now(), 3_600_000, 1);
        assert_eq!(*value.effective(), 0);
        value.hasten(Duration::ZERO);
        assert_eq!(*value.effective(), 1);
    }

    #[test]
    fn a_failed_change_changes_nothing() {
        let mut value = Propagating::new(0);
        value
            .change(Duration::ZERO, |v| {
                *v = 1;
                Err::<(), _>("no")
            })
            .unwrap_err();
        assert_eq!(*value.current(), 0);
    }
}
