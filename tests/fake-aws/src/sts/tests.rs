//! AWS's limits, trust, and what becomes of sessions.

use rstest::rstest;

use crate::testing::{Bench, TRUST_ACCOUNT, session_of};

const LONG_POLICY: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#;

#[rstest]
#[case(&[], "OK", "")]
#[case(&[("DurationSeconds", "900")], "OK", "")]
#[case(&[("DurationSeconds", "7200")], "OK", "")]
#[case(&[("DurationSeconds", "899")], "ValidationError", "Value '899' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to 900")]
#[case(&[("DurationSeconds", "43201")], "ValidationError", "less than or equal to 43200")]
#[case(&[("DurationSeconds", "7201")], "ValidationError", "exceeds the MaxSessionDuration set for this role")]
#[case(&[("DurationSeconds", "soon")], "ValidationError", "'durationSeconds'")]
#[case(&[("RoleSessionName", "a")], "ValidationError", "'roleSessionName' failed to satisfy constraint: Member must have length greater than or equal to 2")]
#[case(&[("RoleSessionName", "a b")], "ValidationError", "regular expression pattern: [\\w+=,.@-]*")]
#[case(&[("SourceIdentity", "maria@example.com")], "OK", "")]
#[case(&[("SourceIdentity", "aws:maria")], "ValidationError", "'sourceIdentity'")]
#[case(&[("SourceIdentity", "x")], "ValidationError", "length greater than or equal to 2")]
#[case(&[("Policy", "{")], "MalformedPolicyDocument", "invalid Json")]
#[case(&[("Policy", LONG_POLICY)], "OK", "")]
#[case(&[("PolicyArns.member.1.arn", "arn:aws:iam::aws:policy/ReadOnlyAccess")], "OK", "")]
#[case(&[("PolicyArns.member.1.arn", "arn:aws:iam::aws:policy/Nothing")], "ValidationError", "does not exist or is not attachable")]
#[case(&[("Tags.member.1.Key", "a"), ("Tags.member.1.Value", "1"), ("TransitiveTagKeys.member.1", "a")], "OK", "")]
#[case(&[("Tags.member.1.Key", "a"), ("Tags.member.2.Key", "A")], "InvalidParameterValue", "Duplicate tag keys")]
#[case(&[("TransitiveTagKeys.member.1", "a")], "InvalidParameterValue", "not among the session's tags")]
fn limits(#[case] more: &[(&str, &str)], #[case] code: &str, #[case] message: &str) {
    let bench = Bench::new();
    let role = bench.role("ceiling");
    let reply = bench.assume(&bench.admin, &role, more);
    assert_eq!(reply.code(), code, "{reply:?}");
    assert!(reply.body.contains(message), "{reply:?}");
}

#[rstest]
#[case("RoleSessionName", "n", 64)]
#[case("SourceIdentity", "n", 64)]
#[case("Tags.member.1.Key", "n", 128)]
fn longest_texts(#[case] parameter: &str, #[case] letter: &str, #[case] longest: usize) {
    let bench = Bench::new();
    let role = bench.role("ceiling");
    let at_most = letter.repeat(longest);
    bench.assume(&bench.admin, &role, &[(parameter, &at_most)]).ok();
    let reply = bench.assume(&bench.admin, &role, &[(parameter, &letter.repeat(longest + 1))]);
    assert_eq!(reply.code(), "ValidationError");
    let expected = format!("less than or equal to {longest}");
    assert!(reply.message().contains(&expected), "{reply:?}");
}

#[test]
fn a_session_policy_has_2048_characters_and_counts_its_blanks() {
    let bench = Bench::new();
    let role = bench.role("ceiling");
    let padded = format!("{LONG_POLICY}{}", " ".repeat(2_048 - LONG_POLICY.len()));
    bench.assume(&bench.admin, &role, &[("Policy", &padded)]).ok();
    let reply = bench.assume(&bench.admin, &role, &[("Policy", &format!("{padded} "))]);
    assert_eq!(reply.code(), "ValidationError");
    assert!(reply.message().ends_with("length less than or equal to 2048"));
}

