//! One look at the roles of many grants that end together. It tells which of them are plain: with
//! nothing but sessions, so that only these and the role itself have to go.

use serde::Deserialize;
use sqlx::{Row as _, postgres::types::Oid, types::Json};

use crate::{failure::Failure, look::Backend, names::PRIVILEGE_ROLES, server::Session};

/// Whom to look at, and what earlier looks told.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) role: &'a str,
    /// Its oid where it is known already.
    pub(crate) oid: Option<u32>,
    /// The privilege roles that it was seen to have.
    pub(crate) privileges: Vec<&'a str>,
}

/// What the server shows of one role.
#[derive(Debug, Default)]
pub(crate) struct Sight {
    pub(crate) oid: Option<u32>,
    pub(crate) exists: bool,
    /// Whether it may still log in.
    pub(crate) open: bool,
    /// Whether it has members, a prepared transaction, objects or rights of its own, or one of its
    /// privilege roles owns something: what a teardown by itself looks into.
    pub(crate) unusual: bool,
    pub(crate) privileges: Vec<String>,
    /// Who is logged in by it.
    pub(crate) sessions: Vec<Backend>,
}

#[derive(Debug, Deserialize)]
struct Answer {
    members: Vec<Member>,
    privileges: Vec<Privilege>,
    unusual: Vec<usize>,
    sessions: Vec<Login>,
}

#[derive(Debug, Deserialize)]
struct Member {
    oid: Option<u32>,
    exists: bool,
    open: bool,
}

#[derive(Debug, Deserialize)]
struct Privilege {
    n: usize,
    role: String,
}

#[derive(Debug, Deserialize)]
struct Login {
    n: usize,
    #[serde(flatten)]
    backend: Backend,
}

/// `$1` are the roles' names, `$2` their oids where they are known, `$3` the pattern of privilege
/// roles, `$4` and `$5` which of them had which privilege role before. Roles go by their place in
/// `$1`, from 1 on. What each part is about is said at the look at a single role.
const LOOK: &str = "
WITH members AS (
    SELECT m.n, coalesce(m.oid, r.oid) AS oid, r.oid IS NOT NULL AS \"exists\",
           coalesce(r.rolcanlogin, false) AS open
    FROM unnest($1::text[], $2::oid[]) WITH ORDINALITY AS m (name, oid, n)
    LEFT JOIN pg_roles r ON r.rolname = m.name
),
privileges AS (
    SELECT x.n, p.oid, p.rolname AS role
    FROM members x JOIN pg_auth_members a ON a.member = x.oid JOIN pg_roles p ON p.oid = a.roleid
    WHERE p.rolname ~ $3
    UNION
    SELECT k.n, p.oid, p.rolname
    FROM unnest($4::int8[], $5::text[]) AS k (n, role) JOIN pg_roles p ON p.rolname = k.role
),
parties AS (SELECT n, oid FROM members UNION SELECT n, oid FROM privileges),
owning AS (
    SELECT DISTINCT d.refobjid AS oid
    FROM pg_shdepend d LEFT JOIN pg_database b ON b.oid = d.dbid
    WHERE d.refclassid = 'pg_authid'::regclass AND d.deptype = 'o'
      AND d.classid NOT IN ('pg_default_acl'::regclass, 'pg_user_mapping'::regclass)
      AND d.refobjid IN (SELECT oid FROM privileges) AND (d.dbid = 0 OR b.oid IS NOT NULL)
),
unusual AS (
    SELECT x.n FROM members x JOIN pg_auth_members a ON a.roleid = x.oid
    JOIN pg_roles d ON d.oid = a.member
    WHERE NOT (d.rolsuper OR d.rolcreaterole)
    UNION
    SELECT x.n FROM members x
    JOIN pg_shdepend d ON d.refclassid = 'pg_authid'::regclass AND d.refobjid = x.oid
    LEFT JOIN pg_database b ON b.oid = d.dbid
    WHERE d.dbid = 0 OR b.oid IS NOT NULL
    UNION
    SELECT p.n FROM privileges p JOIN owning USING (oid)
    UNION
    SELECT x.n FROM pg_prepared_xact() t JOIN parties x ON x.oid = t.ownerid
),
sessions AS (
    SELECT x.n, a.pid, a.usesysid::int8 AS \"user\",
           coalesce(a.backend_type, 'client backend') = 'client backend' AS client
    FROM pg_stat_activity a JOIN members x ON x.oid = a.usesysid
)
SELECT json_build_object(
    'members', (SELECT json_agg(json_build_object(
        'oid', oid::int8, 'exists', \"exists\", 'open', open) ORDER BY n) FROM members),
    'privileges', (SELECT coalesce(json_agg(json_build_object('n', n, 'role', role)), '[]')
                   FROM privileges),
    'unusual', (SELECT coalesce(json_agg(n), '[]') FROM unusual),
    'sessions', (SELECT coalesce(json_agg(s), '[]') FROM sessions s)
) AS look";

/// Looks at all of them, at one moment; the answer is in the same order.
pub(crate) async fn survey(
    session: &mut Session,
    asked: &[Asked<'_>],
) -> Result<Vec<Sight>, Failure> {
    let names: Vec<&str> = asked.iter().map(|one| one.role).collect();
    let oids: Vec<Option<Oid>> = asked.iter().map(|one| one.oid.map(Oid)).collect();
    let (mut places, mut known) = (Vec::new(), Vec::new());
    for (place, one) in (1_i64..).zip(asked) {
        for privilege in &one.privileges {
            places.push(place);
            known.push(*privilege);
        }
    }
    let query =
        sqlx::query(LOOK).bind(names).bind(oids).bind(PRIVILEGE_ROLES).bind(places).bind(known);
    let Json(answer) = session.row(query).await?.try_get("look")?;
    Ok(sorted(answer))
}

fn sorted(answer: Answer) -> Vec<Sight> {
    let sight = |Member { oid, exists, open }| Sight { oid, exists, open, ..Sight::default() };
    let mut sights: Vec<Sight> = answer.members.into_iter().map(sight).collect();
    let mut put = |n: usize, what: &mut dyn FnMut(&mut Sight)| {
        if let Some(sight) = n.checked_sub(1).and_then(|place| sights.get_mut(place)) {
            what(sight);
        }
    };
    for n in answer.unusual {
        put(n, &mut |sight| sight.unusual = true);
    }
    for Privilege { n, role } in answer.privileges {
        put(n, &mut |sight| sight.privileges.push(role.clone()));
    }
    for Login { n, backend } in answer.sessions {
        put(n, &mut |sight| sight.sessions.push(backend.clone()));
    }
    sights
}
