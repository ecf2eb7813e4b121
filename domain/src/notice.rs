//! What people are told, and through which channels; the outbox carries it there.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    ids::{GrantId, RequestId},
    names::{ChannelName, PrincipalId},
    principal::{Directory, Subject},
    scope::glob,
    terms::Recipient,
};

/// The longest pause between two attempts to deliver.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(5);
/// For how long delivery is tried before a notice is set aside.
const PATIENCE: SignedDuration = SignedDuration::from_hours(24);

/// One message to people, before a channel renders it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What happened: `request.created`, `grant.active`, …
    pub event: String,
    /// The request it is about.
    pub request: RequestId,
    /// The grant it is about, if it is about one.
    pub grant: Option<GrantId>,
    /// Whom to tell.
    pub to: BTreeSet<PrincipalId>,
    /// Which channels its flow names beside those that hear of everything.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub channels: BTreeSet<ChannelName>,
    /// One sentence, without secrets.
    pub text: String,
    /// What else is to be known, in the order in which it is shown; without secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<Fact>,
}

/// One thing to be known of a notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What it is: `Requester`, `Reason`.
    pub label: String,
    /// As people read it.
    pub value: String,
}

impl Notice {
    /// Whether it has to be delivered whatever it takes: nobody may use break-glass unnoticed.
    pub fn must_arrive(&self) -> bool {
        self.event.starts_with("breakglass.")
    }

    /// Adds a fact.
    pub fn fact(mut self, label: &str, value: impl ToString) -> Self {
        self.facts.push(Fact { label: label.to_owned(), value: value.to_string() });
        self
    }
}

/// What becomes of a notice that could not be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undelivered {
    /// It is tried again then.
    Again(Timestamp),
    /// It waits for an administrator's word.
    SetAside,
}

impl Notice {
    /// What becomes of it after one more failure: pauses grow from a second to five minutes, or to
    /// what the other side `asked` for. After a day it is set aside, but for break-glass, which
    /// must arrive. `before` counts the earlier failures, `since` is when it was put in.
    pub fn undelivered(
        &self,
        since: Timestamp,
        before: u32,
        asked: Option<SignedDuration>,
        now: Timestamp,
    ) -> Undelivered {
        if !self.must_arrive() && now.duration_since(since) >= PATIENCE {
            return Undelivered::SetAside;
        }
        let pause = SignedDuration::from_secs(1_i64 << before.min(9)).min(LONGEST_PAUSE);
        let pause = asked.map_or(pause, |asked| asked.max(pause));
        Undelivered::Again(now.saturating_add(pause).unwrap_or(now))
    }
}

/// Which notices a channel carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The channel.
    pub channel: ChannelName,
    /// Whom it reaches.
    pub reach: Reach,
}

/// Whom a channel reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// The people that a notice is for, each by themselves.
    People,
    /// Whoever watches it: a room, another system, a log.
    Watchers {
        /// The events that it carries of every flow (`grant.*`). It also carries all those of flows
        /// that name it.
        events: Vec<String>,
    },
}

impl Route {
    /// Whether this channel carries `notice`.
    pub fn carries(&self, notice: &Notice) -> bool {
        match &self.reach {
            Reach::People => !notice.to.is_empty(),
            Reach::Watchers { events } => {
                notice.channels.contains(&self.channel)
                    || events.iter().any(|pattern| glob(pattern, &notice.event))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn notice(event: &str, to: &[&str], channels: &[&str]) -> Notice {
        Notice {
            event: event.to_owned(),
            request: RequestId::new(jiff::Timestamp::UNIX_EPOCH, [1; 10]),
            grant: None,
            to: to.iter().map(|name| name.parse().unwrap()).collect(),
            channels: channels.iter().map(|name| name.parse().unwrap()).collect(),
            text: "something happened".to_owned(),
            facts: Vec::new(),
        }
    }

    #[rstest]
    #[case(&["grant.*"], "grant.active", &[], true)]
    #[case(&["grant.*"], "request.created", &[], false)]
    #[case(&["grant.*"], "request.created", &["ops"], true)]
    #[case(&[], "grant.active", &["other"], false)]
    #[case(&["*"], "grant.active", &[], true)]
    fn watchers_hear_what_they_asked_for_and_what_names_them(
        #[case] events: &[&str],
        #[case] event: &str,
        #[case] named: &[&str],
        #[case] carried: bool,
    ) {
        let events = events.iter().map(|event| (*event).to_owned()).collect();
        let route = Route { channel: "ops".parse().unwrap(), reach: Reach::Watchers { events } };
        assert_eq!(route.carries(&notice(event, &["ana@example.com"], named)), carried);
    }

    #[test]
    fn people_hear_what_is_for_somebody() {
        let route = Route { channel: "mail".parse().unwrap(), reach: Reach::People };
        assert!(route.carries(&notice("grant.active", &["ana@example.com"], &[])));
        assert!(!route.carries(&notice("grant.active", &[], &["mail"])));
    }

    #[rstest]
    #[case("grant.active", 0, None, 0, Some(1))]
    #[case("grant.active", 4, None, 60, Some(16))]
    #[case("grant.active", 40, None, 60, Some(300))]
    #[case("grant.active", 0, Some(90), 0, Some(90))]
    #[case("grant.active", 9, None, 86_400, None)]
    #[case("breakglass.activated", 300, None, 86_400, Some(300))]
    fn delivery_is_tried_again_and_break_glass_for_ever(
        #[case] event: &str,
        #[case] before: u32,
        #[case] asked: Option<i64>,
        #[case] age: i64,
        #[case] pause: Option<i64>,
    ) {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let asked = asked.map(SignedDuration::from_secs);
        let expected = pause.map_or(Undelivered::SetAside, |p| Undelivered::Again(at(age + p)));
        assert_eq!(notice(event, &[], &[]).undelivered(at(0), before, asked, at(age)), expected);
    }

    #[test]
    fn an_old_notice_is_still_read() {
        let old = serde_json::json!({
            "event": "grant.active", "request": notice("x", &[], &[]).request, "grant": null,
            "to": [], "text": "x",
        });
        assert!(serde_json::from_value::<Notice>(old).unwrap().facts.is_empty());
    }
}

/// Whom a notice is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audience {
    /// People.
    pub people: BTreeSet<PrincipalId>,
    /// Channels of many.
    pub channels: BTreeSet<ChannelName>,
}

impl Audience {
    /// Whom a flow's list means now. Who is disabled or unknown is left out.
    pub fn of(list: &[Recipient], requester: &PrincipalId, directory: &Directory) -> Self {
        let mut audience = Self::default();
        for recipient in list {
            match recipient {
                Recipient::User(id) => audience.add([&Subject::User(id.clone())], directory),
                Recipient::Group(name) => audience.add([&Subject::Group(name.clone())], directory),
                Recipient::Channel(name) => {
                    audience.channels.insert(name.clone());
                }
                Recipient::Manager => {
                    let manager = directory.active(requester).and_then(|who| who.manager.clone());
                    let manager = manager.map(Subject::User);
                    audience.add(manager.iter(), directory);
                }
            }
        }
        audience
    }

    fn add<'a>(&mut self, subjects: impl IntoIterator<Item = &'a Subject>, directory: &Directory) {
        self.people.extend(directory.resolve(subjects));
    }

    /// All of them in words.
    pub fn names(&self) -> Vec<String> {
        let channels = self.channels.iter().map(|name| format!("channel:{name}"));
        self.people.iter().map(ToString::to_string).chain(channels).collect()
    }
}
