//! What a flow says besides who may ask and who must approve: for how long, from when, what must be
//! said, what an emergency costs, and whom to tell.

use std::{collections::BTreeMap, fmt, str::FromStr};

use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::{
    duration::AccessDuration,
    names::{ChannelName, GroupName, InvalidName, PermissionName, PrincipalId},
    refusal::Refusal,
};

/// How long before a grant's end its principal is warned, in seconds, where the flow says nothing.
const DEFAULT_WARNING_SECONDS: u32 = 15 * 60;

/// How long access lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DurationRule {
    /// Where the requester names none.
    pub default: AccessDuration,
    /// The longest that may be asked for, extensions included.
    pub max: AccessDuration,
    /// Permissions whose longest is shorter than that.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub per_permission: BTreeMap<PermissionName, AccessDuration>,
    /// Whether more time may be asked for while access lasts.
    #[serde(default, skip_serializing_if = "is_false")]
    pub extend: bool,
    /// How long before the end people are warned; not at all where it is none. A grant that is no
    /// longer than this has no warning.
    #[serde(default = "default_warning", skip_serializing_if = "is_default_warning")]
    pub warn: Option<AccessDuration>,
}

/// 15 minutes.
pub fn default_warning() -> Option<AccessDuration> {
    AccessDuration::from_seconds(DEFAULT_WARNING_SECONDS)
}

fn is_default_warning(warn: &Option<AccessDuration>) -> bool {
    *warn == default_warning()
}

fn is_false(value: &bool) -> bool {
    !value
}

impl DurationRule {
    /// A rule with the usual warning, no extension, and the same longest for every permission.
    pub fn new(default: AccessDuration, max: AccessDuration) -> Self {
        Self {
            default,
            max,
            per_permission: BTreeMap::new(),
            extend: false,
            warn: default_warning(),
        }
    }

    /// The longest for a request of all these permissions together: they begin and end together.
    pub fn longest<'a>(
        &self,
        permissions: impl IntoIterator<Item = &'a PermissionName>,
    ) -> AccessDuration {
        let caps = permissions.into_iter().filter_map(|name| self.per_permission.get(name));
        caps.copied().fold(self.max, AccessDuration::min)
    }

    /// For how long a request of these permissions is: as asked, or the default where nothing is.
    ///
    /// # Errors
    /// Longer than the flow grants.
    pub fn choose<'a>(
        &self,
        asked: Option<AccessDuration>,
        permissions: impl IntoIterator<Item = &'a PermissionName>,
    ) -> Result<AccessDuration, Refusal> {
        let max = self.longest(permissions);
        match asked {
            Some(asked) if asked > max => Err(Refusal::DurationTooLong { asked, max }),
            Some(asked) => Ok(asked),
            None => Ok(self.default.min(max)),
        }
    }
}

/// When access begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Activation {
    /// With the approval, or at the start that was asked for where that is later.
    #[default]
    AtApproval,
    /// When the requester says so, so that an approval overnight burns none of the time.
    ByRequester {
        /// For how long after the approval (or the start that was asked for) they may.
        within: AccessDuration,
    },
}

impl Activation {
    /// Whether it is the usual one.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether a requester must say why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Saying {
    /// They are not asked.
    Off,
    /// They may.
    #[default]
    Optional,
    /// They must.
    Required,
}

impl Saying {
    /// Its name in settings and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Optional => "optional",
            Self::Required => "required",
        }
    }
}

/// What a requester must say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredJustification", into = "StoredJustification")]
pub struct JustificationRule {
    /// Whether a reason must be given.
    pub mode: Saying,
    /// The fewest characters of a reason, blanks at its ends not counted; 0 for any.
    pub min_length: u32,
    /// A regular expression that the ticket must match; a ticket is required where it is set.
    pub ticket: Option<String>,
}

