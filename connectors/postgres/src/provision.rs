//! A grant's role: made with its deadline and its membership, and given a verifier later, when its
//! person asks for it. Until then nobody can log in by password.

use std::sync::Arc;

use ebbgate_connector_api::{ConnectorError, ErrorKind};
use ebbgate_connector_sql::Patience;
use ebbgate_domain::{
    Timestamp,
    order::{GrantSpec, Provisioned},
    scram::ScramVerifier,
};

use crate::{
    danger,
    failure::{Doing as _, Failure},
    membership,
    names::{Wanted, grant_role},
    recording,
    rights::Rights,
    server::{Server, Session},
    sql,
};

/// Makes the grant's role what `grant` says.
pub(crate) async fn provision(
    server: &Arc<Server>,
    rights: &Rights,
    grant: &GrantSpec,
    wanted: &Wanted,
    connection_limit: u16,
) -> Result<Provisioned, ConnectorError> {
    let mut patience = Patience::new(grant.grant.to_string().as_bytes());
    loop {
        for privilege in &wanted.privileges {
            rights.ensure(server, privilege).await?;
        }
        let mut session = server.session().await?;
        danger::refuse(&mut session, &wanted.roles).await?;
        let made = make(&mut session, grant, wanted, connection_limit).await;
        let Err(failure) = made else {
            let recording = match grant.recorded {
                true => Some(recording::look(&mut session, &grant_role(grant.grant)).await?),
                false => None,
            };
            return Ok(Provisioned { recording });
        };
        drop(session);
        let vanished = failure.is_missing_object();
        let mut error = failure.while_doing(format!("make role {}", grant_role(grant.grant)));
        if vanished {
            // A role that was there a moment ago: somebody dropped it.
            wanted.privileges.iter().for_each(|privilege| rights.doubt(privilege));
            error =
                ConnectorError::new(ErrorKind::Throttled, "make the grant a member").because(error);
        }
        if !patience.allows(&error).await {
            return Err(error);
        }
    }
}

/// One round trip and one transaction; a few more where the role exists.
async fn make(
    session: &mut Session,
    grant: &GrantSpec,
    wanted: &Wanted,
    connection_limit: u16,
) -> Result<(), Failure> {
    let name = grant_role(grant.grant);
    let role = sql::identifier(&name);
    let memberships = wanted.memberships();
    let join = membership::join(session, &name, memberships.iter().map(String::as_str));
    // The deadline also stands on the server: password log-ins end by themselves.
    let attributes = format!(
        "LOGIN INHERIT CONNECTION LIMIT {connection_limit} VALID UNTIL {}",
        sql::literal(&grant.deadline.to_string())
    );
    // The name by which sessions are known unless their client gives another.
    let marked = format!(
        "ALTER ROLE {role} SET application_name = {}",
        sql::literal(&grant.grant.to_string())
    );
    // In the same transaction: nobody logs in before.
    let marked = match grant.recorded {
        true => format!("{marked}; {}", recording::try_to_log(&name)),
        false => marked,
    };
    let create = format!("CREATE ROLE {role} {attributes}; {join}; {marked}");
    match session.execute(create).await {
        Err(failure) if failure.is_duplicate() => {
            membership::leave_others(session, &name, &memberships).await?;
            session.execute(format!("ALTER ROLE {role} {attributes}; {join}; {marked}")).await
        }
        other => other,
    }
}

/// Makes `verifier` the role's only one and answers with the role's name.
pub(crate) async fn register(
    server: &Arc<Server>,
    grant: &GrantSpec,
    verifier: &ScramVerifier,
    now: Timestamp,
) -> Result<String, ConnectorError> {
    let role = grant_role(grant.grant);
    let doing = || format!("set the verifier of role {role}");
    let refused = |why: &'static str| ConnectorError::new(ErrorKind::Refused, doing()).because(why);
    if grant.deadline <= now {
        return Err(refused("the grant's deadline has passed"));
    }
    let verifier = verifier.to_sql_text();
    let mut patience = Patience::new(role.as_bytes());
    loop {
        let mut session = server.session().await?;
        let look = "SELECT FROM pg_roles WHERE rolname = $1 AND rolcanlogin";
        if session.optional_row(sqlx::query(look).bind(&role)).await.doing(doing)?.is_none() {
            return Err(refused("the grant is not provisioned"));
        }
        let alter =
            format!("ALTER ROLE {} PASSWORD {}", sql::identifier(&role), sql::literal(&verifier));
        let done = session.execute_secret(alter, &verifier).await.doing(doing);
        drop(session);
        match done {
            Ok(()) => return Ok(role),
            Err(error) if patience.allows(&error).await => {}
            Err(error) => return Err(error),
        }
    }
}
