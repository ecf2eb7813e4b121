//! IAM's errors, limits, pages and lag.

use rstest::rstest;

use crate::testing::{ALLOW_ALL, Bench, TRUST_ACCOUNT, session_of};

const TRUST_MISSING: &str = r#"{"Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:user/nobody"},"Action":"sts:AssumeRole"}}"#;

#[rstest]
#[case("CreateRole", &[("RoleName", "new"), ("AssumeRolePolicyDocument", TRUST_ACCOUNT)], "OK", "")]
#[case("CreateRole", &[("RoleName", "x"), ("AssumeRolePolicyDocument", TRUST_ACCOUNT)], "EntityAlreadyExists", "Role with name x already exists.")]
#[case("CreateRole", &[("AssumeRolePolicyDocument", TRUST_ACCOUNT)], "ValidationError", "Value null at 'roleName'")]
#[case("CreateRole", &[("RoleName", "a b"), ("AssumeRolePolicyDocument", TRUST_ACCOUNT)], "ValidationError", "The specified value for roleName is invalid")]
#[case("CreateRole", &[("RoleName", "new")], "ValidationError", "Value null at 'assumeRolePolicyDocument'")]
#[case("CreateRole", &[("RoleName", "new"), ("AssumeRolePolicyDocument", ALLOW_ALL)], "MalformedPolicyDocument", "Missing required field Principal")]
#[case("CreateRole", &[("RoleName", "new"), ("AssumeRolePolicyDocument", TRUST_MISSING)], "MalformedPolicyDocument", "Invalid principal in policy")]
#[case("CreateRole", &[("RoleName", "new"), ("AssumeRolePolicyDocument", TRUST_ACCOUNT), ("MaxSessionDuration", "3599")], "ValidationError", "greater than or equal to 3600")]
#[case("CreateRole", &[("RoleName", "new"), ("AssumeRolePolicyDocument", TRUST_ACCOUNT), ("Path", "ebbgate")], "ValidationError", "The specified value for path is invalid")]
#[case("CreateRole", &[("RoleName", "new"), ("AssumeRolePolicyDocument", TRUST_ACCOUNT), ("PermissionsBoundary", "arn:aws:iam::123456789012:policy/none")], "NoSuchEntity", "does not exist")]
#[case("GetRole", &[("RoleName", "none")], "NoSuchEntity", "The role with name none cannot be found.")]
#[case("DeleteRole", &[("RoleName", "x")], "DeleteConflict", "must delete policies first")]
#[case("DeleteRole", &[("RoleName", "none")], "NoSuchEntity", "cannot be found")]
#[case("PutRolePolicy", &[("RoleName", "none"), ("PolicyName", "p"), ("PolicyDocument", ALLOW_ALL)], "NoSuchEntity", "The role with name none")]
#[case("PutRolePolicy", &[("RoleName", "x"), ("PolicyName", "p"), ("PolicyDocument", TRUST_ACCOUNT)], "MalformedPolicyDocument", "should not specify a principal")]
#[case("GetRolePolicy", &[("RoleName", "x"), ("PolicyName", "p")], "NoSuchEntity", "The role policy with name p cannot be found.")]
#[case("DeleteRolePolicy", &[("RoleName", "x"), ("PolicyName", "p")], "NoSuchEntity", "The role policy with name p")]
#[case("AttachRolePolicy", &[("RoleName", "x"), ("PolicyArn", "arn:aws:iam::aws:policy/Nothing")], "NoSuchEntity", "does not exist or is not attachable")]
#[case("ListRoles", &[("Marker", "?")], "ValidationError", "Invalid Marker")]
#[case("ListRoles", &[("MaxItems", "0")], "ValidationError", "greater than or equal to 1")]
#[case("GetUser", &[("UserName", "none")], "NoSuchEntity", "The user with name none cannot be found.")]
#[case("SimulatePrincipalPolicy", &[], "InvalidAction", "Could not find operation")]
fn errors(
    #[case] action: &str,
    #[case] params: &[(&str, &str)],
    #[case] code: &str,
    #[case] message: &str,
) {
    let bench = Bench::new();
    bench.role("x");
    let reply = bench.iam(action, params);
    assert_eq!(reply.code(), code, "{reply:?}");
    assert!(reply.body.contains(message), "{reply:?}");
}