/// As it is stored. `required` alone is what it was at first: an old flow reads as it was meant,
/// and one that says nothing new keeps its version.
#[derive(Clone, Serialize, Deserialize)]
struct StoredJustification {
    required: bool,
    ticket: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    off: bool,
    #[serde(default, skip_serializing_if = "is_zero")]
    min_length: u32,
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

impl From<StoredJustification> for JustificationRule {
    fn from(stored: StoredJustification) -> Self {
        let mode = match (stored.required, stored.off) {
            (true, _) => Saying::Required,
            (false, true) => Saying::Off,
            (false, false) => Saying::Optional,
        };
        Self { mode, min_length: stored.min_length, ticket: stored.ticket }
    }
}

impl From<JustificationRule> for StoredJustification {
    fn from(rule: JustificationRule) -> Self {
        Self {
            required: rule.mode == Saying::Required,
            ticket: rule.ticket,
            off: rule.mode == Saying::Off,
            min_length: rule.min_length,
        }
    }
}

impl JustificationRule {
    /// Looks at what somebody said.
    ///
    /// # Errors
    /// [`Refusal::ReasonRequired`], [`Refusal::ReasonTooShort`], [`Refusal::TicketRequired`] or
    /// [`Refusal::TicketMismatch`].
    pub fn check(&self, reason: Option<&str>, ticket: Option<&str>) -> Result<(), Refusal> {
        match reason.map(str::trim).filter(|reason| !reason.is_empty()) {
            None if self.mode == Saying::Required => return Err(Refusal::ReasonRequired),
            Some(reason) if reason.chars().count() < self.min_length as usize => {
                return Err(Refusal::ReasonTooShort { least: self.min_length });
            }
            _ => {}
        }
        let Some(pattern) = &self.ticket else {
            return Ok(());
        };
        let Some(ticket) = ticket else {
            return Err(Refusal::TicketRequired { pattern: pattern.clone() });
        };
        // A pattern that does not compile is refused when the flow is read; here it matches nothing.
        let matches = Regex::new(pattern).is_ok_and(|regex| regex.is_match(ticket));
        if matches { Ok(()) } else { Err(Refusal::TicketMismatch { pattern: pattern.clone() }) }
    }
}

/// Marks a flow as one for emergencies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakGlass {
    /// A review of each use must be written within so long after it began.
    pub review_within: AccessDuration,
    /// Who is told at once of each use.
    pub notify: Vec<Recipient>,
}

/// What becomes of live access when its principal could not ask for it any more: the group is lost,
/// or the flow is gone. A principal who is disabled loses it in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnChange {
    /// It ends at once.
    #[default]
    Revoke,
    /// It lasts until its deadline.
    Keep,
}

impl OnChange {
    /// Whether it is the usual one.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Whom to tell, as flows write it: `user:ana@example.com`, `group:security`, `channel:ops`,
/// `manager`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Recipient {
    /// One principal.
    User(PrincipalId),
    /// Everybody in a group, as of now.
    Group(GroupName),
    /// A channel, such as a chat room.
    Channel(ChannelName),
    /// The requester's manager, as the identity provider tells it.
    Manager,
}

/// Why a text names no recipient.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRecipient {
    /// None of the known words stands before the name.
    #[error("'{0}' names nobody: write user:NAME, group:NAME, channel:NAME or manager")]
    Prefix(String),
    /// What follows the prefix is not a name.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

impl FromStr for Recipient {
    type Err = InvalidRecipient;

    fn from_str(text: &str) -> Result<Self, InvalidRecipient> {
        match text.split_once(':') {
            Some(("user", name)) => Ok(Self::User(name.parse()?)),
            Some(("group", name)) => Ok(Self::Group(name.parse()?)),
            Some(("channel", name)) => Ok(Self::Channel(name.parse()?)),
            None if text == "manager" => Ok(Self::Manager),
            _ => Err(InvalidRecipient::Prefix(text.chars().take(80).collect())),
        }
    }
}

impl TryFrom<String> for Recipient {
    type Error = InvalidRecipient;

