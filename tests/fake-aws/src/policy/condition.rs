//! Condition operators.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>
//!
//! An operator that is not evaluated here (`IpAddress`, `BinaryEquals`) is refused when the policy
//! is stored: a double that ignored one would call a wrong policy right.

use std::cmp::Ordering;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde_json::Value;

use super::context::Context;
use super::pattern::{ArnPattern, Pattern, Reading};

/// One operator applied to one key: `"StringLike": {"s3:prefix": ["a/*", "b/*"]}`.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    operator: Operator,
    key: String,
    values: Values,
}

#[derive(Debug, Clone, Copy)]
struct Operator {
    test: Test,
    negated: bool,
    if_exists: bool,
    set: Option<Set>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    ForAllValues,
    ForAnyValue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Test {
    Equals,
    EqualsIgnoreCase,
    Like,
    Arn,
    Numeric(Relation),
    Date(Relation),
    Bool,
    Null,
}

/// How the request's value must stand to the policy's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Relation {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }

    fn parse(name: &str) -> Option<(Self, bool)> {
        Some(match name {
            "Equals" => (Self::Equal, false),
            "NotEquals" => (Self::Equal, true),
            "LessThan" => (Self::Less, false),
            "LessThanEquals" => (Self::LessOrEqual, false),
            "GreaterThan" => (Self::Greater, false),
            "GreaterThanEquals" => (Self::GreaterOrEqual, false),
            _ => return None,
        })
    }
}

#[derive(Debug, Clone)]
enum Values {
    Texts(Vec<Pattern>),
    Arns(Vec<ArnPattern>),
}

impl Operator {
    fn parse(name: &str) -> Option<Self> {
        let (set, rest) = match name.split_once(':') {
            Some(("ForAllValues", rest)) => (Some(Set::ForAllValues), rest),
            Some(("ForAnyValue", rest)) => (Some(Set::ForAnyValue), rest),
            Some(_) => return None,
            None => (None, name),
        };
        let (base, if_exists) = match rest.strip_suffix("IfExists") {
            Some(base) => (base, true),
            None => (rest, false),
        };
        let (test, negated) = match base {
            "StringEquals" => (Test::Equals, false),
            "StringNotEquals" => (Test::Equals, true),
            "StringEqualsIgnoreCase" => (Test::EqualsIgnoreCase, false),
            "StringNotEqualsIgnoreCase" => (Test::EqualsIgnoreCase, true),
            "StringLike" => (Test::Like, false),
            "StringNotLike" => (Test::Like, true),
            "ArnEquals" | "ArnLike" => (Test::Arn, false),
            "ArnNotEquals" | "ArnNotLike" => (Test::Arn, true),
            "Bool" => (Test::Bool, false),
            "Null" if !if_exists && set.is_none() => (Test::Null, false),
            other => {
                if let Some(relation) = other.strip_prefix("Numeric") {
                    let (relation, negated) = Relation::parse(relation)?;
                    (Test::Numeric(relation), negated)
                } else {
                    let (relation, negated) = Relation::parse(other.strip_prefix("Date")?)?;
                    (Test::Date(relation), negated)
                }
            }
        };
        Some(Self { test, negated, if_exists, set })
    }
}

impl Condition {
    /// Reads one operator's value for one key.
    ///
    /// # Errors
    /// An operator that is unknown here, a value of the wrong type, a variable that can't be read.
    pub(crate) fn parse(
        operator_name: &str,
        key: &str,
        value: &Value,
        variables: bool,
    ) -> Result<Self, String> {
        let operator = Operator::parse(operator_name)
            .ok_or_else(|| format!("Invalid Condition type : {operator_name}."))?;
        if !key.contains(':') {
            return Err(
                "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
                    .to_owned(),
            );
        }
        let texts = scalars(value)?;
        let reading = Reading { variables, wildcards: operator.test == Test::Like };
        let values = if operator.test == Test::Arn {
            let arns: Result<_, _> =
                texts.iter().map(|text| ArnPattern::parse(text, variables)).collect();
            Values::Arns(arns?)
        } else {
            let mut patterns = Vec::with_capacity(texts.len());
            for text in &texts {
                let pattern = Pattern::parse(text, reading)?;
                if !pattern.has_variables() && !readable(operator.test, text) {
                    return Err(format!(
                        "Syntax errors in policy. {operator_name} can't compare with \"{text}\"."
                    ));
                }
                patterns.push(pattern);
            }
            Values::Texts(patterns)
        };
        Ok(Self { operator, key: key.to_owned(), values })
    }

