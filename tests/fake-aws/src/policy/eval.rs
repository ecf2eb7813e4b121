//! Decides: explicit deny before allow before implicit deny, through identity policies, permissions
//! boundary and session policies, and through a role's trust policy.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>

use std::sync::Arc;

use super::context::Context;
use super::parse::{Policy, Principal, Statement};

/// May this be done?
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    /// Such as `s3:GetObject`.
    pub(crate) action: &'a str,
    /// An ARN, or `*` for an action without a resource.
    pub(crate) resource: &'a str,
    /// The condition keys of the request.
    pub(crate) context: &'a Context,
}

/// All that decides about one caller.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layers {
    /// The user's or role's inline and attached policies.
    pub(crate) identity: Vec<Arc<Policy>>,
    /// The permissions boundary. An empty list, the boundary's policy being gone, allows nothing.
    pub(crate) boundary: Option<Vec<Arc<Policy>>>,
    /// The session policies, inline and managed, of which one must allow.
    pub(crate) session: Option<Vec<Arc<Policy>>>,
}

/// Why something was refused: which kind of policy, and whether it said so or merely did not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Denial {
    /// A `Deny` statement matched.
    pub(crate) explicit: bool,
    /// "identity-based policy" and its like.
    pub(crate) by: &'static str,
}

impl Denial {
    /// AWS's words for it, to follow "is not authorized to perform: … on resource: …".
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html>
    pub(crate) fn reason(self, action: &str) -> String {
        let Self { explicit, by } = self;
        let article = match by.chars().next() {
            Some('i') => "an",
            _ => "a",
        };
        if explicit {
            format!("with an explicit deny in {article} {by}")
        } else {
            format!("because no {by} allows the {action} action")
        }
    }
}

const IDENTITY: &str = "identity-based policy";
const BOUNDARY: &str = "permissions boundary";
const SESSION: &str = "session policy";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Allow,
    Deny,
    Silent,
}

impl Layers {
    /// Whether every layer allows and none denies.
    ///
    /// # Errors
    /// The first explicit deny, else the first layer that does not allow.
    pub(crate) fn decide(&self, question: Question<'_>) -> Result<(), Denial> {
        self.explicit(question)?;
        if verdict(&self.identity, question) != Verdict::Allow {
            return Err(implicit(IDENTITY));
        }
        self.within_limits(question)
    }

    /// Whether no layer denies explicitly.
    pub(crate) fn explicit(&self, question: Question<'_>) -> Result<(), Denial> {
        let limits = [(&self.boundary, BOUNDARY), (&self.session, SESSION)];
        let limits = limits.into_iter().filter_map(|(policies, by)| Some((policies.as_ref()?, by)));
        for (policies, by) in [(&self.identity, IDENTITY)].into_iter().chain(limits) {
            if verdict(policies, question) == Verdict::Deny {
                return Err(Denial { explicit: true, by });
            }
        }
        Ok(())
    }

    /// Whether boundary and session policies, where there are any, allow: they limit even what a
    /// resource-based policy gives to the role itself.
    pub(crate) fn within_limits(&self, question: Question<'_>) -> Result<(), Denial> {
        for (policies, by) in [(&self.boundary, BOUNDARY), (&self.session, SESSION)] {
            if let Some(policies) = policies
                && verdict(policies, question) != Verdict::Allow
            {
                return Err(implicit(by));
            }
        }
        Ok(())
    }
}

fn implicit(by: &'static str) -> Denial {
    Denial { explicit: false, by }
}

fn verdict(policies: &[Arc<Policy>], question: Question<'_>) -> Verdict {
    let mut verdict = Verdict::Silent;
    for statement in policies.iter().flat_map(|policy| &policy.statements) {
        if statement.applies(question) {
            if !statement.allow {
                return Verdict::Deny;
            }
            verdict = Verdict::Allow;
        }
    }
    verdict
}

impl Statement {
    fn applies(&self, question: Question<'_>) -> bool {
        let Question { action, resource, context } = question;
        let actions = &self.actions;
        let resources = &self.resources;
        let listed_action =
            actions.entries.iter().any(|pattern| pattern.matches_ignoring_case(action, context));
        let listed_resource =
            resources.entries.iter().any(|pattern| pattern.matches(resource, context));
        listed_action != actions.except
            && listed_resource != resources.except
            && self.conditions.iter().all(|c| c.holds(context))
    }
}

/// Who asks to assume a role.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trustee<'a> {
    /// Twelve digits.
    pub(crate) account: &'a str,
    /// The user's ARN, or the session's.
    pub(crate) arn: &'a str,
    /// The ARN of the role behind a session.
    pub(crate) role_arn: Option<&'a str>,
}

