//! What `SHOW GRANTS` tells, taken apart.

use std::fmt;

use crate::{failure::Failure, server::Session, sql, wanted::SYSTEM};

/// One line of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Rights on something.
    Rights {
        /// `SELECT`, `ALL PRIVILEGES`, `UPDATE (column)`.
        rights: Vec<String>,
        /// `*.*`, or a database (as a pattern) or something in one.
        on: Object,
        /// Who has them: on MariaDB the role's own and those of its roles are in one list.
        to: String,
        /// Whether they may be passed on.
        passes_on: bool,
    },
    /// Membership in roles.
    Roles {
        /// Their names.
        roles: Vec<String>,
        /// Who is a member.
        to: String,
        /// Whether they may be passed on.
        passes_on: bool,
    },
    /// Something else, which we don't know to be harmless.
    Other(String),
}

/// What rights are on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Object {
    /// The whole server.
    Server,
    /// A database by its pattern; `whole` where it is not only something inside.
    Database {
        /// As `GRANT` takes it, unquoted.
        pattern: String,
        /// All of it.
        whole: bool,
    },
}

/// What a role or account has; none where there is no such one. `who` is quoted.
pub(crate) async fn of(session: &mut Session, who: &str) -> Result<Option<Vec<Entry>>, Failure> {
    match session.column(format!("SHOW GRANTS FOR {who}")).await {
        Ok(lines) => Ok(Some(lines.iter().filter_map(|line| entry(line)).collect())),
        Err(failure) if failure.is_missing_account() => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// One line; none for what gives no right.
pub(crate) fn entry(line: &str) -> Option<Entry> {
    if line.starts_with("SET DEFAULT ROLE ") {
        return None;
    }
    Some(read(line).unwrap_or_else(|| Entry::Other(line.to_owned())))
}

fn read(line: &str) -> Option<Entry> {
    let rest = line.strip_prefix("GRANT ")?;
    let to_at = outside_quotes(rest, " TO ")?;
    let (granted, rest) = (&rest[..to_at], &rest[to_at + " TO ".len()..]);
    let to = name(rest)?;
    let has = |option: &str| outside_quotes(rest, option).is_some();
    let passes_on = has(" WITH GRANT OPTION") || has(" WITH ADMIN OPTION") || has(" GRANT OPTION");
    let Some(on_at) = outside_quotes(granted, " ON ") else {
        let roles = split_outside_quotes(granted).into_iter().map(name).collect::<Option<_>>()?;
        return Some(Entry::Roles { roles, to, passes_on });
    };
    let (rights, on) = (&granted[..on_at], &granted[on_at + " ON ".len()..]);
    if rights == "PROXY" {
        return None;
    }
    let rights =
        split_outside_quotes(rights).into_iter().map(|one| one.trim().to_owned()).collect();
    Some(Entry::Rights { rights, on: object(on)?, to, passes_on })
}

fn object(on: &str) -> Option<Object> {
    if on == "*.*" {
        return Some(Object::Server);
    }
    // `FUNCTION `db`.`f``, `PACKAGE BODY `db`.`p``.
    let quoted = &on[on.find('`')?..];
    let pattern = name(quoted)?;
    Some(Object::Database { pattern, whole: quoted.ends_with("`.*") })
}

/// The quoted name with which the text begins.
fn name(text: &str) -> Option<String> {
    let mut characters = text.trim_start().strip_prefix('`')?.chars().peekable();
    let mut name = String::new();
    loop {
        match characters.next()? {
            '`' if characters.peek() == Some(&'`') => {
                characters.next();
                name.push('`');
            }
            '`' => return Some(name),
            other => name.push(other),
        }
    }
}

/// Where `wanted` stands outside of quotes and parentheses.
fn outside_quotes(text: &str, wanted: &str) -> Option<usize> {
    outside(text).find(|&at| text[at..].starts_with(wanted))
}

fn split_outside_quotes(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut from = 0;
    for at in outside(text).filter(|&at| text[at..].starts_with(',')) {
        parts.push(&text[from..at]);
        from = at + 1;
    }
    parts.push(&text[from..]);
    parts
}

fn outside(text: &str) -> impl Iterator<Item = usize> {
    let (mut quote, mut depth) = (None, 0_u32);
    text.char_indices().filter_map(move |(at, character)| {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '`' | '\'' | '"') => quote = Some(character),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, _) if depth == 0 => return Some(at),
            _ => {}
        }
        None
    })
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rights { rights, on: Object::Server, .. } => {
                write!(f, "{} on the whole server", rights.join(", "))
            }
            Self::Rights { rights, on: Object::Database { pattern, .. }, .. } => {
                write!(f, "{} on {pattern}", rights.join(", "))
            }
            Self::Roles { roles, .. } => write!(f, "membership in {}", roles.join(", ")),
            Self::Other(line) => f.write_str(line),
        }
    }
}

