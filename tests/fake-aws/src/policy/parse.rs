//! Reads a policy document as IAM does, with IAM's complaints: what real AWS refuses must not pass
//! here.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::condition::Condition;
use super::pattern::{ArnPattern, Pattern, Reading};

const SYNTAX: &str = "Syntax errors in policy.";
const VENDOR: &str = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.";

/// What a document is for: it decides which elements it must and must not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An identity, boundary or session policy: resources, no principals.
    Permissions,
    /// A role's trust policy: principals, no resources.
    Trust,
}

/// A policy, ready to be evaluated.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(super) statements: Vec<Statement>,
}

#[derive(Debug)]
pub(super) struct Statement {
    pub(super) allow: bool,
    pub(super) principals: Vec<Principal>,
    pub(super) actions: Listed<Pattern>,
    pub(super) resources: Listed<ArnPattern>,
    pub(super) conditions: Vec<Condition>,
}

/// A list under its name or under its `Not…` name.
#[derive(Debug)]
pub(super) struct Listed<T> {
    pub(super) except: bool,
    pub(super) entries: Vec<T>,
}

/// Whom a trust policy's statement is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Principal {
    /// `"*"`
    Anyone,
    /// An account, by number or by its root's ARN.
    Account(String),
    /// A user, a role, or one session of a role, by ARN.
    Arn(String),
    /// A service or a federated identity: never a caller here.
    Other,
}

impl Policy {
    /// Reads a document.
    ///
    /// # Errors
    /// The message that IAM gives with `MalformedPolicyDocument`.
    pub(crate) fn parse(document: &str, kind: Kind) -> Result<Self, String> {
        let value: Value = serde_json::from_str(document)
            .map_err(|_| "This policy contains invalid Json".to_owned())?;
        let Value::Object(top) = value else {
            return Err(SYNTAX.to_owned());
        };
        refuse_unknown(&top, &["Version", "Id", "Statement"])?;
        let variables = match top.get("Version").map(Value::as_str) {
            Some(Some("2012-10-17")) => true,
            None | Some(Some("2008-10-17")) => false,
            Some(_) => return Err(SYNTAX.to_owned()),
        };
        let statements: Vec<&Value> = match top.get("Statement") {
            Some(Value::Array(list)) => list.iter().collect(),
            Some(one @ Value::Object(_)) => vec![one],
            _ => return Err(SYNTAX.to_owned()),
        };
        if statements.is_empty() {
            return Err(SYNTAX.to_owned());
        }
        unique_sids(&statements)?;
        let statements: Result<_, _> = statements
            .into_iter()
            .map(|statement| Statement::parse(statement, kind, variables))
            .collect();
        Ok(Self { statements: statements? })
    }

    /// Every principal that the document names.
    pub(crate) fn principals(&self) -> impl Iterator<Item = &Principal> {
        self.statements.iter().flat_map(|statement| &statement.principals)
    }
}

impl Statement {
    fn parse(value: &Value, kind: Kind, variables: bool) -> Result<Self, String> {
        let Value::Object(fields) = value else {
            return Err(SYNTAX.to_owned());
        };
        refuse_unknown(
            fields,
            &[
                "Sid",
                "Effect",
                "Principal",
                "NotPrincipal",
                "Action",
                "NotAction",
                "Resource",
                "NotResource",
                "Condition",
            ],
        )?;
        let allow = match fields.get("Effect").and_then(Value::as_str) {
            Some("Allow") => true,
            Some("Deny") => false,
            _ => return Err(SYNTAX.to_owned()),
        };
        Ok(Self {
            allow,
            principals: principals(fields, kind)?,
            actions: actions(fields)?,
            resources: resources(fields, kind, variables)?,
            conditions: conditions(fields, variables)?,
        })
    }
}

fn refuse_unknown(fields: &Map<String, Value>, known: &[&str]) -> Result<(), String> {
    match fields.keys().find(|name| !known.contains(&name.as_str())) {
        Some(_) => Err(SYNTAX.to_owned()),
        None => Ok(()),
    }
}

fn unique_sids(statements: &[&Value]) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for sid in statements.iter().filter_map(|s| s.get("Sid")) {
        let sid = sid.as_str().ok_or_else(|| SYNTAX.to_owned())?;
        if !sid.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(
                "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the \
                 regular expression [0-9A-Za-z]*"
                    .to_owned(),
            );
        }
        if !seen.insert(sid) {
            return Err("Statement IDs (SID) in a single policy must be unique.".to_owned());
        }
    }
    Ok(())
}

/// One text or a list of texts.
fn texts(value: &Value) -> Result<Vec<&str>, String> {
    let one = |value| Value::as_str(value).ok_or_else(|| SYNTAX.to_owned());
    match value {
        Value::Array(values) => values.iter().map(one).collect(),
        single => Ok(vec![one(single)?]),
    }
}

