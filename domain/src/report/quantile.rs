//! Quantiles of what was measured.

/// The smallest of `values` that at least so many percent of them do not exceed (the nearest rank);
/// none where there is none. It sorts them.
pub(super) fn quantile(values: &mut [u64], percent: usize) -> Option<u64> {
    values.sort_unstable();
    let rank = (values.len() * percent.min(100)).div_ceil(100).max(1);
    values.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::none(&[], 50, None)]
    #[case::one(&[7], 50, Some(7))]
    #[case::one_at_the_top(&[7], 90, Some(7))]
    #[case::the_lower_of_two(&[9, 1], 50, Some(1))]
    #[case::the_middle(&[3, 1, 2], 50, Some(2))]
    #[case::nine_of_ten(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 90, Some(9))]
    #[case::all(&[1, 2, 3], 100, Some(3))]
    fn quantiles(#[case] values: &[u64], #[case] percent: usize, #[case] expected: Option<u64>) {
        assert_eq!(quantile(&mut values.to_vec(), percent), expected);
    }

    proptest! {
        #[test]
        fn enough_are_not_above_it_and_too_few_are_below(
            values in prop::collection::vec(0..1_000_u64, 1..200),
            percent in 1..=100_usize,
        ) {
            let found = quantile(&mut values.clone(), percent).unwrap();
            let share = |count: usize| count * 100;
            let wanted = values.len() * percent;
            prop_assert!(share(values.iter().filter(|value| **value <= found).count()) >= wanted);
            prop_assert!(share(values.iter().filter(|value| **value < found).count()) < wanted);
        }
    }
}
