//! Texts in policies: wildcards `*` and `?`, and policy variables such as `${aws:userid}`.
//!
//! A variable's value is taken literally: a star that comes out of a tag is no wildcard. A variable
//! that the request has no value for makes the text match nothing.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html>

use super::context::Context;

/// How a text in a policy is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// `${…}` is a variable: only in policies of version 2012-10-17.
    pub(crate) variables: bool,
    /// `*` and `?` are wildcards: not for `StringEquals` and its like.
    pub(crate) wildcards: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Char(char),
    One,
    Many,
    Variable { key: String, default: Option<String> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Glob {
    Char(char),
    One,
    Many,
}

/// A text of a policy, ready to be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Token>);

impl Pattern {
    /// Reads a text.
    ///
    /// # Errors
    /// Tells what is wrong with a `${…}`.
    pub(crate) fn parse(text: &str, reading: Reading) -> Result<Self, String> {
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            if reading.variables && rest.starts_with("${") {
                let end = rest
                    .find('}')
                    .ok_or_else(|| format!("the policy variable in \"{text}\" is not closed"))?;
                tokens.push(variable(&rest[2..end])?);
                rest = &rest[end + 1..];
                continue;
            }
            tokens.push(match next {
                '*' if reading.wildcards => Token::Many,
                '?' if reading.wildcards => Token::One,
                other => Token::Char(other),
            });
            rest = &rest[next.len_utf8()..];
        }
        Ok(Self(tokens))
    }

    /// Whether the whole of `text` matches.
    pub(crate) fn matches(&self, text: &str, context: &Context) -> bool {
        self.resolve(context).is_some_and(|globs| glob_matches(&globs, text, |a, b| a == b))
    }

    /// As `matches`, whatever the case of ASCII letters.
    pub(crate) fn matches_ignoring_case(&self, text: &str, context: &Context) -> bool {
        self.resolve(context)
            .is_some_and(|globs| glob_matches(&globs, text, |a, b| a.eq_ignore_ascii_case(&b)))
    }

    /// The text with its variables filled in, or nothing if one of them has no value.
    pub(crate) fn text(&self, context: &Context) -> Option<String> {
        let globs = self.resolve(context)?;
        Some(
            globs
                .into_iter()
                .map(|glob| match glob {
                    Glob::Char(c) => c,
                    Glob::One => '?',
                    Glob::Many => '*',
                })
                .collect(),
        )
    }

    /// Whether any variable occurs, so that the text is only known at a request.
    pub(crate) fn has_variables(&self) -> bool {
        self.0.iter().any(|token| matches!(token, Token::Variable { .. }))
    }

    /// Splits at the colons that the policy's author wrote, into at most six parts: an ARN's
    /// fields. Colons inside a variable or in its value don't count.
    fn fields(self) -> Vec<Pattern> {
        let mut fields = vec![Vec::new()];
        for token in self.0 {
            if token == Token::Char(':') && fields.len() < 6 {
                fields.push(Vec::new());
            } else if let Some(last) = fields.last_mut() {
                last.push(token);
            }
        }
        fields.into_iter().map(Pattern).collect()
    }

    fn resolve(&self, context: &Context) -> Option<Vec<Glob>> {
        let mut globs = Vec::with_capacity(self.0.len());
        for token in &self.0 {
            match token {
                Token::Char(c) => globs.push(Glob::Char(*c)),
                Token::One => globs.push(Glob::One),
                Token::Many => globs.push(Glob::Many),
                Token::Variable { key, default } => {
                    let value = context.single(key).or(default.as_deref())?;
                    globs.extend(value.chars().map(Glob::Char));
                }
            }
        }
        Some(globs)
    }
}

/// The inside of `${…}`: `*`, `?` and `$` stand for themselves, anything else is a key with an
/// optional default.
fn variable(inside: &str) -> Result<Token, String> {
    if let "*" | "?" | "$" = inside {
        return Ok(Token::Char(inside.chars().next().unwrap_or('$')));
    }
    let (key, default) = match inside.split_once(',') {
        None => (inside, None),
        Some((key, default)) => {
            let quoted = default
                .trim()
                .strip_prefix('\'')
                .and_then(|text| text.strip_suffix('\''))
                .ok_or_else(|| {
                    format!("the default in ${{{inside}}} must stand in single quotes")
                })?;
            (key, Some(quoted.to_owned()))
        }
    };
    let key = key.trim();
    if key.is_empty() {
        return Err("a policy variable has no name".to_owned());
    }
    Ok(Token::Variable { key: key.to_owned(), default })
}

/// Matches with one backtracking point, the last star seen: linear in practice, never exponential.
fn glob_matches(globs: &[Glob], text: &str, same: impl Fn(char, char) -> bool) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut g, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match globs.get(g) {
            Some(Glob::Many) => {
                star = Some((g, t));
                g += 1;
            }
            Some(Glob::One) => (g, t) = (g + 1, t + 1),
            Some(Glob::Char(c)) if same(*c, text[t]) => (g, t) = (g + 1, t + 1),
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (g, t) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    globs[g..].iter().all(|glob| *glob == Glob::Many)
}

/// A resource in a policy: `*`, or an ARN compared field by field, so that a star never reaches
/// over a colon except within the last field. Missing fields at the end count as stars.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ArnPattern {
    /// `*`
    Any,
    /// One pattern for each field that was written, six at most.
    Fields(Vec<Pattern>),
}