#[test]
fn a_roles_inline_policies_have_10240_characters_blanks_aside() {
    let bench = Bench::new();
    bench.role("x");
    // 5,000 characters, and blanks that don't count.
    let big = |fill: usize| {
        let start = r#"{"Statement":{"Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::"#;
        let end = r#""}}"#;
        format!("{start}{}{end}{}", "k".repeat(fill - start.len() - end.len()), " ".repeat(999))
    };
    bench.put_policy("x", "a", &big(5_000)).ok();
    bench.put_policy("x", "b", &big(5_000)).ok();
    let left = 10_240 - 10_000 - ALLOW_ALL.len();
    bench.put_policy("x", "c", &big(left)).ok();
    let reply = bench.put_policy("x", "c", &big(left + 1));
    assert_eq!(reply.code(), "LimitExceeded");
    assert_eq!(reply.message(), "Maximum policy size of 10240 bytes exceeded for role x");
    // Replacing a policy counts it once.
    bench.put_policy("x", "a", &big(5_000)).ok();
}

#[test]
fn roles_are_listed_by_path_page_by_page() {
    let bench = Bench::new();
    for name in ["c", "a", "b"] {
        bench.role(name);
    }
    let elsewhere = [("RoleName", "elsewhere"), ("AssumeRolePolicyDocument", TRUST_ACCOUNT)];
    bench.iam("CreateRole", &elsewhere).ok();
    let mut seen = Vec::new();
    let mut marker = String::new();
    loop {
        let mut params = vec![("PathPrefix", "/ebbgate/"), ("MaxItems", "2")];
        if !marker.is_empty() {
            params.push(("Marker", &marker));
        }
        let page = bench.iam("ListRoles", &params).ok();
        seen.extend(page.body.split("<RoleName>").skip(1).map(|rest| rest[..1].to_owned()));
        if page.text("IsTruncated") == Some("false") {
            break;
        }
        marker = page.text("Marker").unwrap().to_owned();
    }
    assert_eq!(seen, ["a", "b", "c"]);
}

#[test]
fn documents_come_back_as_they_were_written() {
    let bench = Bench::new();
    bench.role("x");
    let params = [("RoleName", "x"), ("PolicyName", "all")];
    let reply = bench.iam("GetRolePolicy", &params).ok();
    let document = crate::request::percent_decode(reply.text("PolicyDocument").unwrap());
    assert_eq!(document, ALLOW_ALL);
    let reply = bench.iam("GetRole", &[("RoleName", "x")]).ok();
    let trust = crate::request::percent_decode(reply.text("AssumeRolePolicyDocument").unwrap());
    assert_eq!(trust, TRUST_ACCOUNT);
    assert_eq!(reply.text("MaxSessionDuration"), Some("7200"));
}

#[test]
fn a_boundary_limits_and_its_policy_cannot_be_deleted() {
    let bench = Bench::new();
    let boundary = r#"{"Statement":{"Effect":"Allow","Action":"iam:Get*","Resource":"*"}}"#;
    let params = [("PolicyName", "limit"), ("PolicyDocument", boundary)];
    let reply = bench.iam("CreatePolicy", &params).ok();
    let arn = reply.text("Arn").unwrap();
    let params = [
        ("RoleName", "x"),
        ("AssumeRolePolicyDocument", TRUST_ACCOUNT),
        ("PermissionsBoundary", arn),
    ];
    let role = bench.iam("CreateRole", &params).ok();
    bench.put_policy("x", "all", ALLOW_ALL).ok();
    let session = bench.session(role.text("Arn").unwrap(), &[]);
    let get = [("Action", "GetRole"), ("RoleName", "x")];
    bench.call(&session, "iam", &get).ok();
    let reply = bench.call(&session, "iam", &[("Action", "ListRoles")]);
    assert_eq!(
        reply.message(),
        "User: arn:aws:sts::123456789012:assumed-role/x/grant-1 is not authorized to perform: \
         iam:ListRoles on resource: arn:aws:iam::123456789012:role/ because no permissions \
         boundary allows the iam:ListRoles action"
    );
    let reply = bench.iam("DeletePolicy", &[("PolicyArn", arn)]);
    assert_eq!(reply.code(), "DeleteConflict");
}

