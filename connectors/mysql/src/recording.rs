//! Whether the server logs what an emergency's person does.
//!
//! Neither maker logs single users at a grant's wish. What logs all of them (the general log, MariaDB's
//! plugin server_audit) is the operator's to switch on: doing so for one grant would log everybody
//! else meanwhile, and the plugin's list of users is one variable for the whole server, which cannot be
//! changed without overwriting what somebody else put there at that moment. So it is looked at, and
//! told; an emergency is not refused for want of it, and no right of the connector cures it.

use ebbgate_connector_api::ConnectorError;

use crate::{
    dialect::Dialect,
    failure::{Doing as _, Failure},
    server::Session,
    sql,
};

/// What the server says of its logs.
#[derive(Debug, Clone)]
struct Logging {
    dialect: Dialect,
    /// The general log is on, and goes somewhere.
    general: bool,
    /// MariaDB's audit plugin, where it is loaded.
    audit: Option<Audit>,
    /// Whether MySQL's is; what it leaves out only its own tables tell.
    enterprise: bool,
}

/// The variables of server_audit.
/// <https://mariadb.com/kb/en/mariadb-audit-plugin-options-and-system-variables/>
#[derive(Debug, Clone, Default)]
struct Audit {
    on: bool,
    events: Vec<String>,
    included: Vec<String>,
    excluded: Vec<String>,
}

/// Why a user's statements are not all in it, and what cures that.
#[derive(Debug, PartialEq, Eq)]
struct Gap {
    why: &'static str,
    cure: String,
}

/// Whether the user's statements are logged, in one sentence.
pub(crate) async fn look(session: &mut Session, user: &str) -> Result<String, ConnectorError> {
    let doing = || format!("look whether the statements of {user} are logged");
    Ok(logging(session).await.doing(doing)?.sentence(user))
}

async fn logging(session: &mut Session) -> Result<Logging, Failure> {
    const VARIABLES: &str =
        "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('general_log', 'log_output',
        'server_audit_logging', 'server_audit_events', 'server_audit_incl_users',
        'server_audit_excl_users')";
    const ENTERPRISE: &str = "SELECT 1 FROM information_schema.PLUGINS
        WHERE PLUGIN_NAME = 'audit_log' AND PLUGIN_STATUS = 'ACTIVE'";
    let rows = session.rows(VARIABLES.to_owned()).await?;
    let of = |name: &str| {
        let row = rows.iter().find(|row| row.first() == Some(&Some(name.to_owned())))?;
        row.get(1).cloned().flatten()
    };
    let is_on = |name: &str| of(name).is_some_and(|value| value == "ON");
    let list = |name: &str| -> Vec<String> {
        let names = of(name).unwrap_or_default();
        let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.map(ToOwned::to_owned).collect()
    };
    Ok(Logging {
        dialect: session.dialect(),
        general: is_on("general_log") && of("log_output").is_none_or(|to| to != "NONE"),
        audit: of("server_audit_logging").map(|_| Audit {
            on: is_on("server_audit_logging"),
            events: list("server_audit_events"),
            included: list("server_audit_incl_users"),
            excluded: list("server_audit_excl_users"),
        }),
        enterprise: !session.column(ENTERPRISE.to_owned()).await?.is_empty(),
    })
}

impl Logging {
    fn sentence(&self, user: &str) -> String {
        if self.audit.as_ref().is_some_and(|audit| audit.gap(user).is_none()) {
            return format!("server_audit logs each statement of {user}");
        }
        if self.general {
            return "the general log has everybody's statements".to_owned();
        }
        match self.gap(user) {
            None => "the plugin audit_log is active; at its filters the connector does not look"
                .to_owned(),
            Some(gap) => {
                format!("statements are not logged: {}; as an administrator: {}", gap.why, gap.cure)
            }
        }
    }

    /// Why nothing logs all of the user's statements; the plugin's reason where it is loaded.
    fn gap(&self, user: &str) -> Option<Gap> {
        if self.general || self.enterprise {
            return None;
        }
        match &self.audit {
            Some(audit) => audit.gap(user),
            None => Some(Gap {
                why: "neither an audit plugin nor the general log is on",
                cure: self.dialect.audit_cure().to_owned(),
            }),
        }
    }
}

impl Audit {
    fn gap(&self, user: &str) -> Option<Gap> {
        let has =
            |list: &[String], one: &str| list.iter().any(|name| name.eq_ignore_ascii_case(one));
        let gap = |why, cure: &str| Some(Gap { why, cure: format!("SET GLOBAL {cure}") });
        if !self.on {
            return gap("server_audit_logging is OFF", "server_audit_logging = ON");
        }
        if !self.events.is_empty() && !has(&self.events, "QUERY") {
            return gap("server_audit_events leaves statements out", "server_audit_events = ''");
        }
        // That list comes before the other.
        if !self.included.is_empty() {
            let others = !has(&self.included, user);
            return if others {
                gap("server_audit_incl_users names others alone", "server_audit_incl_users = ''")
            } else {
                None
            };
        }
        if !has(&self.excluded, user) {
            return None;
        }
        let rest: Vec<_> = self.excluded.iter().filter(|name| *name != user).cloned().collect();
        let rest = sql::literal(&rest.join(","));
        gap("server_audit_excl_users names the user", &format!("server_audit_excl_users = {rest}"))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn audit(on: bool, [events, included, excluded]: [&str; 3]) -> Audit {
        let list = |text: &str| text.split_terminator(',').map(ToOwned::to_owned).collect();
        Audit { on, events: list(events), included: list(included), excluded: list(excluded) }
    }

    #[rstest]
    #[case(true, ["", "", ""], None)]
    #[case(true, ["CONNECT,query", "", "ben"], None)]
    #[case(true, ["", "ana,ben", "ana"], None)]
    #[case(false, ["", "", ""], Some("SET GLOBAL server_audit_logging = ON"))]
    #[case(true, ["CONNECT,QUERY_DDL", "", ""], Some("SET GLOBAL server_audit_events = ''"))]
    #[case(true, ["", "ben", ""], Some("SET GLOBAL server_audit_incl_users = ''"))]
    #[case(true, ["", "", "ana,ben"], Some("SET GLOBAL server_audit_excl_users = 'ben'"))]
    fn what_the_audit_plugin_leaves_out(
        #[case] on: bool,
        #[case] lists: [&str; 3],
        #[case] cure: Option<&str>,
    ) {
        let gap = audit(on, lists).gap("ana");
        assert_eq!(gap.map(|gap| gap.cure).as_deref(), cure);
    }

    #[test]
    fn says_what_is_so() {
        let dialect = |version| Dialect::of(version, false, false);
        let none = Logging {
            dialect: dialect("10.11.19-MariaDB"),
            general: false,
            audit: None,
            enterprise: false,
        };
        let said = none.sentence("ana");
        assert!(said.contains("not logged") && said.contains("INSTALL SONAME"), "{said}");
        let general = Logging { general: true, ..none.clone() };
        assert_eq!(general.sentence("ana"), "the general log has everybody's statements");
        let audited = Logging { audit: Some(audit(true, ["", "", ""])), ..general };
        assert_eq!(audited.sentence("ana"), "server_audit logs each statement of ana");
        let oracle = Logging { dialect: dialect("8.4.3"), ..none };
        assert!(oracle.sentence("ana").contains("SET GLOBAL general_log = ON"));
        let enterprise = Logging { enterprise: true, ..oracle };
        assert!(enterprise.sentence("ana").contains("at its filters the connector does not look"));
    }
}
