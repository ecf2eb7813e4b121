//! Text as people read it: other people's words made harmless for a terminal, and times.

use jiff::{Timestamp, tz::TimeZone};

/// `text` on one line, without what could steer a terminal or turn the direction of writing: a
/// reason or a comment is somebody else's, and an approver must see what was really written.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\r' | '\t' => ' ',
            c if c.is_control() || steers_direction(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// Unicode's bidirectional controls (UAX #9).
fn steers_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A length of time by its two largest units: `45s`, `4m`, `1h 30m`, `3d 4h`.
fn span(seconds: i64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let two = |large: i64, unit: char, small: i64, lower: char| match small {
        0 => format!("{large}{unit}"),
        _ => format!("{large}{unit} {small}{lower}"),
    };
    match seconds {
        86_400.. => two(days, 'd', hours, 'h'),
        3_600.. => two(hours, 'h', minutes, 'm'),
        60.. => format!("{minutes}m"),
        _ => format!("{seconds}s"),
    }
}

/// A moment as people think of it and as logs have it: `in 4m (14:03:10Z)`, `2h ago (12:01:00Z)`,
/// with the date when that is not today in UTC.
pub(crate) fn moment(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_until(at).as_secs();
    let clock = clock(at, now);
    match seconds {
        0.. => format!("in {} ({clock})", span(seconds)),
        _ => format!("{} ago ({clock})", span(-seconds)),
    }
}

/// `14:03:10Z`, with the date when that is not today in UTC.
pub(crate) fn clock(at: Timestamp, now: Timestamp) -> String {
    let day = |moment: Timestamp| moment.to_zoned(TimeZone::UTC).date();
    let form = if day(at) == day(now) { "%H:%M:%SZ" } else { "%Y-%m-%d %H:%M:%SZ" };
    at.strftime(form).to_string()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn nobody_steers_the_terminal_of_another() {
        assert_eq!(
            printable("ok\x1b[2J\u{9b}1m\nnext\u{202e}x"),
            "ok\u{fffd}[2J\u{fffd}1m next\u{fffd}x"
        );
        assert_eq!(printable("Zoë's naïve plan — größer"), "Zoë's naïve plan — größer");
    }

    #[rstest]
    #[case("2026-03-04T14:03:10Z", "in 4m (14:03:10Z)")]
    #[case("2026-03-04T13:59:15.900Z", "in 45s (13:59:15Z)")]
    #[case("2026-03-04T12:28:30Z", "1h 30m ago (12:28:30Z)")]
    #[case("2026-03-07T17:58:30Z", "in 3d 4h (2026-03-07 17:58:30Z)")]
    #[case("2026-03-05T13:58:30Z", "in 1d (2026-03-05 13:58:30Z)")]
    fn a_moment_is_told_twice(#[case] at: &str, #[case] expected: &str) {
        let now = "2026-03-04T13:58:30Z".parse().unwrap();
        assert_eq!(moment(at.parse().unwrap(), now), expected);
    }
}
