//! A grant's user: made locked, with its role, and given a verifier later, when its person asks for
//! it. Until then nobody can log in.

use std::sync::Arc;

use ebbgate_connector_api::{ConnectorError, ErrorKind};
use ebbgate_connector_sql::Patience;
use ebbgate_domain::{
    Timestamp,
    mysql_verifier::MysqlVerifiers,
    order::{GrantSpec, Provisioned},
};

use crate::{
    failure::{Doing as _, Failure},
    names::grant_user,
    recording,
    rights::{Rights, may_not_pass_on},
    server::{Server, Session},
    sql,
    wanted::Wanted,
};

/// How a grant's user is made.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// From where it logs in.
    pub(crate) client_host: String,
    /// How many sessions it may have.
    pub(crate) connection_limit: u16,
}

/// Makes the grant's user what `grant` says.
pub(crate) async fn provision(
    server: &Arc<Server>,
    rights: &Rights,
    grant: &GrantSpec,
    wanted: &Wanted,
    terms: &Terms,
) -> Result<Provisioned, ConnectorError> {
    let user = grant_user(grant.grant);
    let mut patience = Patience::new(user.as_bytes());
    loop {
        let role = rights.ensure(server, wanted).await?;
        let mut session = server.session().await?;
        let Err(failure) = make(&mut session, &user, &role, terms).await else {
            let recording = match grant.recorded {
                true => Some(recording::look(&mut session, &user).await?),
                false => None,
            };
            return Ok(Provisioned { recording });
        };
        let quoted = session.dialect().role(&role);
        drop(session);
        let error = if failure.is_missing_role() {
            // The role that was there a moment ago: somebody dropped it.
            rights.doubt(&role);
            let error = failure.while_doing(format!("give {user} the role {role}"));
            ConnectorError::new(ErrorKind::Throttled, "make the grant a member").because(error)
        } else if failure.is_forbidden() {
            may_not_pass_on(failure, &quoted)
        } else {
            failure.while_doing(format!("make user {user}"))
        };
        if !patience.allows(&error).await {
            return Err(error);
        }
    }
}

/// Each statement commits by itself and may be done again. A user that exists keeps its verifier.
async fn make(session: &mut Session, user: &str, role: &str, terms: &Terms) -> Result<(), Failure> {
    let dialect = session.dialect();
    let account = sql::account(user, &terms.client_host);
    let limit = format!("WITH MAX_USER_CONNECTIONS {}", terms.connection_limit);
    for statement in [
        format!(
            "CREATE USER IF NOT EXISTS {account} {} {limit} ACCOUNT LOCK",
            dialect.identified_by_nobody()
        ),
        format!("ALTER USER {account} {limit}"),
        format!("GRANT {} TO {account}", dialect.role(role)),
        dialect.set_default_role(role, &account),
    ] {
        session.execute(statement).await?;
    }
    Ok(())
}

/// Makes the password behind `verifiers` the user's only one, lets it log in, and answers with its
/// name.
pub(crate) async fn register(
    server: &Arc<Server>,
    grant: &GrantSpec,
    verifiers: &MysqlVerifiers,
    terms: &Terms,
    now: Timestamp,
) -> Result<String, ConnectorError> {
    const PLUGINS: &str = "SELECT PLUGIN_NAME FROM information_schema.PLUGINS
        WHERE PLUGIN_TYPE = 'AUTHENTICATION' AND PLUGIN_STATUS = 'ACTIVE'";
    let user = grant_user(grant.grant);
    let doing = || format!("set the verifier of user {user}");
    let refused = |why: &'static str| ConnectorError::new(ErrorKind::Refused, doing()).because(why);
    if grant.deadline <= now {
        return Err(refused("the grant's deadline has passed"));
    }
    let secrets = [verifiers.native(), verifiers.caching_sha2(), verifiers.ed25519()];
    let mut patience = Patience::new(user.as_bytes());
    loop {
        let mut session = server.session().await?;
        let active = session.column(PLUGINS.to_owned()).await.doing(doing)?;
        let alter = format!(
            "ALTER USER {} {} ACCOUNT UNLOCK",
            sql::account(&user, &terms.client_host),
            session.dialect().identified_by(verifiers, &active)
        );
        let done = session.execute(alter).await.map_err(|failure| failure.without(&secrets));
        drop(session);
        match done {
            Err(failure) if failure.is_missing_account() => {
                return Err(refused("the grant is not provisioned"));
            }
            other => match other.doing(doing) {
                Ok(()) => return Ok(user),
                Err(error) if patience.allows(&error).await => {}
                Err(error) => return Err(error),
            },
        }
    }
}
