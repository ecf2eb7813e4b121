//! Who is on call: rotations by day or week, with overrides, in a time zone. Pure: the same
//! schedule and moment give the same person on every replica.

use jiff::{Timestamp, ToSpan as _, civil::Date};
use serde::{Deserialize, Serialize};

use crate::{
    names::{PrincipalId, ScheduleName},
    zone::{Day, DayTime, Zone},
};

/// An on-call schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Its name, by which approver groups refer to it.
    pub name: ScheduleName,
    /// Whose clocks.
    pub zone: Zone,
    /// Who takes turns.
    pub rotation: Rotation,
    /// Exceptions; the last that covers a moment wins.
    pub overrides: Vec<Override>,
}

/// People who take turns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// How long a turn is, and when it changes.
    pub every: Turn,
    /// The date of a turn of the first person; turns before it are counted backwards.
    pub starts: Date,
    /// In which order; at least one.
    pub people: Vec<PrincipalId>,
}

/// How long a turn is, and when it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Turn {
    /// A day, from this time on.
    Day {
        /// When.
        at: DayTime,
    },
    /// A week, from this day and time on.
    Week {
        /// On which day.
        day: Day,
        /// When.
        at: DayTime,
    },
}

/// Somebody else for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// Who.
    pub person: PrincipalId,
    /// From when.
    pub from: Timestamp,
    /// Until before when.
    pub to: Timestamp,
}

impl Rotation {
    /// The Monday of the week in which Unix time begins: where turns are counted from if nothing
    /// else is said.
    pub fn default_start() -> Date {
        Date::new(1969, 12, 29).unwrap_or(Date::MIN)
    }
}

impl Schedule {
    /// Who is on call at `at`; nobody where nobody takes turns.
    pub fn on_call(&self, at: Timestamp) -> Option<&PrincipalId> {
        let instead = self.overrides.iter().rev().find(|other| other.from <= at && at < other.to);
        if let Some(other) = instead {
            return Some(&other.person);
        }
        let people = &self.rotation.people;
        let turn = self.turn(at).rem_euclid(i64::try_from(people.len()).unwrap_or(1).max(1));
        people.get(usize::try_from(turn).unwrap_or(0))
    }

    /// The next moment after `at` when somebody else may be on call.
    pub fn next_change(&self, at: Timestamp) -> Option<Timestamp> {
        let edges = self.overrides.iter().flat_map(|other| [other.from, other.to]);
        let handover = (self.rotation.people.len() > 1).then(|| self.begin(self.turn(at) + 1));
        edges.chain(handover).filter(|edge| *edge > at).min()
    }

    /// Everybody who takes turns or stands in.
    pub fn people(&self) -> impl Iterator<Item = &PrincipalId> {
        self.rotation.people.iter().chain(self.overrides.iter().map(|other| &other.person))
    }

    /// The number of the turn that `at` falls into; 0 is the one that begins at the start.
    fn turn(&self, at: Timestamp) -> i64 {
        let today = self.zone.local(at).date();
        let days = (today - self.first_day()).get_days();
        let turn = i64::from(days).div_euclid(self.days());
        // Clocks may show the handover twice or never: what counts is the moment.
        if at < self.begin(turn) {
            turn - 1
        } else if at >= self.begin(turn + 1) {
            turn + 1
        } else {
            turn
        }
    }

    fn begin(&self, turn: i64) -> Timestamp {
        let at = match self.rotation.every {
            Turn::Day { at } | Turn::Week { at, .. } => at,
        };
        match self.first_day().checked_add((turn * self.days()).days()) {
            Ok(date) => self.zone.moment(at.on(date)),
            Err(_) => Timestamp::MAX,
        }
    }

    /// The day on which turn 0 begins.
    fn first_day(&self) -> Date {
        let starts = self.rotation.starts;
        let Turn::Week { day, .. } = self.rotation.every else { return starts };
        let back = (Day::of(starts).after_monday() + 7 - day.after_monday()) % 7;
        starts.checked_sub(i64::from(back).days()).unwrap_or(starts)
    }