#[test]
fn fifty_tags_and_what_fits_packed() {
    let bench = Bench::new();
    let role = bench.role("ceiling");
    let tags = |count: usize, value: &str| -> Vec<(String, String)> {
        (1..=count)
            .flat_map(|n| {
                let member = format!("Tags.member.{n}");
                [
                    (format!("{member}.Key"), format!("key{n}")),
                    (format!("{member}.Value"), value.to_owned()),
                ]
            })
            .collect()
    };
    let assume = |tags: &[(String, String)]| {
        let tags: Vec<(&str, &str)> = tags.iter().map(|(n, v)| (&**n, &**v)).collect();
        bench.assume(&bench.admin, &role, &tags)
    };
    let reply = assume(&tags(50, "v")).ok();
    let size: u32 = reply.text("PackedPolicySize").unwrap().parse().unwrap();
    assert!((1..=100).contains(&size), "{size}");
    assert_eq!(assume(&tags(51, "v")).code(), "ValidationError");
    let reply = assume(&tags(50, &"v".repeat(256)));
    assert_eq!(reply.code(), "PackedPolicyTooLarge");
}

#[test]
fn the_answer_names_the_session() {
    let bench = Bench::new();
    let role = bench.role("ceiling");
    let more = [("SourceIdentity", "maria@example.com")];
    let reply = bench.assume(&bench.admin, &role, &more).ok();
    assert_eq!(reply.text("SourceIdentity"), Some("maria@example.com"));
    assert_eq!(reply.text("PackedPolicySize"), None);
    let id = reply.text("AssumedRoleId").unwrap();
    assert!(id.starts_with("AROA") && id.ends_with(":grant-1"), "{id}");
    assert!(reply.text("AccessKeyId").unwrap().starts_with("ASIA"));

    let session = session_of(&reply);
    let who = bench.call(&session, "sts", &[("Action", "GetCallerIdentity")]).ok();
    assert_eq!(who.text("Arn"), Some("arn:aws:sts::123456789012:assumed-role/ceiling/grant-1"));
    assert_eq!(who.text("UserId"), Some(id));
}

#[test]
fn a_missing_role_reads_as_a_forbidden_one() {
    let bench = Bench::new();
    let reply = bench.assume(&bench.admin, "arn:aws:iam::123456789012:role/none", &[]);
    assert_eq!(reply.code(), "AccessDenied");
    assert_eq!(
        reply.message(),
        "User: arn:aws:iam::123456789012:user/admin is not authorized to perform: sts:AssumeRole \
         on resource: arn:aws:iam::123456789012:role/none"
    );
}