    /// Whether the condition holds for a request.
    pub(crate) fn holds(&self, context: &Context) -> bool {
        let Operator { test, negated, if_exists, set } = self.operator;
        let actual = context.values(&self.key);
        if test == Test::Null {
            let absent = actual.is_none().to_string();
            return self.any_value_matches(&absent, context);
        }
        let Some(actual) = actual else {
            return if_exists
                || match set {
                    Some(Set::ForAllValues) => true,
                    Some(Set::ForAnyValue) => false,
                    None => negated,
                };
        };
        let fits = |value: &String| self.any_value_matches(value, context) != negated;
        match set {
            Some(Set::ForAllValues) => actual.iter().all(fits),
            Some(Set::ForAnyValue) => actual.iter().any(fits),
            // Several values under a plain operator: AWS advises against it. Negation must not be
            // weakened by one value that differs.
            None if negated => actual.iter().all(fits),
            None => actual.iter().any(fits),
        }
    }

    fn any_value_matches(&self, actual: &str, context: &Context) -> bool {
        match &self.values {
            Values::Arns(arns) => arns.iter().any(|arn| arn.matches(actual, context)),
            Values::Texts(texts) => {
                texts.iter().any(|text| matches(self.operator.test, text, actual, context))
            }
        }
    }
}

fn matches(test: Test, pattern: &Pattern, actual: &str, context: &Context) -> bool {
    match test {
        Test::Equals | Test::Like | Test::Arn => pattern.matches(actual, context),
        Test::EqualsIgnoreCase | Test::Bool | Test::Null => {
            pattern.matches_ignoring_case(actual, context)
        }
        Test::Numeric(relation) => pattern
            .text(context)
            .and_then(|wanted| number(actual)?.partial_cmp(&number(&wanted)?))
            .is_some_and(|ordering| relation.holds(ordering)),
        Test::Date(relation) => pattern
            .text(context)
            .and_then(|wanted| Some(date(actual)?.cmp(&date(&wanted)?)))
            .is_some_and(|ordering| relation.holds(ordering)),
    }
}

/// Whether a policy's literal value can be compared at all by this operator.
fn readable(test: Test, text: &str) -> bool {
    match test {
        Test::Numeric(_) => number(text).is_some(),
        Test::Date(_) => date(text).is_some(),
        Test::Bool | Test::Null => {
            text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false")
        }
        Test::Equals | Test::EqualsIgnoreCase | Test::Like | Test::Arn => true,
    }
}