#[test]
fn attached_policies_count_and_must_be_detached_before_the_role_goes() {
    let bench = Bench::new();
    let params = [("RoleName", "x"), ("AssumeRolePolicyDocument", TRUST_ACCOUNT)];
    let role = bench.iam("CreateRole", &params).ok();
    let attach = [("RoleName", "x"), ("PolicyArn", "arn:aws:iam::aws:policy/IAMReadOnlyAccess")];
    bench.iam("AttachRolePolicy", &attach).ok();
    let session = bench.session(role.text("Arn").unwrap(), &[]);
    bench.call(&session, "iam", &[("Action", "ListRoles")]).ok();
    let reply = bench.iam("DeleteRole", &[("RoleName", "x")]);
    assert!(reply.message().contains("must detach all policies first"));
    bench.iam("DetachRolePolicy", &attach).ok();
    bench.iam("DeleteRole", &[("RoleName", "x")]).ok();
}

#[test]
fn a_role_made_anew_does_not_revive_the_sessions_of_the_old_one() {
    let bench = Bench::new();
    let arn = bench.role("x");
    let session = bench.session(&arn, &[]);
    let who = [("Action", "GetCallerIdentity")];
    bench.call(&session, "sts", &who).ok();
    let params = [("RoleName", "x"), ("PolicyName", "all")];
    bench.iam("DeleteRolePolicy", &params).ok();
    bench.iam("DeleteRole", &[("RoleName", "x")]).ok();
    let reply = bench.call(&session, "sts", &who);
    assert_eq!(reply.code(), "InvalidClientTokenId");
    bench.role("x");
    let reply = bench.call(&session, "sts", &who);
    assert_eq!(reply.code(), "InvalidClientTokenId");
}

#[test]
fn writes_lag_both_ways() {
    let bench = Bench::new();
    let arn = bench.role("x");
    let session = bench.session(&arn, &[]);
    let lag = |json: &str| {
        let change = serde_json::from_str(json).unwrap();
        bench.fake.change_faults(&change);
    };
    let get = [("Action", "GetRole"), ("RoleName", "x")];

    lag(r#"{"propagation_ms": 3600000}"#);
    let deny = r#"{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}"#;
    bench.put_policy("x", "deny", deny).ok();
    let late = bench.role("late");
    bench.call(&session, "iam", &get).ok();
    assert_eq!(bench.assume(&bench.admin, &late, &[]).code(), "AccessDenied");
    bench.iam("GetRole", &[("RoleName", "late")]).ok();

    lag(r#"{"propagation_ms": 0}"#);
    assert_eq!(bench.call(&session, "iam", &get).code(), "AccessDenied");
    bench.assume(&bench.admin, &late, &[]).ok();
}

#[test]
fn keys_can_be_two_inactive_and_deleted() {
    let bench = Bench::new();
    bench.iam("CreateUser", &[("UserName", "maria")]).ok();
    let user = [("UserName", "maria")];
    let key = bench.iam("CreateAccessKey", &user).ok();
    bench.iam("CreateAccessKey", &user).ok();
    assert_eq!(bench.iam("CreateAccessKey", &user).code(), "LimitExceeded");
    let maria = session_of(&key);
    let who = [("Action", "GetCallerIdentity")];
    let reply = bench.call(&maria, "sts", &who).ok();
    assert_eq!(reply.text("Arn"), Some("arn:aws:iam::123456789012:user/maria"));

    let id = key.text("AccessKeyId").unwrap();
    let named = [("UserName", "maria"), ("AccessKeyId", id)];
    let mut inactive = named.to_vec();
    inactive.push(("Status", "Inactive"));
    bench.iam("UpdateAccessKey", &inactive).ok();
    assert_eq!(bench.call(&maria, "sts", &who).code(), "InvalidClientTokenId");
    assert_eq!(bench.iam("DeleteUser", &user).code(), "DeleteConflict");
    bench.iam("DeleteAccessKey", &named).ok();
    assert_eq!(bench.iam("DeleteAccessKey", &named).code(), "NoSuchEntity");
}

#[test]
fn iam_itself_is_guarded() {
    let bench = Bench::new();
    bench.iam("CreateUser", &[("UserName", "maria")]).ok();
    let maria = session_of(&bench.iam("CreateAccessKey", &[("UserName", "maria")]).ok());
    let reply = bench.call(&maria, "iam", &[("Action", "GetRole"), ("RoleName", "x")]);
    assert_eq!(
        reply.message(),
        "User: arn:aws:iam::123456789012:user/maria is not authorized to perform: iam:GetRole on \
         resource: arn:aws:iam::123456789012:role/x because no identity-based policy allows the \
         iam:GetRole action"
    );
    let reply = bench.call(&maria, "iam", &[("Action", "ListGroups")]);
    assert_eq!(reply.code(), "AccessDenied");
}
