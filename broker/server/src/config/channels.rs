//! `channels:` in the settings: how people and other systems are told.

use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use ebbgate_broker_channels::{
    EmailChannel, EmailSettings, LogChannel, SmtpLogin, SmtpTls, WebhookChannel, WebhookSecret,
    WebhookSettings,
};
use ebbgate_broker_ports::Channel;
use ebbgate_domain::{
    names::ChannelName,
    notice::{Reach, Route},
};
use ebbgate_settings::{MapReader, Mistakes, Node, SecretReference};
use secrecy::SecretString;
use url::Url;

/// A channel, ready to deliver.
pub(crate) struct ChannelSetting {
    pub route: Route,
    /// How many notices it carries a minute at most, where the settings say so.
    pub per_minute: Option<u32>,
    pub channel: Arc<dyn Channel>,
}

impl fmt::Debug for ChannelSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelSetting").field("route", &self.route).finish_non_exhaustive()
    }
}

/// Reads the list; where there is none, everything goes to the log.
pub(super) fn read(
    node: Option<Node>,
    base: &Path,
    mistakes: &mut Mistakes,
) -> Vec<ChannelSetting> {
    let Some(node) = node else {
        return "log".parse().map(log).into_iter().collect();
    };
    let mut names = BTreeSet::new();
    node.list().into_iter().filter_map(|node| channel(node, base, &mut names, mistakes)).collect()
}

fn log(name: ChannelName) -> ChannelSetting {
    let reach = Reach::Watchers { events: vec!["*".to_owned()] };
    ChannelSetting {
        route: Route { channel: name.clone(), reach },
        per_minute: None,
        channel: Arc::new(LogChannel::new(name)),
    }
}

fn channel(
    node: Node,
    base: &Path,
    names: &mut BTreeSet<ChannelName>,
    mistakes: &mut Mistakes,
) -> Option<ChannelSetting> {
    let mut map = node.map(mistakes)?;
    let place = map.place;
    let name: ChannelName = map.required("name")?;
    if !names.insert(name.clone()) {
        map.mistakes.add(place, format!("the channel '{name}' is defined twice"));
    }
    let kind = map.need("kind")?;
    let (channel, reach) = match kind.parse::<String>(map.mistakes)?.as_str() {
        "log" => (Some(Arc::new(LogChannel::new(name.clone())) as _), watchers(&mut map)),
        "webhook" => (webhook(&mut map, &name, base), watchers(&mut map)),
        "email" => (email(&mut map, &name, base), Reach::People),
        other => {
            let known = format!("unknown kind '{other}': known are log, webhook and email");
            map.mistakes.add(kind.place, known);
            return None;
        }
    };
    let per_minute = map.take("per_minute").and_then(|node| {
        let rate: u32 = node.parse(map.mistakes)?;
        if rate == 0 {
            map.mistakes.add(node.place, "at least 1 notice a minute");
        }
        Some(rate)
    });
    map.finish();
    let route = Route { channel: name, reach };
    Some(ChannelSetting { route, per_minute, channel: channel? })
}

fn watchers(map: &mut MapReader<'_>) -> Reach {
    let events = match map.take("events") {
        Some(node) => node.list().iter().filter_map(|event| event.parse(map.mistakes)).collect(),
        None => vec!["*".to_owned()],
    };
    Reach::Watchers { events }
}

fn webhook(map: &mut MapReader<'_>, name: &ChannelName, base: &Path) -> Option<Arc<dyn Channel>> {
    let url = map.need("url");
    let parsed: Option<Url> = url.as_ref().and_then(|url| url.parse(map.mistakes));
    let secret = map.need("secret").and_then(|node| {
        let text = secret(&node, base, map.mistakes)?;
        WebhookSecret::parse(&text).map_err(|error| map.mistakes.add(node.place, error)).ok()
    });
    let allow_private = map.optional("allow_private").unwrap_or(false);
    let authority = authority(map, base);
    let settings = WebhookSettings {
        name: name.clone(),
        url: parsed?,
        secret: secret?,
        allow_private,
        authority,
    };
    match WebhookChannel::new(settings) {
        Ok(channel) => Some(Arc::new(channel)),
        Err(error) => {
            map.mistakes.add(url?.place, ebbgate_broker_ports::chain(&error));
            None
        }
    }
}

fn email(map: &mut MapReader<'_>, name: &ChannelName, base: &Path) -> Option<Arc<dyn Channel>> {
    let server = map.need("smtp").and_then(|node| smtp(&node, map.mistakes));
    let from = map.need("from");
    let sender: Option<String> = from.as_ref().and_then(|from| from.parse(map.mistakes));
    let user: Option<String> = map.optional("user");
    let password = map.take("password").and_then(|node| secret(&node, base, map.mistakes));
    let login = match (user, password) {
        (Some(user), Some(password)) => Some(SmtpLogin { user, password }),
        (None, None) => None,
        _ => {
            map.mistakes.add(map.place, "'user' and 'password' go together");
            return None;
        }
    };
    let authority = authority(map, base);
    let (host, port, tls) = server?;
    let place = from?.place;
    if login.is_some() && tls == SmtpTls::None {
        map.mistakes.add(map.place, "a password over an open connection: use smtps:// or smtp://");
    }
    let settings =
        EmailSettings { name: name.clone(), host, port, tls, login, from: sender?, authority };
    match EmailChannel::new(settings) {
        Ok(channel) => Some(Arc::new(channel)),
        Err(error) => {
            map.mistakes.add(place, ebbgate_broker_ports::chain(&error));
            None
        }
    }
}

