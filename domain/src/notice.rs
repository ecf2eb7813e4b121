//! What people are told; the outbox carries it to the channels.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    ids::{GrantId, RequestId},
    names::{ChannelName, PrincipalId},
    principal::{Directory, Subject},
    terms::Recipient,
};

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
    /// Which channels of many, such as chat rooms, to tell besides.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub channels: BTreeSet<ChannelName>,
    /// One sentence, without secrets.
    pub text: String,
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