fn scalars(value: &Value) -> Result<Vec<String>, String> {
    let one = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err("Syntax errors in policy.".to_owned()),
    };
    match value {
        Value::Array(values) => values.iter().map(one).collect(),
        single => Ok(vec![one(single)?]),
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// A W3C date and time, a date alone (midnight UTC), or seconds since 1970.
fn date(text: &str) -> Option<Timestamp> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment);
    }
    if let Ok(seconds) = text.parse::<i64>() {
        return Timestamp::from_second(seconds).ok();
    }
    let day: Date = text.parse().ok()?;
    if text.contains(['T', 't', ' ']) {
        return None;
    }
    DateTime::from(day).to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    fn context() -> Context {
        let mut context = Context::from([
            ("aws:CurrentTime", "2026-05-01T12:00:00Z"),
            ("aws:EpochTime", "1777636800"),
            ("aws:userid", "AROAEXAMPLEEXAMPLE123:grant-1"),
            ("aws:PrincipalTag/Team", "Data"),
            ("aws:PrincipalArn", "arn:aws:iam::123456789012:role/ebbgate/ceiling"),
            ("aws:SecureTransport", "true"),
            ("s3:max-keys", "10"),
        ]);
        context.set_all("aws:TagKeys", ["grant".to_owned(), "flow".to_owned()]);
        context
    }

    #[rstest]
    // Text
    #[case("StringEquals", "aws:userid", json!("AROAEXAMPLEEXAMPLE123:grant-1"), true)]
    #[case("StringEquals", "aws:userid", json!(["x", "AROAEXAMPLEEXAMPLE123:grant-1"]), true)]
    #[case("StringEquals", "aws:userid", json!("AROAEXAMPLEEXAMPLE123:grant-2"), false)]
    #[case("StringEquals", "aws:userid", json!("*"), false)]
    #[case("StringEquals", "AWS:USERID", json!("${aws:userid}"), true)]
    #[case("StringEquals", "aws:principaltag/team", json!("Data"), true)]
    #[case("StringEquals", "aws:PrincipalTag/team", json!("data"), false)]
    #[case("StringEquals", "aws:SourceIdentity", json!("x"), false)]
    #[case("StringEqualsIfExists", "aws:SourceIdentity", json!("x"), true)]
    #[case("StringEqualsIfExists", "aws:userid", json!("x"), false)]
    #[case("StringNotEquals", "aws:SourceIdentity", json!("x"), true)]
    #[case("StringNotEquals", "aws:userid", json!("x"), true)]
    #[case("StringNotEquals", "aws:userid", json!(["x", "AROAEXAMPLEEXAMPLE123:grant-1"]), false)]
    #[case("StringEqualsIgnoreCase", "aws:PrincipalTag/team", json!("DATA"), true)]
    #[case("StringNotEqualsIgnoreCase", "aws:PrincipalTag/team", json!("DATA"), false)]
    #[case("StringLike", "aws:userid", json!("AROA*:grant-?"), true)]
    #[case("StringNotLike", "aws:userid", json!("AROA*:grant-?"), false)]
    // Sets
    #[case("ForAllValues:StringEquals", "aws:TagKeys", json!(["grant", "flow", "x"]), true)]
    #[case("ForAllValues:StringEquals", "aws:TagKeys", json!(["grant"]), false)]
    #[case("ForAllValues:StringEquals", "aws:SourceIdentity", json!(["x"]), true)]
    #[case("ForAnyValue:StringEquals", "aws:TagKeys", json!(["grant"]), true)]
    #[case("ForAnyValue:StringEquals", "aws:TagKeys", json!(["x"]), false)]
    #[case("ForAnyValue:StringEquals", "aws:SourceIdentity", json!(["x"]), false)]
    #[case("ForAnyValue:StringNotLike", "aws:TagKeys", json!(["gr*"]), true)]
    #[case("ForAllValues:StringNotLike", "aws:TagKeys", json!(["gr*"]), false)]
    // Dates
    #[case("DateGreaterThanEquals", "aws:CurrentTime", json!("2026-05-01T12:00:00Z"), true)]
    #[case("DateGreaterThanEquals", "aws:CurrentTime", json!("2026-05-01T12:00:00.001Z"), false)]
    #[case("DateGreaterThan", "aws:CurrentTime", json!("2026-05-01T12:00:00Z"), false)]
    #[case("DateLessThan", "aws:CurrentTime", json!("2026-05-01T14:00:01+02:00"), true)]
    #[case("DateLessThanEquals", "aws:CurrentTime", json!("2026-05-01T12:00:00Z"), true)]
    #[case("DateEquals", "aws:CurrentTime", json!("1777636800"), true)]
    #[case("DateNotEquals", "aws:CurrentTime", json!("2026-05-01"), true)]
    #[case("DateGreaterThan", "aws:CurrentTime", json!("2026-05-01"), true)]
    #[case("DateLessThan", "aws:EpochTime", json!("2026-05-01T12:00:01Z"), true)]
    #[case("DateLessThan", "aws:TokenIssueTime", json!("2030-01-01T00:00:00Z"), false)]
    #[case("DateLessThanIfExists", "aws:TokenIssueTime", json!("2020-01-01T00:00:00Z"), true)]
    // Numbers
    #[case("NumericLessThanEquals", "s3:max-keys", json!("10"), true)]
    #[case("NumericLessThanEquals", "s3:max-keys", json!(9), false)]
    #[case("NumericGreaterThan", "s3:max-keys", json!("9.5"), true)]
    #[case("NumericEquals", "s3:max-keys", json!("10.0"), true)]
    #[case("NumericNotEquals", "s3:max-keys", json!("10"), false)]
    #[case("NumericEquals", "aws:userid", json!("10"), false)]
    #[case("NumericLessThan", "aws:EpochTime", json!(1_777_636_801), true)]
    // Others
    #[case("Bool", "aws:SecureTransport", json!("true"), true)]
    #[case("Bool", "aws:SecureTransport", json!(false), false)]
    #[case("Bool", "ssm:SessionDocumentAccessCheck", json!("true"), false)]
    #[case("BoolIfExists", "ssm:SessionDocumentAccessCheck", json!("true"), true)]
    #[case("Null", "aws:SourceIdentity", json!("true"), true)]
    #[case("Null", "aws:SourceIdentity", json!(false), false)]
    #[case("Null", "aws:userid", json!("false"), true)]
    #[case("ArnLike", "aws:PrincipalArn", json!("arn:aws:iam::*:role/ebbgate/*"), true)]
    #[case("ArnEquals", "aws:PrincipalArn", json!("arn:aws:iam::*:role/ebbgate/*"), true)]
    #[case("ArnNotLike", "aws:PrincipalArn", json!("arn:aws:iam::*:role/ebbgate/*"), false)]
    #[case("ArnNotEqualsIfExists", "aws:PrincipalArn", json!("arn:aws:iam::123456789012:role/x"), true)]
    #[case("ArnLike", "aws:userid", json!("arn:aws:iam::*:role/*"), false)]
    fn conditions(
        #[case] operator: &str,
        #[case] key: &str,
        #[case] value: serde_json::Value,
        #[case] expected: bool,
    ) {
        let condition = Condition::parse(operator, key, &value, true).unwrap();
        assert_eq!(condition.holds(&context()), expected);
    }

    #[rstest]
    #[case("IpAddress", "aws:SourceIp", json!("10.0.0.0/8"), "Invalid Condition type : IpAddress.")]
    #[case("NullIfExists", "aws:userid", json!("true"), "Invalid Condition type")]
    #[case("ForSomeValues:StringEquals", "aws:TagKeys", json!("x"), "Invalid Condition type")]
    #[case("StringEquals", "userid", json!("x"), "prefaced by a vendor")]
    #[case("StringEquals", "aws:userid", json!({"a": 1}), "Syntax errors in policy.")]
    #[case("DateLessThan", "aws:CurrentTime", json!("tomorrow"), "can't compare with \"tomorrow\"")]
    #[case("DateLessThan", "aws:CurrentTime", json!("2026-05-01T12:00:00"), "can't compare")]
    #[case("NumericEquals", "s3:max-keys", json!("many"), "can't compare")]
    #[case("Bool", "aws:SecureTransport", json!("yes"), "can't compare")]
    #[case("ArnLike", "aws:PrincipalArn", json!("role/x"), "must be in ARN format")]
    fn refused(
        #[case] operator: &str,
        #[case] key: &str,
        #[case] value: serde_json::Value,
        #[case] expected: &str,
    ) {
        let message = Condition::parse(operator, key, &value, true).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
}