/// `smtps://HOST[:465]`, `smtp://HOST[:587]` with STARTTLS, or `smtp-plain://HOST[:25]`.
fn smtp(node: &Node, mistakes: &mut Mistakes) -> Option<(String, u16, SmtpTls)> {
    let url: Url = node.parse(mistakes)?;
    let (tls, port) = match url.scheme() {
        "smtps" => (SmtpTls::Implicit, 465),
        "smtp" => (SmtpTls::StartTls, 587),
        "smtp-plain" => (SmtpTls::None, 25),
        _ => {
            let how = "write smtps://HOST, smtp://HOST (STARTTLS) or smtp-plain://HOST (no TLS)";
            mistakes.add(node.place, how);
            return None;
        }
    };
    if !url.username().is_empty() || url.password().is_some() {
        mistakes.add(node.place, "no user or password here: they have keys of their own");
        return None;
    }
    let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
        mistakes.add(node.place, "the mail server's name is missing");
        return None;
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Some((host.to_owned(), url.port().unwrap_or(port), tls))
}

/// A secret by reference: `file:PATH` or `${NAME}`.
fn secret(node: &Node, base: &Path, mistakes: &mut Mistakes) -> Option<SecretString> {
    let reference: SecretReference = node.parse(mistakes)?;
    reference.resolve(base).map_err(|error| mistakes.add(node.place, error)).ok()
}

/// A certificate authority's file.
fn authority(map: &mut MapReader<'_>, base: &Path) -> Option<Vec<u8>> {
    let node = map.take("ca")?;
    let path = base.join(node.parse::<PathBuf>(map.mistakes)?);
    fs::read(&path)
        .map_err(|error| {
            map.mistakes.add(node.place, format!("cannot read {}: {error}", path.display()));
        })
        .ok()
}

#[cfg(test)]
mod tests {
    use ebbgate_settings::documents;
    use rstest::rstest;

    use super::*;

    fn read_text(text: &str) -> (Vec<ChannelSetting>, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let mut mistakes = Mistakes::of(Path::new("x.yaml"));
        let node = documents(text, &mut mistakes).remove(0);
        let channels = read(Some(node), dir.path(), &mut mistakes);
        (channels, mistakes.into_vec().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn without_channels_all_goes_to_the_log() {
        let mut mistakes = Mistakes::of(Path::new("x.yaml"));
        let channels = read(None, Path::new("."), &mut mistakes);
        assert_eq!(channels[0].channel.name().as_str(), "log");
    }

    #[test]
    fn reads_every_kind() {
        let (channels, mistakes) = read_text(
            "- {name: ops, kind: log, events: [grant.*]}
- {name: siem, kind: webhook, url: 'https://hooks.example.com/x', secret: 'file:secret'}
- {name: mail, kind: email, smtp: 'smtps://mail.example.com', from: 'Ebbgate <a@example.com>',
   user: ebbgate, password: 'file:secret', per_minute: 30}
",
        );
        assert_eq!(mistakes, Vec::<String>::new());
        let reaches: Vec<_> = channels.iter().map(|channel| channel.route.reach.clone()).collect();
        let events = |event: &str| Reach::Watchers { events: vec![event.to_owned()] };
        assert_eq!(reaches, [events("grant.*"), events("*"), Reach::People]);
        assert_eq!(channels[2].per_minute, Some(30));
    }

    #[rstest]
    #[case("{name: a, kind: pigeon}", "unknown kind 'pigeon'")]
    #[case("{name: a, kind: webhook, url: 'https://x.example', secret: hunter2}", "file:PATH")]
    #[case(
        "{name: a, kind: webhook, url: 'https://10.0.0.1/', secret: 'file:secret'}",
        "allow_private"
    )]
    #[case("{name: a, kind: webhook, url: 'http://x.example/', secret: 'file:secret'}", "https://")]
    #[case(
        "{name: a, kind: email, smtp: 'mail.example.com', from: 'a@example.com'}",
        "relative URL"
    )]
    #[case("{name: a, kind: email, smtp: 'smtp://m.example', from: nobody}", "no sender")]
    #[case(
        "{name: a, kind: email, smtp: 'smtp-plain://m', from: a@b.example, user: u, password: 'file:secret'}",
        "open connection"
    )]
    #[case("{name: a, kind: log, per_minute: 0}", "at least 1")]
    fn tells_what_is_wrong(#[case] channel: &str, #[case] message: &str) {
        let (_, mistakes) = read_text(&format!("- {channel}\n"));
        assert!(mistakes.iter().any(|mistake| mistake.contains(message)), "{mistakes:?}");
        assert!(mistakes.iter().all(|mistake| !mistake.contains("hunter2")), "{mistakes:?}");
    }
}
