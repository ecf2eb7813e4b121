//! Interleaved blocks and what is told of them.

use std::{fs, time::Duration};

use anyhow::Result;

/// At least five, so that a median means something.
const BLOCKS: usize = 7;

/// Two ways to do the same, measured in turn.
pub(crate) struct Comparison {
    /// The p50 of each block of ours, in milliseconds.
    ours: Vec<f64>,
    /// The p50 of each block of the other.
    bare: Vec<f64>,
}

/// Measures blocks of `size` calls each, in turn; each call says how long it took.
///
/// # Errors
/// The first failure of a call.
pub(crate) async fn compare(
    size: usize,
    mut ours: impl AsyncFnMut() -> Result<Duration>,
    mut bare: impl AsyncFnMut() -> Result<Duration>,
) -> Result<Comparison> {
    // The first of each pays for connections and caches; it doesn't count.
    ours().await?;
    bare().await?;
    let mut comparison = Comparison { ours: Vec::new(), bare: Vec::new() };
    for _ in 0..BLOCKS {
        let mut times = Vec::new();
        for _ in 0..size {
            times.push(milliseconds(ours().await?));
        }
        comparison.ours.push(percentile(&mut times, 0.5));
        times.clear();
        for _ in 0..size {
            times.push(milliseconds(bare().await?));
        }
        comparison.bare.push(percentile(&mut times, 0.5));
    }
    Ok(comparison)
}

impl Comparison {
    /// Median, minimum and maximum of the blocks' ratios, and the medians of both sides.
    pub(crate) fn told(&self) -> String {
        let mut ratios: Vec<f64> =
            self.ours.iter().zip(&self.bare).map(|(ours, bare)| ours / bare).collect();
        let middle = percentile(&mut ratios, 0.5);
        format!(
            "{middle:.2}x ({:.2} to {:.2}); {:.2} ms against {:.2} ms",
            percentile(&mut ratios, 0.0),
            percentile(&mut ratios, 1.0),
            percentile(&mut self.ours.clone(), 0.5),
            percentile(&mut self.bare.clone(), 0.5),
        )
    }
}

/// A duration in milliseconds.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// The value at a rank from 0 to 1; 0 where there is none.
pub(crate) fn percentile(values: &mut [f64], rank: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    let at = (last as f64 * rank).round() as usize;
    values.get(at).copied().unwrap_or(0.0)
}

/// For how much of the last minute somebody waited for a processor, in percent.
pub(crate) fn cpu_pressure() -> Option<f64> {
    let text = fs::read_to_string("/proc/pressure/cpu").ok()?;
    let some = text.lines().find(|line| line.starts_with("some"))?;
    some.split(' ').find_map(|part| part.strip_prefix("avg60="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let mut values = [5.0, 1.0, 3.0];
        assert_eq!(percentile(&mut values, 0.0), 1.0);
        assert_eq!(percentile(&mut values, 0.5), 3.0);
        assert_eq!(percentile(&mut values, 1.0), 5.0);
        assert_eq!(percentile(&mut [], 0.5), 0.0);
    }
}