    fn days(&self) -> i64 {
        match self.rotation.every {
            Turn::Day { .. } => 1,
            Turn::Week { .. } => 7,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn id(name: &str) -> PrincipalId {
        format!("{name}@example.com").parse().unwrap()
    }

    fn schedule(every: Turn) -> Schedule {
        Schedule {
            name: "dba".parse().unwrap(),
            zone: "Europe/Berlin".parse().unwrap(),
            rotation: Rotation {
                every,
                starts: "2026-11-23".parse().unwrap(), // a Monday
                people: vec![id("maria"), id("joao"), id("ana")],
            },
            overrides: Vec::new(),
        }
    }

    fn weekly() -> Schedule {
        schedule(Turn::Week { day: Day::Mon, at: "09:00".parse().unwrap() })
    }

    fn daily(at: &str) -> Schedule {
        schedule(Turn::Day { at: at.parse().unwrap() })
    }

    #[rstest]
    #[case::first_week("2026-11-23T08:00:00Z", "maria")]
    #[case::before_the_handover("2026-11-23T07:59:59Z", "ana")]
    #[case::still_hers("2026-11-30T07:59:59Z", "maria")]
    #[case::second_week("2026-11-30T08:00:00Z", "joao")]
    #[case::round_again("2026-12-14T08:00:00Z", "maria")]
    fn weeks(#[case] at: &str, #[case] who: &str) {
        assert_eq!(weekly().on_call(at.parse().unwrap()), Some(&id(who)));
    }

    #[test]
    fn the_zone_decides_when_a_day_begins() {
        let days = daily("00:00");
        assert_eq!(days.on_call("2026-11-23T22:59:59Z".parse().unwrap()), Some(&id("maria")));
        assert_eq!(days.on_call("2026-11-23T23:00:00Z".parse().unwrap()), Some(&id("joao")));
    }

    #[test]
    fn the_last_override_wins() {
        let mut weeks = weekly();
        let between = |person, from: &str, to: &str| Override {
            person: id(person),
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
        };
        weeks.overrides = vec![
            between("carlos", "2026-11-24T00:00:00Z", "2026-11-26T00:00:00Z"),
            between("dora", "2026-11-25T00:00:00Z", "2026-11-25T12:00:00Z"),
        ];
        for (at, who) in [
            ("2026-11-23T23:59:59Z", "maria"),
            ("2026-11-24T00:00:00Z", "carlos"),
            ("2026-11-25T06:00:00Z", "dora"),
            ("2026-11-25T12:00:00Z", "carlos"),
            ("2026-11-26T00:00:00Z", "maria"),
        ] {
            assert_eq!(weeks.on_call(at.parse().unwrap()), Some(&id(who)), "{at}");
        }
        let at = "2026-11-24T01:00:00Z".parse().unwrap();
        assert_eq!(weeks.next_change(at), Some("2026-11-25T00:00:00Z".parse().unwrap()));
    }

    /// On 25 October 2026 clocks in Berlin show 02:30 twice; on 29 March they skip it.
    #[rstest]
    #[case::shown_twice("2026-10-25T00:30:00Z")]
    #[case::skipped("2026-03-29T01:30:00Z")]
    fn nobody_gets_a_turn_back_when_clocks_change(#[case] handover: &str) {
        let days = daily("02:30");
        let handover: Timestamp = handover.parse().unwrap();
        let (before, after) = (handover - 1.second(), handover);
        assert_ne!(days.on_call(before), days.on_call(after));
        for minutes in 0..180 {
            assert_eq!(days.on_call(after + minutes.minutes()), days.on_call(after));
        }
    }

    #[test]
    fn nobody_takes_turns_in_an_empty_rotation() {
        let mut nobody = weekly();
        nobody.rotation.people.clear();
        assert_eq!(nobody.on_call(Timestamp::UNIX_EPOCH), None);
        assert_eq!(nobody.next_change(Timestamp::UNIX_EPOCH), None);
    }

    proptest! {
        /// Between two changes one person is on call, and at a handover it is the next in order.
        #[test]
        fn turns_follow_one_another(
            seconds in 0..4_000_000_000_i64,
            weekly in any::<bool>(),
            day in 0..7_usize,
            minutes in 0..1_440_u16,
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/Sao_Paulo",
                "Australia/Lord_Howe", "Pacific/Apia", "America/Santiago"]),
        ) {
            let at = Timestamp::from_second(seconds).unwrap();
            let time: DayTime = format!("{:02}:{:02}", minutes / 60, minutes % 60).parse().unwrap();
            let every = if weekly { Turn::Week { day: Day::ALL[day], at: time } } else { Turn::Day { at: time } };
            let schedule = Schedule { zone: zone.parse().unwrap(), ..schedule(every) };
            let next = schedule.next_change(at).unwrap();
            prop_assert!(next > at);
            prop_assert_eq!(schedule.on_call(at), schedule.on_call(next - 1.nanosecond()));
            let people = &schedule.rotation.people;
            let index = |moment| people.iter().position(|p| Some(p) == schedule.on_call(moment)).unwrap();
            prop_assert_eq!((index(at) + 1) % people.len(), index(next));
        }

        #[test]
        fn reads_what_it_writes(day in 0..7_usize) {
            let schedule = schedule(Turn::Week { day: Day::ALL[day], at: "09:00".parse().unwrap() });
            let json = serde_json::to_string(&schedule).unwrap();
            prop_assert_eq!(serde_json::from_str::<Schedule>(&json).unwrap(), schedule);
        }
    }
}
