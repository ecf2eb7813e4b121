//! Whether the connector's own role can do what it must, and if not, the SQL that cures it.

use std::sync::Arc;

use ebbgate_connector_api::{ConnectorError, Lack};
use sqlx::{FromRow, Row as _};

use crate::{
    claim::Claim,
    failure::{Doing as _, Failure},
    names::{GRAVEYARD, PRIVILEGE_ROLES},
    recording,
    server::{Server, Session},
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
    /// Roles that Ebbgate made on this server and that we don't administer.
    strangers: Vec<String>,
    /// Whether it may not set passwords, as `rds.restrict_password_commands` has it.
    passwords_restricted: bool,
}

/// `$1` is the pattern of privilege roles, `$2` the graveyard.
const LOOK: &str = "
    SELECT rolname::text AS role, pg_is_in_recovery() AS standby, rolsuper AS superuser,
           rolcreaterole AS createrole,
           pg_has_role('pg_signal_backend', 'USAGE') AS may_signal,
           pg_has_role('pg_read_all_stats', 'USAGE') AS sees_sessions,
           current_setting('createrole_self_grant', true) AS self_grant,
           ARRAY(SELECT r.rolname::text FROM pg_roles r
                 WHERE (r.rolname ~ $1 OR r.rolname = $2)
                   AND current_setting('server_version_num')::int >= 160000
                   AND NOT pg_has_role(r.oid, 'USAGE WITH ADMIN OPTION')
                 ORDER BY 1) AS strangers,
           coalesce(current_setting('rds.restrict_password_commands', true) = 'on', false)
               AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = 'rds_password'
                               AND pg_has_role(r.oid, 'USAGE')) AS passwords_restricted
    FROM pg_roles WHERE rolname = current_user";

/// Logs in anew and looks at our rights.
pub(crate) async fn check(
    server: &Arc<Server>,
    replicas: &[Arc<Server>],
    claim: &Claim,
) -> Result<Vec<Lack>, ConnectorError> {
    let doing = || "look at the rights of the connector's role".to_owned();
    let mut session = server.new_session().await?;
    let query = || sqlx::query(LOOK).bind(PRIVILEGE_ROLES).bind(GRAVEYARD);
    let row = session.row(query()).await.doing(doing)?;
    let standing = Standing::from_row(&row).map_err(Failure::from).doing(doing)?;
    let mut lacks = standing.lacks();
    lacks.extend(claim.lack(&mut session).await?);
    if !standing.standby {
        lacks.extend(recording::lack(&mut session).await?);
    }
    let databases = match standing.superuser || standing.standby || session.is_at_least(15) {
        true => Vec::new(),
        false => databases(&mut session).await.doing(doing)?,
    };
    drop(session);
    for database in databases {
        lacks.extend(public_of_a_superuser(server, &database).await?);
    }
    for replica in replicas {
        let row = replica.new_session().await?.row(query()).await.doing(doing)?;
        let standing = Standing::from_row(&row).map_err(Failure::from).doing(doing)?;
        if !standing.standby {
            lacks.push(Lack {
                what: format!("replica {} is no standby", replica.address()),
                cure: "name the primary's standbys, and only those, as its replicas".to_owned(),
            });
        }
    }
    Ok(lacks)
}

/// The databases in which there may be grants: all that let us in, but the one that every server has
/// for its administrators.
async fn databases(session: &mut Session) -> Result<Vec<String>, Failure> {
    const LOOK: &str = "
        SELECT datname::text AS name FROM pg_database
        WHERE datallowconn AND NOT datistemplate AND datname <> 'postgres'
          AND has_database_privilege(oid, 'CONNECT')
        ORDER BY 1";
    let rows = session.rows(sqlx::query(LOOK)).await?;
    rows.iter().map(|row| Ok(row.try_get("name")?)).collect()
}

