//! Hours as people live them: time zones, days of the week and times of day.
//!
//! The zones' rules are compiled in, so that every replica reads the same and the core needs no
//! files.

use std::{collections::BTreeSet, fmt, str::FromStr, sync::LazyLock};

use jiff::{
    Timestamp, Zoned, civil,
    tz::{TimeZone, TimeZoneDatabase},
};
use serde::{Deserialize, Serialize};

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A time zone by its IANA name, such as `Europe/Berlin`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(TimeZone);

/// Why a text is no time zone, day or time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a {what}: {rule}")]
pub struct InvalidHours {
    /// What was given (its first 80 characters).
    pub text: String,
    /// What it should have been.
    pub what: &'static str,
    /// What it looks like.
    pub rule: &'static str,
}

impl InvalidHours {
    fn new(text: &str, what: &'static str, rule: &'static str) -> Self {
        Self { text: text.chars().take(80).collect(), what, rule }
    }
}

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// What clocks in this zone show at `at`.
    pub fn local(&self, at: Timestamp) -> Zoned {
        at.to_zoned(self.0.clone())
    }

    /// The moment when clocks in this zone show `at`: the first where they show it twice, and the
    /// one an hour later where they skip it.
    pub fn moment(&self, at: civil::DateTime) -> Timestamp {
        self.0.to_ambiguous_timestamp(at).compatible().unwrap_or(if at.year() > 0 {
            Timestamp::MAX
        } else {
            Timestamp::MIN
        })
    }
}

impl Zone {
    /// A moment as people write it: with its offset (`2026-12-24T09:00:00Z`), or as clocks in this
    /// zone show it (`2026-12-24 09:00`).
    ///
    /// # Errors
    /// Neither of them.
    pub fn read(&self, text: &str) -> Result<Timestamp, InvalidHours> {
        text.parse()
            .or_else(|_| text.parse::<civil::DateTime>().map(|local| self.moment(local)))
            .map_err(|_| {
                let rule = "write it like 2026-12-24 09:00 or 2026-12-24T09:00:00Z";
                InvalidHours::new(text, "moment", rule)
            })
    }
}

impl FromStr for Zone {
    type Err = InvalidHours;

    fn from_str(text: &str) -> Result<Self, InvalidHours> {
        ZONES.get(text).map(Self).map_err(|_| {
            InvalidHours::new(text, "time zone", "use an IANA name such as Europe/Berlin or UTC")
        })
    }
}

impl TryFrom<String> for Zone {
    type Error = InvalidHours;

    fn try_from(text: String) -> Result<Self, InvalidHours> {
        text.parse()
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.iana_name().unwrap_or("UTC"))
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> String {
        zone.to_string()
    }
}

/// A day of the week, written `mon`, `tue`, …
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "their names say it")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Day {
    /// All seven, from Monday.
    pub const ALL: [Self; 7] =
        [Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat, Self::Sun];

    /// The day as flows write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mon => "mon",
            Self::Tue => "tue",
            Self::Wed => "wed",
            Self::Thu => "thu",
            Self::Fri => "fri",
            Self::Sat => "sat",
            Self::Sun => "sun",
        }
    }

    /// The day of a date.
    pub fn of(date: civil::Date) -> Self {
        Self::ALL[usize::from(date.weekday().to_monday_zero_offset().unsigned_abs() % 7)]
    }

    /// Days after Monday, 0 to 6.
    pub fn after_monday(self) -> u8 {
        self as u8
    }
}

impl FromStr for Day {
    type Err = InvalidHours;

    fn from_str(text: &str) -> Result<Self, InvalidHours> {
        Self::ALL.into_iter().find(|day| day.as_str() == text).ok_or_else(|| {
            InvalidHours::new(text, "day", "use mon, tue, wed, thu, fri, sat or sun")
        })
    }
}

/// A time of day in whole minutes, `00:00` to `24:00`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DayTime {
    minutes: u16,
}

impl DayTime {
    /// Minutes after midnight, 0 to 1,440.
    pub fn minutes(self) -> u16 {
        self.minutes
    }

    /// That time on a date; midnight of the next day for 24:00.
    pub fn on(self, date: civil::Date) -> civil::DateTime {
        let date = if self.minutes == 1_440 { date.saturating_add_day() } else { date };
        let minutes = i8::try_from(self.minutes % 60).unwrap_or_default();
        let hours = i8::try_from(self.minutes / 60 % 24).unwrap_or_default();
        date.at(hours, minutes, 0, 0)
    }
}

trait NextDay {
    fn saturating_add_day(self) -> Self;
}

impl NextDay for civil::Date {
    fn saturating_add_day(self) -> Self {
        self.tomorrow().unwrap_or(self)
    }
}