impl ArnPattern {
    /// Reads `*` or an ARN.
    ///
    /// # Errors
    /// Tells what is wrong, in IAM's words where IAM has words for it.
    pub(crate) fn parse(text: &str, variables: bool) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let reading = Reading { variables, wildcards: true };
        let fields = Pattern::parse(text, reading)?.fields();
        let literal = |index: usize, wanted: &str| {
            fields
                .get(index)
                .and_then(|field| field.text(&Context::default()))
                .is_some_and(|text| text == wanted)
        };
        if !literal(0, "arn") || fields.len() < 2 {
            return Err(format!("Resource {text} must be in ARN format or \"*\"."));
        }
        let vendor = fields.get(2);
        if vendor.is_some_and(|field| field.0.iter().any(|t| !matches!(t, Token::Char(_)))) {
            return Err(format!(
                "Resource vendor must be fully qualified and cannot contain regexes: {text}"
            ));
        }
        Ok(Self::Fields(fields))
    }

    /// Whether an ARN matches. `*`, the resource of actions that name none, is matched by `*`
    /// alone.
    pub(crate) fn matches(&self, arn: &str, context: &Context) -> bool {
        match self {
            Self::Any => true,
            Self::Fields(patterns) => {
                let fields: Vec<&str> = arn.splitn(6, ':').collect();
                fields.len() == 6
                    && patterns
                        .iter()
                        .zip(fields)
                        .all(|(pattern, field)| pattern.matches(field, context))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn context() -> Context {
        Context::from([
            ("aws:userid", "AROAEXAMPLEEXAMPLE123:grant-1"),
            ("aws:PrincipalTag/team", "a*"),
        ])
    }

    #[rstest]
    #[case("*", "", true)]
    #[case("*", "anything", true)]
    #[case("s3:Get*", "s3:GetObject", true)]
    #[case("s3:Get*", "s3:PutObject", false)]
    #[case("a?c", "abc", true)]
    #[case("a?c", "ac", false)]
    #[case("a*b*c", "a-b-b-c", true)]
    #[case("a*b*c", "a-b-b-", false)]
    #[case("*.log", "x.log.gz", false)]
    #[case("é?", "éü", true)]
    #[case("${aws:userid}", "AROAEXAMPLEEXAMPLE123:grant-1", true)]
    #[case("${AWS:UserId}/*", "AROAEXAMPLEEXAMPLE123:grant-1/x", true)]
    #[case("${aws:PrincipalTag/team}/x", "a*/x", true)]
    #[case("${aws:PrincipalTag/team}/x", "abc/x", false)]
    #[case("${aws:username}", "", false)]
    #[case("${aws:username, 'nobody'}", "nobody", true)]
    #[case("${*}", "*", true)]
    #[case("${*}", "x", false)]
    fn patterns(#[case] pattern: &str, #[case] text: &str, #[case] expected: bool) {
        let reading = Reading { variables: true, wildcards: true };
        let pattern = Pattern::parse(pattern, reading).unwrap();
        assert_eq!(pattern.matches(text, &context()), expected);
    }

    #[test]
    fn variables_are_plain_text_before_2012() {
        let reading = Reading { variables: false, wildcards: true };
        let pattern = Pattern::parse("${aws:userid}", reading).unwrap();
        assert!(pattern.matches("${aws:userid}", &context()));
    }

    #[rstest]
    #[case("${aws:userid", "not closed")]
    #[case("${aws:userid, nobody}", "single quotes")]
    #[case("${}", "no name")]
    fn bad_variables(#[case] text: &str, #[case] expected: &str) {
        let reading = Reading { variables: true, wildcards: true };
        let message = Pattern::parse(text, reading).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }

    #[rstest]
    #[case("*", "arn:aws:s3:::b", true)]
    #[case("*", "*", true)]
    #[case("arn:aws:s3:::b/*", "arn:aws:s3:::b/k/l:m", true)]
    #[case("arn:aws:s3:::b/*", "arn:aws:s3:::b", false)]
    #[case("arn:aws:s3:::b", "*", false)]
    #[case("arn:aws:iam::*:role/ebbgate/*", "arn:aws:iam::123456789012:role/ebbgate/x", true)]
    #[case("arn:aws:iam::*:role/x", "arn:aws:iam::1:2:role/x", false)]
    #[case("arn:aws:s3", "arn:aws:s3:::b/k", true)]
    #[case(
        "arn:aws:ssm:*:*:session/${aws:userid}-*",
        "arn:aws:ssm:eu-west-1:1:session/AROAEXAMPLEEXAMPLE123:grant-1-0f",
        true
    )]
    fn arns(#[case] pattern: &str, #[case] arn: &str, #[case] expected: bool) {
        let pattern = ArnPattern::parse(pattern, true).unwrap();
        assert_eq!(pattern.matches(arn, &context()), expected);
    }

    #[rstest]
    #[case("bucket/*", "must be in ARN format")]
    #[case("arn", "must be in ARN format")]
    #[case("arn:aws:s*:::b", "cannot contain regexes")]
    fn bad_arns(#[case] text: &str, #[case] expected: &str) {
        let message = ArnPattern::parse(text, true).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
}