/// Before PostgreSQL 15 every new database's schema `public` belongs to the superuser. What somebody
/// lets a grant's role do there, only a superuser can undo, and until then the role can't be dropped.
async fn public_of_a_superuser(
    server: &Server,
    database: &str,
) -> Result<Option<Lack>, ConnectorError> {
    // As PostgreSQL 15 has it: the database's owner, where we may act for that.
    const LOOK: &str = "
        SELECT CASE WHEN pg_has_role(d.datdba, 'USAGE') AND NOT o.rolsuper
               THEN o.rolname ELSE current_user END::text AS heir
        FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner
        JOIN pg_database d ON d.datname = current_database() JOIN pg_roles o ON o.oid = d.datdba
        WHERE n.nspname = 'public' AND r.rolsuper";
    let doing = || format!("look whose schema public is in database {database}");
    let mut session = match server.session_in(database).await {
        Ok(session) => session,
        // A database that does not let us in gets no grants, and says so when it should.
        Err(error) => {
            tracing::warn!(%database, error = error.chain(), "not looked at");
            return Ok(None);
        }
    };
    let Some(row) = session.optional_row(sqlx::query(LOOK)).await.doing(doing)? else {
        return Ok(None);
    };
    let heir: String = row.try_get("heir").map_err(Failure::from).doing(doing)?;
    Ok(Some(Lack {
        what: format!(
            "schema public of database {database} belongs to a superuser: a right on it that \
             somebody gives a grant's role can't be taken back, and that role not be dropped"
        ),
        cure: format!(
            "ALTER SCHEMA public OWNER TO {} -- in database {database}",
            sql::identifier(&heir)
        ),
    }))
}

impl Standing {
    /// What is missing, and what cures it.
    fn lacks(&self) -> Vec<Lack> {
        let lack = |what: &str, cure: String| Lack { what: what.to_owned(), cure };
        if self.standby {
            return vec![lack(
                "the server is a standby, on which no role can be made",
                "let the integration's URL name the primary".to_owned(),
            )];
        }
        if self.superuser {
            return Vec::new();
        }
        let role = sql::identifier(&self.role);
        let mut lacks = Vec::new();
        if !self.createrole {
            lacks.push(lack("it may not create roles", format!("ALTER ROLE {role} CREATEROLE")));
        }
        if !self.may_signal {
            let cure = format!("GRANT pg_signal_backend TO {role}");
            lacks.push(lack("it may not end sessions", cure));
        }
        if !self.sees_sessions {
            let cure = format!("GRANT pg_read_all_stats TO {role}");
            lacks.push(lack("it does not see all of other roles' sessions", cure));
        }
        let acts_for_its_roles = self.self_grant.as_deref().is_none_or(|value| {
            ["set", "inherit"]
                .iter()
                .all(|wanted| value.split(',').any(|one| one.trim() == *wanted))
        });
        if !acts_for_its_roles {
            let cure = format!("ALTER ROLE {role} SET createrole_self_grant = 'set, inherit'");
            lacks.push(lack("it does not act for the roles that it makes", cure));
        }
        if !self.strangers.is_empty() {
            let strangers = sql::identifiers(self.strangers.iter().map(String::as_str));
            let cure =
                format!("GRANT {strangers} TO {role} WITH ADMIN TRUE, INHERIT TRUE, SET TRUE");
            lacks.push(lack("it does not administer roles that another account made", cure));
        }
        if self.passwords_restricted {
            let cure = format!("GRANT rds_password TO {role}");
            lacks.push(lack("it may not set passwords (rds.restrict_password_commands)", cure));
        }
        lacks
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
            strangers: Vec::new(),
            passwords_restricted: false,
        }
    }

    #[test]
    fn a_superuser_needs_nothing_more() {
        let superuser =
            Standing { superuser: true, createrole: false, may_signal: false, ..standing() };
        assert!(superuser.lacks().is_empty());
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
        let cures: Vec<_> = poor.lacks().into_iter().map(|lack| lack.cure).collect();
        let cures = cures.join("\n");
        assert!(cures.contains(r#"ALTER ROLE "ebb" CREATEROLE"#));
        assert!(cures.contains(r#"GRANT pg_signal_backend TO "ebb""#));
        assert!(cures.contains(r#"GRANT pg_read_all_stats TO "ebb""#));
        assert!(cures.contains(r#"ALTER ROLE "ebb" SET createrole_self_grant = 'set, inherit'"#));
    }

    #[test]
    fn before_16_createrole_needs_no_grants_of_its_own() {
        assert!(standing().lacks().is_empty());
        let newer = Standing { self_grant: Some("set,inherit".to_owned()), ..standing() };
        assert!(newer.lacks().is_empty());
    }

    #[test]
    fn a_standby_is_told_as_such() {
        let standby = Standing { standby: true, ..standing() };
        assert_eq!(standby.lacks().len(), 1);
    }
}
