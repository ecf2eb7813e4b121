//! Statement logging for the roles of emergencies.
//!
//! `log_statement` of a role is a superuser's to set, or since PostgreSQL 15 of whoever was granted SET
//! on that parameter; a role that may not can neither change nor reset what was set for it. So it is
//! tried, and looked at: an emergency is not refused for want of logging, but told.

use ebbgate_connector_api::{ConnectorError, Lack};
use sqlx::FromRow;

use crate::{
    failure::{Doing as _, Failure},
    server::Session,
    sql,
};

/// What the server shows of it.
#[derive(Debug, Clone, FromRow)]
struct Logging {
    /// As whom we log in.
    connector: String,
    /// Whether the role's statements are logged by its own setting.
    own: bool,
    /// Whether everybody's are, by the server's.
    everybody: bool,
    /// Whether statements are kept out of the log by its threshold.
    silent: bool,
    /// Whether the log's lines tell the user or the application.
    named: bool,
    /// Whether the right to set it can be granted.
    grantable: bool,
}

/// `$1` is the role. Where somebody has set it for a database or a role, who knows what holds for a
/// session that has no setting of its own.
const LOOK: &str = "
    SELECT current_user::text AS connector,
           coalesce((SELECT 'log_statement=all' = ANY(rolconfig) FROM pg_roles
                     WHERE rolname = $1), false) AS own,
           EXISTS (SELECT FROM pg_settings
                   WHERE name = 'log_statement' AND setting = 'all'
                     AND source IN ('configuration file', 'command line', 'environment variable'))
           AND NOT EXISTS (SELECT FROM pg_db_role_setting, unnest(setconfig) AS one
                           WHERE setrole = 0 AND one LIKE 'log\\_statement=%') AS everybody,
           current_setting('log_min_messages') IN ('fatal', 'panic') AS silent,
           current_setting('log_destination') ~ 'csvlog|jsonlog'
           OR current_setting('log_line_prefix') ~ '%-?[0-9]*[ua]' AS named,
           current_setting('server_version_num')::int >= 150000 AS grantable";

/// The statement that has all statements of the role logged, where we may.
pub(crate) fn try_to_log(role: &str) -> String {
    format!(
        "DO $recording$ BEGIN ALTER ROLE {} SET log_statement = 'all'; \
         EXCEPTION WHEN insufficient_privilege THEN NULL; END $recording$",
        sql::identifier(role)
    )
}

/// Whether the role's statements are logged, in one sentence.
pub(crate) async fn look(session: &mut Session, role: &str) -> Result<String, ConnectorError> {
    let doing = || format!("look whether the statements of {role} are logged");
    Ok(logging(session, role).await.doing(doing)?.sentence(role))
}

/// What an operator should know of it.
pub(crate) async fn lack(session: &mut Session) -> Result<Option<Lack>, ConnectorError> {
    let doing = || "look whether statements can be logged".to_owned();
    let logging = logging(session, "").await.doing(doing)?;
    if logging.everybody && !logging.silent {
        return Ok(None);
    }
    // What may be set for roles may be set for one's own.
    session.execute("BEGIN".to_owned()).await.doing(doing)?;
    let set = session.execute("ALTER ROLE CURRENT_USER SET log_statement = 'all'".to_owned()).await;
    session.execute("ROLLBACK".to_owned()).await.doing(doing)?;
    match set {
        Ok(()) if logging.silent => Ok(Some(Lack {
            what: format!("statements of emergencies (break-glass) are not logged: {SILENT}"),
            cure: "ALTER SYSTEM SET log_min_messages = 'warning'; SELECT pg_reload_conf()"
                .to_owned(),
        })),
        Ok(()) => Ok(None),
        Err(failure) if failure.is_forbidden() => Ok(Some(Lack {
            what: "statements of emergencies (break-glass) are not logged: it may not set \
                   log_statement"
                .to_owned(),
            cure: logging.cure(),
        })),
        Err(failure) => Err(failure.while_doing(doing())),
    }
}

const SILENT: &str = "log_min_messages keeps them out of the log";

async fn logging(session: &mut Session, role: &str) -> Result<Logging, Failure> {
    let row = session.row(sqlx::query(LOOK).bind(role)).await?;
    Ok(Logging::from_row(&row)?)
}

impl Logging {
    fn sentence(&self, role: &str) -> String {
        let whose = match (self.own, self.everybody) {
            _ if self.silent => return format!("statements are not logged: {SILENT}"),
            (true, _) => format!("each statement of {role}"),
            (false, true) => "everybody's statements".to_owned(),
            (false, false) => {
                return format!(
                    "statements are not logged: the connector may not set log_statement; as a \
                     superuser: {}",
                    self.cure()
                );
            }
        };
        let unnamed = if self.named {
            ""
        } else {
            ", though log_line_prefix tells neither the user (%u) nor the application (%a)"
        };
        format!("PostgreSQL logs {whose} (log_statement = all){unnamed}")
    }

    fn cure(&self) -> String {
        match self.grantable {
            true => format!(
                "GRANT SET ON PARAMETER log_statement TO {}",
                sql::identifier(&self.connector)
            ),
            // Before PostgreSQL 15 nobody but a superuser may set it for one role.
            false => "ALTER SYSTEM SET log_statement = 'all'; SELECT pg_reload_conf()".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logging() -> Logging {
        Logging {
            connector: "ebb".to_owned(),
            own: true,
            everybody: false,
            silent: false,
            named: true,
            grantable: true,
        }
    }

    #[test]
    fn says_what_is_so() {
        let said = |logging: Logging| logging.sentence("r");
        assert_eq!(said(logging()), "PostgreSQL logs each statement of r (log_statement = all)");
        assert!(said(Logging { named: false, ..logging() }).contains("neither the user (%u)"));
        let all = Logging { own: false, everybody: true, ..logging() };
        assert!(said(all.clone()).starts_with("PostgreSQL logs everybody's statements"));
        assert!(said(Logging { silent: true, ..all }).starts_with("statements are not logged"));
        let no = Logging { own: false, ..logging() };
        assert_eq!(
            said(no.clone()),
            "statements are not logged: the connector may not set log_statement; as a superuser: \
             GRANT SET ON PARAMETER log_statement TO \"ebb\""
        );
        assert!(said(Logging { grantable: false, ..no }).contains("ALTER SYSTEM SET"));
    }
}
