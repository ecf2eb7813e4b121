//! Membership of one role in others: how a grant gets its rights, and loses them.

use std::collections::BTreeSet;

use sqlx::Row as _;

use crate::{failure::Failure, server::Session, sql};

/// The statement that makes `role` a member of `groups`, of which there is at least one.
///
/// Since 16 a member can be kept from `SET ROLE`, whose sessions outlive the membership.
pub(crate) fn join<'a>(
    session: &Session,
    role: &str,
    groups: impl IntoIterator<Item = &'a str>,
) -> String {
    statement(role, groups, session.is_at_least(16))
}

fn statement<'a>(
    role: &str,
    groups: impl IntoIterator<Item = &'a str>,
    can_refuse_set: bool,
) -> String {
    let options = if can_refuse_set { " WITH INHERIT TRUE, SET FALSE, ADMIN FALSE" } else { "" };
    format!("GRANT {} TO {}{options}", sql::identifiers(groups), sql::identifier(role))
}

/// Takes `role` out of every role but those that it is to stay in. Answers with what it left.
pub(crate) async fn leave_others(
    session: &mut Session,
    role: &str,
    stay: &BTreeSet<String>,
) -> Result<Vec<String>, Failure> {
    const LOOK: &str = "
        SELECT g.rolname::text AS role, b.rolname::text AS grantor
        FROM pg_auth_members m
        JOIN pg_roles r ON r.oid = m.member JOIN pg_roles g ON g.oid = m.roleid
        LEFT JOIN pg_roles b ON b.oid = m.grantor
        WHERE r.rolname = $1 AND NOT g.rolname = ANY($2::text[])
        ORDER BY 1";
    let stay: Vec<&str> = stay.iter().map(String::as_str).collect();
    let rows = session.rows(sqlx::query(LOOK).bind(role).bind(stay)).await?;
    let mut left = Vec::new();
    for row in rows {
        let group: String = row.try_get("role")?;
        let mut revoke =
            format!("REVOKE {} FROM {}", sql::identifier(&group), sql::identifier(role));
        // Since 16 each grantor's membership stands by itself, and only that one's is revoked.
        let grantor: Option<String> = row.try_get("grantor")?;
        if let Some(grantor) = grantor.filter(|_| session.is_at_least(16)) {
            revoke += &format!(" GRANTED BY {}", sql::identifier(&grantor));
        }
        session.execute(revoke).await?;
        left.push(group);
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_16_on_a_member_may_not_set_role() {
        assert_eq!(statement("x", ["p", "q"], false), r#"GRANT "p", "q" TO "x""#);
        assert_eq!(
            statement("x", ["p"], true),
            r#"GRANT "p" TO "x" WITH INHERIT TRUE, SET FALSE, ADMIN FALSE"#
        );
    }
}