#[rstest]
#[case(r#"["sts:AssumeRole"]"#, "", &[], "OK")]
#[case(r#"["sts:AssumeRole"]"#, "", &[("SourceIdentity", "maria")], "sts:SetSourceIdentity")]
#[case(r#"["sts:AssumeRole"]"#, "", &[("Tags.member.1.Key", "a")], "sts:TagSession")]
#[case(r#"["sts:TagSession"]"#, "", &[], "sts:AssumeRole")]
#[case(r#"["sts:*"]"#, r#""StringLike":{"sts:RoleSessionName":"grant-*"}"#, &[], "OK")]
#[case(r#"["sts:*"]"#, r#""StringLike":{"sts:RoleSessionName":"x-*"}"#, &[], "sts:AssumeRole")]
#[case(r#"["sts:*"]"#, r#""StringEquals":{"sts:SourceIdentity":"maria"}"#, &[("SourceIdentity", "maria")], "OK")]
#[case(r#"["sts:*"]"#, r#""StringEquals":{"sts:SourceIdentity":"maria"}"#, &[], "sts:AssumeRole")]
#[case(r#"["sts:*"]"#, r#""ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/admin"}"#, &[], "OK")]
#[case(r#"["sts:*"]"#, r#""StringEquals":{"aws:RequestTag/grant":"g1"}"#, &[("Tags.member.1.Key", "grant"), ("Tags.member.1.Value", "g1")], "OK")]
fn trust_policies(
    #[case] actions: &str,
    #[case] condition: &str,
    #[case] more: &[(&str, &str)],
    #[case] expected: &str,
) {
    let bench = Bench::new();
    let role = bench.role("ceiling");
    let document = format!(
        r#"{{"Statement":{{"Effect":"Allow","Principal":{{"AWS":"123456789012"}},"Action":{actions},"Condition":{{{condition}}}}}}}"#
    );
    let params = [("RoleName", "ceiling"), ("PolicyDocument", &*document)];
    bench.iam("UpdateAssumeRolePolicy", &params).ok();
    let reply = bench.assume(&bench.admin, &role, more);
    if expected == "OK" {
        reply.ok();
    } else {
        assert_eq!(reply.code(), "AccessDenied");
        let expected = format!("perform: {expected} on resource: {role}");
        assert!(reply.message().ends_with(&expected), "{reply:?}");
    }
}

#[test]
fn chaining_is_an_hour_at_most_and_keeps_source_identity_and_transitive_tags() {
    let bench = Bench::new();
    let broker = bench.role("broker");
    let ceiling = bench.role("ceiling");
    let first = bench.session(
        &broker,
        &[
            ("SourceIdentity", "maria"),
            ("Tags.member.1.Key", "grant"),
            ("Tags.member.1.Value", "g1"),
            ("Tags.member.2.Key", "note"),
            ("Tags.member.2.Value", "n"),
            ("TransitiveTagKeys.member.1", "grant"),
        ],
    );
    let reply = bench.assume(&first, &ceiling, &[("DurationSeconds", "3601")]);
    assert_eq!(reply.code(), "ValidationError");
    assert!(reply.message().contains("1 hour session limit for roles assumed by role chaining"));

    let reply = bench.assume(&first, &ceiling, &[("SourceIdentity", "joao")]);
    assert_eq!(reply.code(), "AccessDenied");
    let reply = bench.assume(&first, &ceiling, &[("Tags.member.1.Key", "Grant")]);
    assert_eq!(reply.code(), "InvalidParameterValue");

    let reply = bench.assume(&first, &ceiling, &[]).ok();
    assert_eq!(reply.text("SourceIdentity"), Some("maria"));
    let second = session_of(&reply);
    let deny = |tag: &str, value: &str| {
        format!(
            r#"{{"Statement":{{"Effect":"Deny","Action":"iam:GetRole","Resource":"*","Condition":{{"StringEquals":{{"aws:PrincipalTag/{tag}":"{value}"}}}}}}}}"#
        )
    };
    let get = [("Action", "GetRole"), ("RoleName", "ceiling")];
    bench.put_policy("ceiling", "deny", &deny("note", "n")).ok();
    bench.call(&second, "iam", &get).ok();
    bench.put_policy("ceiling", "deny", &deny("grant", "g1")).ok();
    let reply = bench.call(&second, "iam", &get);
    assert!(reply.message().ends_with("with an explicit deny in an identity-based policy"));
}

#[test]
fn a_chained_session_has_another_userid_but_the_same_source_identity() {
    let bench = Bench::new();
    let broker = bench.role("broker");
    let ceiling = bench.role("ceiling");
    let first = bench.assume(&bench.admin, &broker, &[("SourceIdentity", "maria")]).ok();
    let userid = first.text("AssumedRoleId").unwrap().to_owned();
    let second = session_of(&bench.assume(&session_of(&first), &ceiling, &[]).ok());
    let get = [("Action", "GetRole"), ("RoleName", "ceiling")];
    let deny = |key: &str, value: &str| {
        let document = format!(
            r#"{{"Statement":{{"Effect":"Deny","Action":"*","Resource":"*","Condition":{{"StringEquals":{{"{key}":"{value}"}}}}}}}}"#
        );
        bench.put_policy("ceiling", "deny", &document).ok();
        bench.call(&second, "iam", &get)
    };
    deny("aws:userid", &userid).ok();
    assert_eq!(deny("aws:SourceIdentity", "maria").code(), "AccessDenied");
}