/// The element under `name` or under its `Not…` twin, which exclude each other.
fn listed<'a>(
    fields: &'a Map<String, Value>,
    name: &str,
) -> Result<Option<(bool, Vec<&'a str>)>, String> {
    let negative = format!("Not{name}");
    match (fields.get(name), fields.get(&negative)) {
        (Some(_), Some(_)) => Err(SYNTAX.to_owned()),
        (Some(value), None) => Ok(Some((false, texts(value)?))),
        (None, Some(value)) => Ok(Some((true, texts(value)?))),
        (None, None) => Ok(None),
    }
}

fn actions(fields: &Map<String, Value>) -> Result<Listed<Pattern>, String> {
    let missing = || "Policy statement must contain actions.".to_owned();
    let (except, names) = listed(fields, "Action")?.ok_or_else(missing)?;
    if names.is_empty() {
        return Err(missing());
    }
    let reading = Reading { variables: false, wildcards: true };
    let mut entries = Vec::with_capacity(names.len());
    for name in names {
        let vendor = name.split_once(':').map(|(vendor, _)| vendor);
        if name != "*"
            && vendor.is_none_or(|vendor| vendor.is_empty() || vendor.contains(['*', '?']))
        {
            return Err(VENDOR.to_owned());
        }
        entries.push(Pattern::parse(name, reading)?);
    }
    Ok(Listed { except, entries })
}

fn resources(
    fields: &Map<String, Value>,
    kind: Kind,
    variables: bool,
) -> Result<Listed<ArnPattern>, String> {
    match (listed(fields, "Resource")?, kind) {
        (Some(_), Kind::Trust) => Err("Has prohibited field Resource".to_owned()),
        (None, Kind::Trust) => Ok(Listed { except: false, entries: vec![ArnPattern::Any] }),
        (Some((except, arns)), Kind::Permissions) if !arns.is_empty() => {
            let entries: Result<_, _> =
                arns.into_iter().map(|arn| ArnPattern::parse(arn, variables)).collect();
            Ok(Listed { except, entries: entries? })
        }
        (_, Kind::Permissions) => Err("Policy statement must contain resources.".to_owned()),
    }
}

fn conditions(fields: &Map<String, Value>, variables: bool) -> Result<Vec<Condition>, String> {
    let Some(block) = fields.get("Condition") else {
        return Ok(Vec::new());
    };
    let block = block.as_object().ok_or_else(|| SYNTAX.to_owned())?;
    let mut conditions = Vec::new();
    for (operator, keys) in block {
        for (key, value) in keys.as_object().ok_or_else(|| SYNTAX.to_owned())? {
            conditions.push(Condition::parse(operator, key, value, variables)?);
        }
    }
    Ok(conditions)
}

fn principals(fields: &Map<String, Value>, kind: Kind) -> Result<Vec<Principal>, String> {
    let given = fields.get("Principal");
    if fields.contains_key("NotPrincipal") {
        return Err("NotPrincipal is not evaluated by this double of AWS.".to_owned());
    }
    let given = match (given, kind) {
        (None, Kind::Permissions) => return Ok(Vec::new()),
        (Some(_), Kind::Permissions) => {
            return Err("Policy document should not specify a principal.".to_owned());
        }
        (None, Kind::Trust) => return Err("Missing required field Principal".to_owned()),
        (Some(given), Kind::Trust) => given,
    };
    match given {
        Value::String(text) if text == "*" => Ok(vec![Principal::Anyone]),
        Value::Object(by_type) => {
            let mut all = Vec::new();
            for (kind, value) in by_type {
                for text in texts(value)? {
                    all.push(principal(kind, text)?);
                }
            }
            if all.is_empty() {
                return Err("Missing required field Principal".to_owned());
            }
            Ok(all)
        }
        _ => Err("Invalid principal in policy.".to_owned()),
    }
}

