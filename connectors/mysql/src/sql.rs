//! Names and texts inside SQL. Account statements take no parameters, so they are quoted here, and
//! nowhere else.

/// A name as a quoted identifier (MySQL manual, "Schema Object Names": a backtick inside is written
/// twice).
pub(crate) fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text as a string literal. Every session of ours has neither `NO_BACKSLASH_ESCAPES` nor
/// `ANSI_QUOTES`, so a backslash and a single quote are written with a backslash before them.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}

/// An account: a user and from where it comes.
pub(crate) fn account(user: &str, host: &str) -> String {
    format!("{}@{}", literal(user), literal(host))
}

/// A database in `GRANT … ON`, where `_` and `%` stand for any character and any text (MySQL manual,
/// "GRANT Statement", "Database Privileges") unless a backslash is before them.
pub(crate) fn database_pattern(name: &str) -> String {
    identifier(&escaped(name))
}

/// The name, so that no character of it is a wildcard.
pub(crate) fn escaped(name: &str) -> String {
    name.replace('\\', r"\\").replace('_', r"\_").replace('%', r"\%")
}

/// Whether a pattern of `GRANT` covers the database `name`, in any case: servers differ in that.
pub(crate) fn covers(pattern: &str, name: &str) -> bool {
    fn matches(pattern: &[char], name: &[char]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            (['%', rest @ ..], _) => (0..=name.len()).any(|skip| matches(rest, &name[skip..])),
            (['\\', literal, rest @ ..], [first, others @ ..]) => {
                literal == first && matches(rest, others)
            }
            (['_', rest @ ..], [_, others @ ..]) => matches(rest, others),
            ([literal, rest @ ..], [first, others @ ..]) => {
                literal == first && matches(rest, others)
            }
            _ => false,
        }
    }
    let chars = |text: &str| text.to_lowercase().chars().collect::<Vec<_>>();
    matches(&chars(pattern), &chars(name))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn quotes_what_needs_it() {
        assert_eq!(identifier("a`; DROP USER x"), "`a``; DROP USER x`");
        assert_eq!(literal(r"it's \"), r"'it\'s \\'");
        assert_eq!(account("a'b", "%"), r"'a\'b'@'%'");
        assert_eq!(database_pattern("shop_1%"), r"`shop\_1\%`");
    }

    #[rstest]
    #[case("mysql", "mysql", true)]
    #[case("MySQL", "mysql", true)]
    #[case("%", "mysql", true)]
    #[case("my%l", "mysql", true)]
    #[case("mysq_", "mysql", true)]
    #[case(r"mysq\_", "mysql", false)]
    #[case(r"shop\_1", "shop_1", true)]
    #[case("shop", "shop_1", false)]
    fn knows_what_a_pattern_covers(#[case] pattern: &str, #[case] name: &str, #[case] does: bool) {
        assert_eq!(covers(pattern, name), does);
    }
}