impl FromStr for DayTime {
    type Err = InvalidHours;

    fn from_str(text: &str) -> Result<Self, InvalidHours> {
        let read = || {
            let (hours, minutes) = text.split_once(':')?;
            let digits = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
            if !digits(hours) || !digits(minutes) {
                return None;
            }
            let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
            let total = hours * 60 + minutes;
            (minutes < 60 && total <= 1_440).then_some(Self { minutes: total })
        };
        read().ok_or_else(|| InvalidHours::new(text, "time of day", "write it like 09:00"))
    }
}

impl TryFrom<String> for DayTime {
    type Error = InvalidHours;

    fn try_from(text: String) -> Result<Self, InvalidHours> {
        text.parse()
    }
}

impl fmt::Display for DayTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.minutes / 60, self.minutes % 60)
    }
}

impl fmt::Debug for DayTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<DayTime> for String {
    fn from(time: DayTime) -> String {
        time.to_string()
    }
}

/// Hours of the week in one zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hours {
    /// On which days they begin.
    pub days: BTreeSet<Day>,
    /// From when.
    pub from: DayTime,
    /// Until before when; of the next day where it is not after `from`.
    pub to: DayTime,
    /// Whose clocks.
    pub zone: Zone,
}

impl Hours {
    /// Whether `at` lies in them.
    pub fn contain(&self, at: Timestamp) -> bool {
        let local = self.zone.local(at);
        let minute =
            u16::from(local.hour().unsigned_abs()) * 60 + u16::from(local.minute().unsigned_abs());
        let today = Day::of(local.date());
        let (from, to) = (self.from.minutes(), self.to.minutes());
        if from < to {
            return self.days.contains(&today) && (from..to).contains(&minute);
        }
        let yesterday = Day::ALL[usize::from((today.after_monday() + 6) % 7)];
        (self.days.contains(&today) && minute >= from)
            || (self.days.contains(&yesterday) && minute < to)
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days: Vec<_> = self.days.iter().map(|day| day.as_str()).collect();
        write!(f, "{} {}-{} {}", days.join(","), self.from, self.to, self.zone)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn hours(days: &[Day], from: &str, to: &str) -> Hours {
        Hours {
            days: days.iter().copied().collect(),
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            zone: "Europe/Berlin".parse().unwrap(),
        }
    }

    #[rstest]
    #[case::monday_morning("2026-11-23T08:00:00Z", true)] // 09:00 in Berlin
    #[case::a_second_before("2026-11-23T07:59:59Z", false)]
    #[case::the_last_second("2026-11-23T16:59:59Z", true)]
    #[case::evening("2026-11-23T17:00:00Z", false)]
    #[case::summer_is_an_hour_earlier("2026-07-20T07:00:00Z", true)]
    #[case::saturday("2026-11-28T10:00:00Z", false)]
    fn office_hours(#[case] at: &str, #[case] within: bool) {
        let office = hours(&Day::ALL[..5], "09:00", "18:00");
        assert_eq!(office.contain(at.parse().unwrap()), within);
    }

    #[rstest]
    #[case::friday_night("2026-11-27T22:00:00Z", true)] // 23:00 in Berlin
    #[case::saturday_small_hours("2026-11-28T02:00:00Z", true)] // began on Friday
    #[case::saturday_night("2026-11-28T22:00:00Z", false)]
    fn hours_over_midnight_belong_to_the_day_they_begin(#[case] at: &str, #[case] within: bool) {
        let night = hours(&[Day::Fri], "22:00", "06:00");
        assert_eq!(night.contain(at.parse().unwrap()), within);
    }

    #[test]
    fn a_day_may_end_at_24_00() {
        let sunday = hours(&[Day::Sun], "00:00", "24:00");
        assert!(sunday.contain("2026-11-29T22:59:59Z".parse().unwrap()));
        assert!(!sunday.contain("2026-11-29T23:00:00Z".parse().unwrap()));
    }

    #[test]
    fn mistakes_say_what_to_write() {
        let zone = "Berlin".parse::<Zone>().unwrap_err().to_string();
        assert!(zone.contains("Europe/Berlin"), "{zone}");
        for bad in ["9:00", "25:00", "24:01", "12:60", "+1:00", "noon"] {
            assert!(bad.parse::<DayTime>().is_err(), "{bad}");
        }
        assert!("monday".parse::<Day>().is_err());
    }

    #[test]
    fn reads_what_it_writes() {
        let night = hours(&[Day::Fri, Day::Sun], "22:00", "06:00");
        let json = serde_json::to_string(&night).unwrap();
        assert_eq!(serde_json::from_str::<Hours>(&json).unwrap(), night);
        assert!(json.contains("\"Europe/Berlin\"") && json.contains("\"fri\""), "{json}");
    }
}