impl Entry {
    /// Whether it is the entry without a right that every account has.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(self, Self::Rights { rights, on: Object::Server, passes_on: false, .. }
            if rights == &["USAGE"])
    }

    /// Why a role with this must not be given to anybody for a time; none where it may.
    pub(crate) fn forbids(&self) -> Option<String> {
        match self {
            Self::Rights { passes_on: true, .. } | Self::Roles { passes_on: true, .. } => {
                Some("it may pass rights or roles on".to_owned())
            }
            Self::Rights { rights, on: Object::Server, .. } => (rights != &["USAGE"])
                .then(|| format!("it has {} on the whole server", rights.join(", "))),
            Self::Rights { on: Object::Database { pattern, .. }, .. } => SYSTEM
                .iter()
                // Whoever reads there sees nothing but what their other rights show.
                .filter(|system| !matches!(**system, "information_schema" | "performance_schema"))
                .find(|system| sql::covers(pattern, system))
                .map(|system| format!("it has rights on the server's own database {system}")),
            Self::Roles { .. } => None,
            Self::Other(line) => Some(format!("it has what the connector does not know: {line}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn takes_lines_apart() {
        let line = "GRANT SELECT, SHOW VIEW ON `shop\\_1`.* TO `r` WITH GRANT OPTION";
        let expected = Entry::Rights {
            rights: vec!["SELECT".to_owned(), "SHOW VIEW".to_owned()],
            on: Object::Database { pattern: "shop\\_1".to_owned(), whole: true },
            to: "r".to_owned(),
            passes_on: true,
        };
        assert_eq!(entry(line), Some(expected));
        let roles = Entry::Roles {
            roles: vec!["a`b TO `".to_owned()],
            to: "r".to_owned(),
            passes_on: false,
        };
        assert_eq!(entry("GRANT `a``b TO ``` TO `r`"), Some(roles));
        let mysql = entry("GRANT `a`@`%`,`b`@`%` TO `r`@`%`");
        let Some(Entry::Roles { roles, .. }) = mysql else { panic!("{mysql:?}") };
        assert_eq!(roles, ["a", "b"]);
        assert_eq!(entry("SET DEFAULT ROLE `r` FOR `u`@`%`"), None);
    }

    #[rstest]
    #[case("GRANT USAGE ON *.* TO `r`", None)]
    #[case("GRANT SELECT ON `shop`.* TO `r`", None)]
    #[case("GRANT SELECT (`a`, `b ON c`) ON `shop`.`t` TO `r`", None)]
    #[case("GRANT EXECUTE ON FUNCTION `shop`.`f` TO `r`", None)]
    #[case("GRANT `other` TO `r`", None)]
    #[case("GRANT SELECT ON *.* TO `r`", Some("on the whole server"))]
    #[case("GRANT SUPER ON *.* TO `r`", Some("SUPER on the whole server"))]
    #[case("GRANT USAGE ON *.* TO `r` WITH GRANT OPTION", Some("pass rights"))]
    #[case("GRANT SELECT ON `shop`.* TO `r` WITH GRANT OPTION", Some("pass rights"))]
    #[case("GRANT `other` TO `r` WITH ADMIN OPTION", Some("pass rights"))]
    #[case("GRANT SELECT ON `mysql`.* TO `r`", Some("database mysql"))]
    #[case("GRANT SELECT ON `mysql`.`global_priv` TO `r`", Some("database mysql"))]
    #[case("GRANT SELECT ON `my%`.* TO `r`", Some("database mysql"))]
    #[case("GRANT PROXY ON ''@'%' TO `r`", Some("does not know"))]
    #[case("REVOKE INSERT ON `x`.* FROM `r`", Some("does not know"))]
    fn knows_what_must_not_be_given(#[case] line: &str, #[case] why: Option<&str>) {
        let forbids = entry(line).unwrap().forbids();
        match (&forbids, why) {
            (None, None) => {}
            (Some(text), Some(why)) => assert!(text.contains(why), "{text}"),
            _ => panic!("{forbids:?}"),
        }
    }
}
