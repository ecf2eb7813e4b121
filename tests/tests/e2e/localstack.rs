//! STS and IAM as LocalStack answers them: software that we did not write reads what the connector
//! sends. LocalStack enforces no policy, lets no session expire, accepts any secret and doesn't echo
//! SourceIdentity; so this proves that our calls are well formed and arrive, and that we do not
//! claim an end that can't be seen. That access really ends is proven on fake-aws.

use ebbgate_tests::{
    Person::{Adam, Ana},
    Result, World, ensure, eventually, json,
    world::text,
};

const REPORTS: &str = "prod/s3/reports";

#[tokio::test]
async fn a_grant_speaks_to_sts_and_iam_as_they_expect() -> Result<()> {
    let world = World::builder().localstack().start().await?;
    let account = world.account()?;
    let active = world.active(Ana, "reports-read", REPORTS, "10m").await?;
    let grant = text(&active, "id")?;

    // The session is the grant's: its name is in its ARN.
    let ana = world.aws_login(Ana, grant).await?;
    let identity = ana.sts("GetCallerIdentity", &[]).await?.success()?;
    let session = format!("assumed-role/{}/{grant}", account.ceiling_role_name);
    assert!(identity.contains(&session), "{identity}");

    // Given back early, a deny for this session alone goes onto the role.
    let release = format!("grants/{grant}/release");
    world.api(Ana)?.post(&release, json!({})).await?.status(200)?;
    let role = [("RoleName", account.ceiling_role_name)];
    eventually("a deny on the ceiling role", async || {
        let policies = account.root.iam("ListRolePolicies", &role).await?.success()?;
        for name in policies.split("<member>").skip(1).filter_map(|rest| rest.split('<').next()) {
            let policy = [role[0], ("PolicyName", name)];
            let policy = account.root.iam("GetRolePolicy", &policy).await?.success()?;
            if policy.contains("Deny") && policy.contains(grant) {
                return Ok(());
            }
        }
        anyhow::bail!("none among {policies}")
    })
    .await?;

    // The session goes on working here, and the broker must not say otherwise.
    ana.sts("GetCallerIdentity", &[]).await?.success()?;
    let honest = world.grant_until(grant, "a probe that failed", |grant| {
        grant["state"] == "revoking" && grant["last_error"].is_string()
    });
    let honest = honest.await?;
    ensure!(honest["finding"].is_null(), "a finding that nobody made: {honest}");
    let shown = world.api(Adam)?.get(&format!("grants/{grant}")).await?.status(200)?;
    assert_ne!(shown["state"], "revoked");
    world.audit_is_intact().await
}