#[test]
fn a_cut_by_issue_time_hits_older_sessions_only() {
    let bench = Bench::new();
    let role = bench.role("ceiling");
    let old = bench.session(&role, &[]);
    bench.fake.clock.advance(60).unwrap();
    let cut = bench.fake.clock.now();
    let deny = format!(
        r#"{{"Statement":{{"Effect":"Deny","Action":"*","Resource":"*","Condition":{{"DateLessThan":{{"aws:TokenIssueTime":"{cut}"}}}}}}}}"#
    );
    bench.put_policy("ceiling", "cut", &deny).ok();
    bench.fake.clock.advance(60).unwrap();
    let new = bench.session(&role, &[]);
    let get = [("Action", "GetRole"), ("RoleName", "ceiling")];
    assert_eq!(bench.call(&old, "iam", &get).code(), "AccessDenied");
    bench.call(&new, "iam", &get).ok();
}

#[test]
fn a_lost_answer_leaves_its_effect() {
    let bench = Bench::new();
    bench.role("ceiling");
    let change = r#"{"lose_answer_next": 1, "action": "DeleteRolePolicy"}"#;
    bench.fake.change_faults(&serde_json::from_str(change).unwrap());
    let params = [("RoleName", "ceiling"), ("PolicyName", "all")];
    assert_eq!(bench.iam("DeleteRolePolicy", &params).status, 500);
    assert_eq!(bench.iam("DeleteRolePolicy", &params).code(), "NoSuchEntity");
}

#[test]
fn a_session_can_be_kept_from_chaining() {
    let bench = Bench::new();
    let broker = bench.role("broker");
    let ceiling = bench.role("ceiling");
    let policy = r#"{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"sts:AssumeRole","Resource":"*"}]}"#;
    let session = bench.session(&broker, &[("Policy", policy)]);
    let reply = bench.assume(&session, &ceiling, &[]);
    assert_eq!(reply.code(), "AccessDenied");
    assert!(reply.message().ends_with("with an explicit deny in a session policy"));
}

#[test]
fn a_user_without_permission_needs_to_be_trusted_by_name() {
    let bench = Bench::new();
    let role = bench.role("ceiling");
    bench.iam("CreateUser", &[("UserName", "maria")]).ok();
    let key = bench.iam("CreateAccessKey", &[("UserName", "maria")]).ok();
    let maria = session_of(&key);
    let reply = bench.assume(&maria, &role, &[]);
    assert!(
        reply
            .message()
            .ends_with("because no identity-based policy allows the sts:AssumeRole action")
    );
    let trust =
        TRUST_ACCOUNT.replace("\"123456789012\"", "\"arn:aws:iam::123456789012:user/maria\"");
    let params = [("RoleName", "ceiling"), ("PolicyDocument", &*trust)];
    bench.iam("UpdateAssumeRolePolicy", &params).ok();
    bench.assume(&maria, &role, &[]).ok();
    // Admin, who may do everything, is no longer trusted.
    assert_eq!(bench.assume(&bench.admin, &role, &[]).code(), "AccessDenied");
}

#[test]
fn get_caller_identity_cannot_be_denied() {
    let bench = Bench::new();
    let role = bench.role("ceiling");
    let session = bench.session(&role, &[]);
    let deny = r#"{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}"#;
    bench.put_policy("ceiling", "deny", deny).ok();
    let who = [("Action", "GetCallerIdentity")];
    bench.call(&session, "sts", &who).ok();
}
