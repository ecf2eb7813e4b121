//! Whether the connector's own role can do what it must, and if not, the SQL that cures it.

use std::sync::Arc;

use ebbgate_connector_api::{ConnectorError, ErrorKind};
use sqlx::FromRow;

use crate::{
    failure::{Doing as _, Failure},
    server::Server,
    sql,
};

/// What the server says of us.
#[derive(Debug, Clone, FromRow)]
struct Standing {
    role: String,
    standby: bool,
    superuser: bool,
    createrole: bool,
    /// Whether it may end other roles' sessions.
    may_signal: bool,
    /// Whether it sees all of other roles' sessions.
    sees_sessions: bool,
    /// `createrole_self_grant`, which 16 and later have.
    self_grant: Option<String>,
}

const LOOK: &str = "
    SELECT rolname::text AS role, pg_is_in_recovery() AS standby, rolsuper AS superuser,
           rolcreaterole AS createrole,
           pg_has_role('pg_signal_backend', 'USAGE') AS may_signal,
           pg_has_role('pg_read_all_stats', 'USAGE') AS sees_sessions,
           current_setting('createrole_self_grant', true) AS self_grant
    FROM pg_roles WHERE rolname = current_user";

/// Logs in anew and looks at our rights.
pub(crate) async fn check(server: &Arc<Server>) -> Result<(), ConnectorError> {
    let doing = || "look at the rights of the connector's role".to_owned();
    let mut session = server.new_session().await?;
    let row = session.row(sqlx::query(LOOK)).await.doing(doing)?;
    let standing = Standing::from_row(&row).map_err(Failure::from).doing(doing)?;
    let cures = standing.cures();
    if cures.is_empty() {
        return Ok(());
    }
    let doing = format!("manage roles as {}", standing.role);
    Err(ConnectorError::new(ErrorKind::Refused, doing).because(cures.join("; ")))
}

impl Standing {
    /// What is missing, and what cures it.
    fn cures(&self) -> Vec<String> {
        if self.standby {
            return vec!["the server is a standby: let the URL name the primary".to_owned()];
        }
        if self.superuser {
            return Vec::new();
        }
        let role = sql::identifier(&self.role);
        let mut cures = Vec::new();
        if !self.createrole {
            cures.push(format!("it may not create roles: ALTER ROLE {role} CREATEROLE"));
        }
        if !self.may_signal {
            cures.push(format!("it may not end sessions: GRANT pg_signal_backend TO {role}"));
        }
        if !self.sees_sessions {
            cures.push(format!(
                "it does not see all of other roles' sessions: GRANT pg_read_all_stats TO {role}"
            ));
        }
        let acts_for_its_roles = self.self_grant.as_deref().is_none_or(|value| {
            ["set", "inherit"]
                .iter()
                .all(|wanted| value.split(',').any(|one| one.trim() == *wanted))
        });
        if !acts_for_its_roles {
            cures.push(format!(
                "it does not act for the roles that it makes: \
                 ALTER ROLE {role} SET createrole_self_grant = 'set, inherit'"
            ));
        }
        cures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing() -> Standing {
        Standing {
            role: "ebb".to_owned(),
            standby: false,
            superuser: false,
            createrole: true,
            may_signal: true,
            sees_sessions: true,
            self_grant: None,
        }
    }

    #[test]
    fn a_superuser_needs_nothing_more() {
        let superuser =
            Standing { superuser: true, createrole: false, may_signal: false, ..standing() };
        assert!(superuser.cures().is_empty());
    }

    #[test]
    fn names_the_sql_that_cures_each_lack() {
        let poor = Standing {
            createrole: false,
            may_signal: false,
            sees_sessions: false,
            self_grant: Some("inherit".to_owned()),
            ..standing()
        };
        let cures = poor.cures().join("\n");
        assert!(cures.contains(r#"ALTER ROLE "ebb" CREATEROLE"#));
        assert!(cures.contains(r#"GRANT pg_signal_backend TO "ebb""#));
        assert!(cures.contains(r#"GRANT pg_read_all_stats TO "ebb""#));
        assert!(cures.contains(r#"ALTER ROLE "ebb" SET createrole_self_grant = 'set, inherit'"#));
    }

    #[test]
    fn before_16_createrole_needs_no_grants_of_its_own() {
        assert!(standing().cures().is_empty());
        let newer = Standing { self_grant: Some("set,inherit".to_owned()), ..standing() };
        assert!(newer.cures().is_empty());
    }

    #[test]
    fn a_standby_is_told_as_such() {
        let standby = Standing { standby: true, ..standing() };
        assert_eq!(standby.cures().len(), 1);
    }
}