    fn try_from(text: String) -> Result<Self, InvalidRecipient> {
        text.parse()
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user:{id}"),
            Self::Group(name) => write!(f, "group:{name}"),
            Self::Channel(name) => write!(f, "channel:{name}"),
            Self::Manager => f.write_str("manager"),
        }
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Recipient> for String {
    fn from(recipient: Recipient) -> String {
        recipient.to_string()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn span(text: &str) -> AccessDuration {
        text.parse().unwrap()
    }

    fn name(text: &str) -> PermissionName {
        text.parse().unwrap()
    }

    fn rule() -> DurationRule {
        DurationRule {
            per_permission: [(name("full"), span("30m")), (name("ddl"), span("15m"))].into(),
            ..DurationRule::new(span("1h"), span("4h"))
        }
    }

    #[rstest]
    #[case::the_default(None, &["select"], Ok("1h"))]
    #[case::as_asked(Some("2h"), &["select"], Ok("2h"))]
    #[case::the_longest(Some("4h"), &["select"], Ok("4h"))]
    #[case::too_long(Some("4h1s"), &["select"], Err("4h"))]
    #[case::a_shorter_default(None, &["full"], Ok("30m"))]
    #[case::too_long_for_it(Some("31m"), &["full"], Err("30m"))]
    #[case::the_strictest_counts(Some("16m"), &["full", "select", "ddl"], Err("15m"))]
    fn durations(
        #[case] asked: Option<&str>,
        #[case] permissions: &[&str],
        #[case] expected: Result<&str, &str>,
    ) {
        let permissions: Vec<_> = permissions.iter().copied().map(name).collect();
        let chosen = rule().choose(asked.map(span), &permissions);
        match expected {
            Ok(length) => assert_eq!(chosen, Ok(span(length))),
            Err(max) => assert_eq!(
                chosen,
                Err(Refusal::DurationTooLong { asked: span(asked.unwrap()), max: span(max) })
            ),
        }
    }

    #[test]
    fn an_old_duration_rule_reads_and_writes_as_it_was() {
        let old = r#"{"default":"30m","max":"1h"}"#;
        let rule: DurationRule = serde_json::from_str(old).unwrap();
        assert_eq!(rule, DurationRule::new(span("30m"), span("1h")));
        assert_eq!(rule.warn, Some(span("15m")));
        assert_eq!(serde_json::to_string(&rule).unwrap(), old, "its flow keeps its version");
        let quiet = DurationRule { warn: None, extend: true, ..rule };
        let text = serde_json::to_string(&quiet).unwrap();
        assert_eq!(serde_json::from_str::<DurationRule>(&text).unwrap(), quiet);
    }

    #[rstest]
    #[case(r#"{"required":true,"ticket":null}"#, Saying::Required)]
    #[case(r#"{"required":false,"ticket":"^OPS-\\d+$"}"#, Saying::Optional)]
    fn an_old_justification_rule_reads_and_writes_as_it_was(
        #[case] old: &str,
        #[case] mode: Saying,
    ) {
        let rule: JustificationRule = serde_json::from_str(old).unwrap();
        assert_eq!((rule.mode, rule.min_length), (mode, 0));
        assert_eq!(serde_json::to_string(&rule).unwrap(), old);
    }

    #[rstest]
    #[case(Saying::Off)]
    #[case(Saying::Optional)]
    #[case(Saying::Required)]
    fn justification_rules_read_what_they_write(#[case] mode: Saying) {
        let rule = JustificationRule { mode, min_length: 12, ticket: None };
        let text = serde_json::to_string(&rule).unwrap();
        assert_eq!(serde_json::from_str::<JustificationRule>(&text).unwrap(), rule);
    }

    #[rstest]
    #[case::off(Saying::Off, None, None, "ok")]
    #[case::not_asked_but_said(Saying::Off, Some("fix it"), None, "ok")]
    #[case::optional(Saying::Optional, None, None, "ok")]
    #[case::optional_but_short(Saying::Optional, Some("fix"), None, "reason_too_short")]
    #[case::blank_is_nothing(Saying::Optional, Some("   "), None, "ok")]
    #[case::required(Saying::Required, None, None, "reason_required")]
    #[case::blank_is_not_enough(Saying::Required, Some("  "), None, "reason_required")]
    #[case::blanks_do_not_count(Saying::Required, Some(" fix  "), None, "reason_too_short")]
    #[case::just_long_enough(Saying::Required, Some("fix it"), None, "ok")]
    #[case::letters_not_bytes(Saying::Required, Some("föö ää"), None, "ok")]
    #[case::a_ticket(Saying::Off, None, Some("OPS-1"), "ok")]
    fn justifications(
        #[case] mode: Saying,
        #[case] reason: Option<&str>,
        #[case] ticket: Option<&str>,
        #[case] expected: &str,
    ) {
        let pattern = ticket.map(|_| r"^OPS-\d+$".to_owned());
        let rule = JustificationRule { mode, min_length: 6, ticket: pattern };
        let code = rule.check(reason, ticket).map_or_else(|refusal| refusal.code(), |()| "ok");
        assert_eq!(code, expected);
    }

    #[rstest]
    #[case(None, "ticket_required")]
    #[case(Some("17"), "ticket_mismatch")]
    fn tickets(#[case] ticket: Option<&str>, #[case] code: &str) {
        let rule = JustificationRule {
            ticket: Some(r"^OPS-\d+$".to_owned()),
            ..JustificationRule::default()
        };
        assert_eq!(rule.check(None, ticket).unwrap_err().code(), code);
    }

    #[test]
    fn recipients_read_what_they_write() {
        for text in ["user:ana@example.com", "group:security", "channel:ops", "manager"] {
            assert_eq!(text.parse::<Recipient>().unwrap().to_string(), text);
        }
        for bad in ["ops", "manager:x", "channel:Ops", "pager:x", ""] {
            assert!(bad.parse::<Recipient>().is_err(), "{bad}");
        }
    }
}
