//! Whose server this is. Two installations of Ebbgate that manage one server would each take the
//! other's grants for orphans and remove them. So the first one leaves its name, as the comment on
//! the graveyard role, and any other refuses to grant or to sweep there. What it was ordered to tear
//! down it still tears down.

use std::sync::Arc;

use ebbgate_connector_api::{ConnectorError, ErrorKind, Lack};
use ebbgate_connector_sql::Patience;
use sqlx::Row as _;

use crate::{
    failure::{Doing as _, Failure},
    graveyard,
    memo::Memo,
    names::GRAVEYARD,
    server::{Server, Session},
    sql,
};

/// What the comment begins with; the owner follows.
const MARK: &str = "ebbgate owner: ";
/// Hands the server over to whoever claims it next.
const RELEASE: &str = r#"COMMENT ON ROLE "ebbgate_graveyard" IS NULL"#;

/// Our claim to one server.
pub(crate) struct Claim {
    owner: Option<String>,
    /// When it was last seen to be ours.
    seen: Memo,
}

impl Claim {
    /// For `owner`; where that is none, nothing is claimed.
    pub(crate) fn new(owner: Option<String>) -> Self {
        Self { owner, seen: Memo::default() }
    }

    /// Makes sure that the server is ours, and claims it where it is nobody's.
    ///
    /// # Errors
    /// Another owner has it.
    pub(crate) async fn take(&self, server: &Arc<Server>) -> Result<(), ConnectorError> {
        self.seen.ensure(|| "claim the server".to_owned(), self.take_patiently(server)).await
    }

    async fn take_patiently(&self, server: &Arc<Server>) -> Result<(), ConnectorError> {
        let mut patience = Patience::new(self.owner.as_deref().unwrap_or_default().as_bytes());
        loop {
            match self.take_once(server).await {
                Err(error) if patience.allows(&error).await => {}
                other => return other,
            }
        }
    }

    async fn take_once(&self, server: &Arc<Server>) -> Result<(), ConnectorError> {
        let doing = || "claim the server".to_owned();
        let mut session = server.session().await?;
        if self.is_ours(&mut session).await? {
            return Ok(());
        }
        let Some(owner) = &self.owner else {
            return Ok(());
        };
        graveyard::make(&mut session).await?;
        drop(session);
        // In no warm session, which would keep the transaction. Changing the role locks it: of two
        // who claim at once, the second waits, fails, and looks again.
        let mut session = server.new_session().await?;
        let graveyard = sql::identifier(GRAVEYARD);
        let locked = session.execute(format!("BEGIN; ALTER ROLE {graveyard} NOLOGIN")).await;
        if let Err(failure) = locked {
            drop(session);
            // Whoever was first has most likely claimed it by now.
            let ours = self.is_ours(&mut server.session().await?).await?;
            return if ours { Ok(()) } else { Err(refused(failure)) };
        }
        if !self.is_ours(&mut session).await? {
            let comment = sql::literal(&format!("{MARK}{owner}"));
            let claim = format!("COMMENT ON ROLE {graveyard} IS {comment}");
            session.execute(claim).await.map_err(refused)?;
            tracing::info!(%owner, "claimed the server");
        }
        session.execute("COMMIT".to_owned()).await.doing(doing)
    }

    /// Refuses where another owner has the server.
    pub(crate) async fn verify(&self, session: &mut Session) -> Result<(), ConnectorError> {
        self.is_ours(session).await.map(drop)
    }

    /// What an operator should know of it.
    pub(crate) async fn lack(&self, session: &mut Session) -> Result<Option<Lack>, ConnectorError> {
        let found = claimed_by(session).await?;
        Ok(found.filter(|found| Some(found) != self.owner.as_ref()).map(|found| Lack {
            what: format!(
                "the server is managed by {found}, and this is {}: nothing is granted or swept",
                self.name()
            ),
            cure: format!("where {found} no longer manages it, as a superuser: {RELEASE}"),
        }))
    }

    /// False where the server is nobody's.
    async fn is_ours(&self, session: &mut Session) -> Result<bool, ConnectorError> {
        let Some(found) = claimed_by(session).await? else {
            return Ok(false);
        };
        if Some(&found) == self.owner.as_ref() {
            return Ok(true);
        }
        let doing = format!("act on this server as {}", self.name());
        Err(ConnectorError::new(ErrorKind::Refused, doing).because(format!(
            "it is managed by {found}; where that no longer manages it, as a superuser: {RELEASE}"
        )))
    }

    fn name(&self) -> &str {
        self.owner.as_deref().unwrap_or("a connector without an owner")
    }
}

fn refused(failure: Failure) -> ConnectorError {
    let forbidden = failure.is_forbidden();
    let error = failure.while_doing("claim the server");
    if !forbidden {
        return error;
    }
    let cure = format!(
        "as a superuser: GRANT {} TO <the connector's role> WITH ADMIN OPTION",
        sql::identifier(GRAVEYARD)
    );
    ConnectorError::new(ErrorKind::Refused, "claim the server").because(cure)
}

async fn claimed_by(session: &mut Session) -> Result<Option<String>, ConnectorError> {
    const LOOK: &str = "
        SELECT shobj_description(oid, 'pg_authid') AS comment FROM pg_roles WHERE rolname = $1";
    let doing = || "look whose server this is".to_owned();
    let row = session.optional_row(sqlx::query(LOOK).bind(GRAVEYARD)).await.doing(doing)?;
    let Some(row) = row else {
        return Ok(None);
    };
    let comment: Option<String> = row.try_get("comment").map_err(Failure::from).doing(doing)?;
    Ok(comment.and_then(|comment| comment.strip_prefix(MARK).map(ToOwned::to_owned)))
}