/// What a trust policy says about a caller, the weaker first: it decides which of the caller's own
/// policies count.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-basics-request-context.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trust {
    /// A statement denies.
    Denied,
    /// Nothing allows.
    Silent,
    /// The account is trusted: the caller's own policies must allow too.
    Account,
    /// The role behind the session, or anyone, is trusted: only boundary and session policies still
    /// limit.
    Role,
    /// Exactly this user or session is trusted.
    Caller,
}

/// Asks a role's trust policy.
pub(crate) fn trust(policy: &Policy, question: Question<'_>, trustee: Trustee<'_>) -> Trust {
    let mut strongest = Trust::Silent;
    for statement in &policy.statements {
        let match_ =
            statement.principals.iter().filter_map(|principal| strength(principal, trustee)).max();
        if let Some(strength) = match_
            && statement.applies(question)
        {
            if !statement.allow {
                return Trust::Denied;
            }
            strongest = strongest.max(strength);
        }
    }
    strongest
}

fn strength(principal: &Principal, trustee: Trustee<'_>) -> Option<Trust> {
    match principal {
        Principal::Anyone => Some(Trust::Role),
        Principal::Account(account) => (account == trustee.account).then_some(Trust::Account),
        Principal::Arn(arn) if arn == trustee.arn => Some(Trust::Caller),
        Principal::Arn(arn) => (Some(arn.as_str()) == trustee.role_arn).then_some(Trust::Role),
        Principal::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;
    use rstest::rstest;

    const ALLOW_S3: &str = r#"{"Effect":"Allow","Action":"s3:*","Resource":"*"}"#;
    const ALLOW_GET: &str =
        r#"{"Effect":"Allow","Action":"S3:getobject","Resource":"arn:aws:s3:::b/*"}"#;
    const DENY_AFTER: &str = r#"{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"DateGreaterThanEquals":{"aws:CurrentTime":"2026-05-01T12:00:00Z"}}}"#;
    const DENY_GRANT: &str = r#"{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:userid":"AROAX:grant-1"}}}"#;
    const DENY_BUT_STS: &str = r#"{"Effect":"Deny","NotAction":"sts:*","Resource":"*"}"#;
    const DENY_OUTSIDE: &str =
        r#"{"Effect":"Deny","Action":"*","NotResource":["arn:aws:s3:::b","arn:aws:s3:::b/*"]}"#;

    fn policies(statements: &[&str]) -> Vec<Arc<Policy>> {
        let document =
            format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","));
        vec![Arc::new(Policy::parse(&document, Kind::Permissions).unwrap())]
    }

    fn asked(layers: &Layers, action: &str, resource: &str, context: &Context) -> String {
        let question = Question { action, resource, context };
        match layers.decide(question) {
            Ok(()) => "allowed".to_owned(),
            Err(denial) => denial.reason(action),
        }
    }

    #[rstest]
    #[case(&[], "because no identity-based policy allows the s3:GetObject action")]
    #[case(&[ALLOW_S3], "allowed")]
    #[case(&[ALLOW_GET], "allowed")]
    #[case(&[ALLOW_S3, DENY_AFTER], "with an explicit deny in an identity-based policy")]
    #[case(&[ALLOW_S3, DENY_GRANT], "with an explicit deny in an identity-based policy")]
    #[case(&[ALLOW_S3, DENY_BUT_STS], "with an explicit deny in an identity-based policy")]
    #[case(&[ALLOW_S3, DENY_OUTSIDE], "allowed")]
    fn identity(#[case] statements: &[&str], #[case] expected: &str) {
        let layers = Layers { identity: policies_or_none(statements), ..Layers::default() };
        let context = Context::from([
            ("aws:CurrentTime", "2026-05-01T12:00:00Z"),
            ("aws:userid", "AROAX:grant-1"),
        ]);
        let answer = asked(&layers, "s3:GetObject", "arn:aws:s3:::b/k", &context);
        assert_eq!(answer, expected);
    }

    fn policies_or_none(statements: &[&str]) -> Vec<Arc<Policy>> {
        if statements.is_empty() { Vec::new() } else { policies(statements) }
    }

    #[test]
    fn a_deny_on_one_session_or_after_an_hour_leaves_the_others_alone() {
        let layers =
            Layers { identity: policies(&[ALLOW_S3, DENY_GRANT, DENY_AFTER]), ..Layers::default() };
        let context = Context::from([
            ("aws:CurrentTime", "2026-05-01T11:59:59Z"),
            ("aws:userid", "AROAX:grant-2"),
        ]);
        let answer = asked(&layers, "s3:GetObject", "arn:aws:s3:::b/k", &context);
        assert_eq!(answer, "allowed");
    }

    #[rstest]
    #[case(Some(&[ALLOW_S3][..]), Some(&[ALLOW_GET][..]), "allowed")]
    #[case(Some(&[ALLOW_S3][..]), None, "allowed")]
    #[case(None, Some(&[ALLOW_GET][..]), "allowed")]
    #[case(Some(&[][..]), None, "because no permissions boundary allows the s3:GetObject action")]
    #[case(None, Some(&[][..]), "because no session policy allows the s3:GetObject action")]
    #[case(None, Some(&[ALLOW_S3, DENY_BUT_STS][..]), "with an explicit deny in a session policy")]
    #[case(Some(&[ALLOW_S3, DENY_BUT_STS][..]), None, "with an explicit deny in a permissions boundary")]
    #[case(Some(&[][..]), Some(&[DENY_BUT_STS][..]), "with an explicit deny in a session policy")]
    fn boundary_and_session(
        #[case] boundary: Option<&[&str]>,
        #[case] session: Option<&[&str]>,
        #[case] expected: &str,
    ) {
        let layers = Layers {
            identity: policies(&[ALLOW_S3]),
            boundary: boundary.map(policies_or_none),
            session: session.map(policies_or_none),
        };
        let answer = asked(&layers, "s3:GetObject", "arn:aws:s3:::b/k", &Context::default());
        assert_eq!(answer, expected);
    }

    #[test]
    fn a_session_policy_never_adds_to_the_role() {
        let layers = Layers {
            identity: policies(&[ALLOW_GET]),
            session: Some(policies(&[ALLOW_S3])),
            ..Layers::default()
        };
        let answer = asked(&layers, "s3:PutObject", "arn:aws:s3:::b/k", &Context::default());
        assert_eq!(answer, "because no identity-based policy allows the s3:PutObject action");
    }

    #[rstest]
    #[case(r#"{"AWS":"123456789012"}"#, "", Trust::Account)]
    #[case(r#"{"AWS":"arn:aws:iam::123456789012:root"}"#, "", Trust::Account)]
    #[case(r#"{"AWS":"210987654321"}"#, "", Trust::Silent)]
    #[case(r#"{"AWS":"arn:aws:iam::123456789012:role/broker"}"#, "", Trust::Role)]
    #[case(r#"{"AWS":"arn:aws:sts::123456789012:assumed-role/broker/s"}"#, "", Trust::Caller)]
    #[case(r#"{"AWS":["123456789012","arn:aws:iam::123456789012:role/broker"]}"#, "", Trust::Role)]
    #[case(r#"{"AWS":"arn:aws:iam::123456789012:role/other"}"#, "", Trust::Silent)]
    #[case(r#""*""#, "", Trust::Role)]
    #[case(r#"{"Service":"ec2.amazonaws.com"}"#, "", Trust::Silent)]
    #[case(
        r#"{"AWS":"123456789012"}"#,
        r#","Condition":{"StringLike":{"sts:RoleSessionName":"grant-*"}}"#,
        Trust::Account
    )]
    #[case(
        r#"{"AWS":"123456789012"}"#,
        r#","Condition":{"StringLike":{"sts:RoleSessionName":"x-*"}}"#,
        Trust::Silent
    )]
    fn trusts(#[case] principal: &str, #[case] condition: &str, #[case] expected: Trust) {
        let document = format!(
            r#"{{"Statement":{{"Effect":"Allow","Principal":{principal},"Action":"sts:AssumeRole"{condition}}}}}"#
        );
        let policy = Policy::parse(&document, Kind::Trust).unwrap();
        let context = Context::from([("sts:RoleSessionName", "grant-1")]);
        let trustee = Trustee {
            account: "123456789012",
            arn: "arn:aws:sts::123456789012:assumed-role/broker/s",
            role_arn: Some("arn:aws:iam::123456789012:role/broker"),
        };
        let ask = |action| {
            let question = Question {
                action,
                resource: "arn:aws:iam::123456789012:role/ceiling",
                context: &context,
            };
            trust(&policy, question, trustee)
        };
        assert_eq!(ask("sts:AssumeRole"), expected);
        assert_eq!(ask("sts:SetSourceIdentity"), Trust::Silent);
    }

    #[test]
    fn a_deny_in_the_trust_policy_wins() {
        let document = r#"{"Statement":[
            {"Effect":"Allow","Principal":"*","Action":"sts:*"},
            {"Effect":"Deny","Principal":{"AWS":"123456789012"},"Action":"sts:AssumeRole"}]}"#;
        let policy = Policy::parse(document, Kind::Trust).unwrap();
        let question = Question {
            action: "sts:AssumeRole",
            resource: "arn:aws:iam::123456789012:role/ceiling",
            context: &Context::default(),
        };
        let trustee = Trustee {
            account: "123456789012",
            arn: "arn:aws:iam::123456789012:user/admin",
            role_arn: None,
        };
        assert_eq!(trust(&policy, question, trustee), Trust::Denied);
    }
}