fn principal(kind: &str, text: &str) -> Result<Principal, String> {
    let invalid = || format!("Invalid principal in policy: \"{kind}\":\"{text}\"");
    match kind {
        "Service" | "Federated" => Ok(Principal::Other),
        "AWS" if text == "*" => Ok(Principal::Anyone),
        "AWS" if is_account(text) => Ok(Principal::Account(text.to_owned())),
        "AWS" => {
            let fields: Vec<&str> = text.splitn(6, ':').collect();
            match fields.as_slice() {
                ["arn", "aws", "iam", "", account, "root"] if is_account(account) => {
                    Ok(Principal::Account((*account).to_owned()))
                }
                ["arn", "aws", "iam" | "sts", "", account, name]
                    if is_account(account) && !name.contains(['*', '?']) =>
                {
                    Ok(Principal::Arn(text.to_owned()))
                }
                _ => Err(invalid()),
            }
        }
        _ => Err(invalid()),
    }
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#
    )]
    #[case(r#"{"Statement":[{"Sid":"A1","Effect":"Deny","NotAction":["s3:Get*","iam:*"],"NotResource":"arn:aws:s3:::b/*"}]}"#)]
    #[case(r#"{"Version":"2012-10-17","Id":"x","Statement":[{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"DateGreaterThanEquals":{"aws:CurrentTime":"2026-05-01T12:00:00Z"}}}]}"#)]
    fn good_permissions(#[case] document: &str) {
        Policy::parse(document, Kind::Permissions).unwrap();
    }

    #[rstest]
    #[case("", "invalid Json")]
    #[case("{", "invalid Json")]
    #[case("[]", "Syntax errors in policy.")]
    #[case(r#"{"Version":"2012-10-17"}"#, "Syntax errors in policy.")]
    #[case(r#"{"Version":"2012-10-17","Statement":[]}"#, "Syntax errors in policy.")]
    #[case(
        r#"{"Version":"2020-01-01","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#,
        "Syntax errors in policy."
    )]
    #[case(
        r#"{"Statement":{"Effect":"allow","Action":"*","Resource":"*"}}"#,
        "Syntax errors in policy."
    )]
    #[case(
        r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Extra":1}}"#,
        "Syntax errors in policy."
    )]
    #[case(
        r#"{"Statement":{"Effect":"Allow","Action":"*","NotAction":"*","Resource":"*"}}"#,
        "Syntax errors in policy."
    )]
    #[case(r#"{"Statement":{"Effect":"Allow","Resource":"*"}}"#, "must contain actions")]
    #[case(
        r#"{"Statement":{"Effect":"Allow","Action":[],"Resource":"*"}}"#,
        "must contain actions"
    )]
    #[case(r#"{"Statement":{"Effect":"Allow","Action":"*"}}"#, "must contain resources")]
    #[case(
        r#"{"Statement":{"Effect":"Allow","Action":"GetObject","Resource":"*"}}"#,
        "prefaced by a vendor"
    )]
    #[case(
        r#"{"Statement":{"Effect":"Allow","Action":"*:Get*","Resource":"*"}}"#,
        "prefaced by a vendor"
    )]
    #[case(
        r#"{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"bucket"}}"#,
        "must be in ARN format"
    )]
    #[case(
        r#"{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*","Principal":"*"}}"#,
        "should not specify a principal"
    )]
    #[case(
        r#"{"Statement":{"Sid":"deny-x","Effect":"Allow","Action":"s3:*","Resource":"*"}}"#,
        "alpha-numeric"
    )]
    #[case(r#"{"Statement":[{"Sid":"a","Effect":"Allow","Action":"*","Resource":"*"},{"Sid":"a","Effect":"Deny","Action":"*","Resource":"*"}]}"#, "must be unique")]
    #[case(r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}}"#, "Invalid Condition type")]
    fn bad_permissions(#[case] document: &str, #[case] expected: &str) {
        let message = Policy::parse(document, Kind::Permissions).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }

    #[rstest]
    #[case(r#""*""#, Principal::Anyone)]
    #[case(r#"{"AWS":"*"}"#, Principal::Anyone)]
    #[case(r#"{"AWS":"123456789012"}"#, Principal::Account("123456789012".into()))]
    #[case(r#"{"AWS":["arn:aws:iam::123456789012:root"]}"#, Principal::Account("123456789012".into()))]
    #[case(r#"{"AWS":"arn:aws:iam::123456789012:role/a/b"}"#, Principal::Arn("arn:aws:iam::123456789012:role/a/b".into()))]
    #[case(r#"{"Service":"ec2.amazonaws.com"}"#, Principal::Other)]
    fn good_trust(#[case] principal: &str, #[case] expected: Principal) {
        let document = format!(
            r#"{{"Statement":{{"Effect":"Allow","Principal":{principal},"Action":"sts:AssumeRole"}}}}"#
        );
        let policy = Policy::parse(&document, Kind::Trust).unwrap();
        assert_eq!(policy.principals().collect::<Vec<_>>(), [&expected]);
    }

    #[rstest]
    #[case(r#"{"Effect":"Allow","Action":"sts:AssumeRole"}"#, "Missing required field Principal")]
    #[case(
        r#"{"Effect":"Allow","Principal":{},"Action":"sts:AssumeRole"}"#,
        "Missing required field Principal"
    )]
    #[case(
        r#"{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Resource":"*"}"#,
        "Has prohibited field Resource"
    )]
    #[case(
        r#"{"Effect":"Allow","Principal":{"AWS":"role/x"},"Action":"sts:AssumeRole"}"#,
        "Invalid principal in policy: \"AWS\":\"role/x\""
    )]
    #[case(r#"{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:role/*"},"Action":"sts:AssumeRole"}"#, "Invalid principal")]
    #[case(
        r#"{"Effect":"Allow","NotPrincipal":"*","Action":"sts:AssumeRole"}"#,
        "NotPrincipal is not evaluated"
    )]
    fn bad_trust(#[case] statement: &str, #[case] expected: &str) {
        let document = format!(r#"{{"Statement":{statement}}}"#);
        let message = Policy::parse(&document, Kind::Trust).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
}
