//! What is made on a server is named here. A grant's user derives its name from the grant's id
//! (I4), and the name is the mark by which it is found again (I7).

use aws_lc_rs::digest::{SHA256, digest};
use ebbgate_domain::{ids::GrantId, right::Level};

/// The longest name of a user or role in characters on MySQL; MariaDB takes more.
const LONGEST: usize = 32;
/// RFC 4648, section 6, in lower case.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// What stands before a grant's id.
const GRANT: &str = "ebb_";

/// Users of grants, as a pattern for LIKE.
pub(crate) const GRANT_USERS: &str = r"ebb\_%";

/// Who is the definer of what grants leave behind: a locked account without any right, so that what
/// runs as its definer gains nobody anything.
pub(crate) const GRAVEYARD: (&str, &str) = ("ebbgate_graveyard", "localhost");

/// What stands before the name of whom a server serves.
pub(crate) const OWNER: &str = "ebbgate_owner_";

/// Whether the name is that of a role which a grant is a member of. MariaDB lets a session name its
/// role as the definer of what it makes, which would then go on with the role's rights.
pub(crate) fn is_privilege_role(name: &str) -> bool {
    let kinds = Level::ALL.map(Level::as_str).into_iter().chain(["set"]);
    name.strip_prefix("ebbgate_")
        .and_then(|rest| rest.split_once('_'))
        .is_some_and(|(kind, _)| kinds.into_iter().any(|known| known == kind))
}

/// The role that a grant's sessions have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    /// Of this name.
    Named(String),
    /// Nobody knows any more which.
    Some,
}

impl Role {
    /// Whether it may be called that.
    pub(crate) fn is(&self, name: &str) -> bool {
        match self {
            Self::Named(own) => own == name,
            Self::Some => is_privilege_role(name),
        }
    }
}

/// The user of a grant: `ebb_` and its id's 16 bytes in base32.
pub(crate) fn grant_user(grant: GrantId) -> String {
    let id = grant.to_string();
    // An id is always 32 hexadecimal digits; nothing else can be made of this type.
    let bytes = hex::decode(id.trim_start_matches("grt_")).unwrap_or_default();
    format!("{GRANT}{}", base32(&bytes))
}

/// The grant whose user this is, if it is one.
pub(crate) fn grant_of(user: &str) -> Option<GrantId> {
    let bytes = from_base32(user.strip_prefix(GRANT)?)?;
    let grant = format!("grt_{}", hex::encode(bytes)).parse().ok()?;
    // Only the one way to write it.
    (grant_user(grant) == user).then_some(grant)
}

/// The role that has a level of access to a database.
pub(crate) fn privilege_role(level: Level, database: &str) -> String {
    fitting(&format!("ebbgate_{level}_"), database)
}

/// The role that is a member of all of `roles`, which are sorted: MariaDB activates only one.
pub(crate) fn set_role(roles: &[String]) -> String {
    // NUL is in no name.
    hashed("ebbgate_set_", &roles.join("\0"))
}

/// A name of at most 32 characters. One that would be too long, or just as long, ends in a hash and
/// has exactly 32; so the two never meet.
pub(crate) fn fitting(prefix: &str, rest: &str) -> String {
    let plain = format!("{prefix}{rest}");
    if plain.chars().count() < LONGEST { plain } else { hashed(prefix, rest) }
}

fn hashed(prefix: &str, text: &str) -> String {
    let hash = base32(digest(&SHA256, text.as_bytes()).as_ref());
    format!("{prefix}{}", &hash[..LONGEST - prefix.len()])
}

fn base32(bytes: &[u8]) -> String {
    let digits = (bytes.len() * 8).div_ceil(5);
    let bit = |at: usize| bytes.get(at / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1);
    (0..digits)
        .map(|digit| {
            let value = (0..5).fold(0, |value, i| value << 1 | usize::from(bit(digit * 5 + i)));
            char::from(BASE32[value])
        })
        .collect()
}

/// 16 bytes of 26 digits.
fn from_base32(text: &str) -> Option<[u8; 16]> {
    if text.len() != 26 {
        return None;
    }
    let mut bytes = [0; 16];
    for (at, digit) in text.bytes().enumerate() {
        let value = BASE32.iter().position(|&known| known == digit)?;
        for i in 0..5 {
            if let Some(byte) = bytes.get_mut((at * 5 + i) / 8) {
                *byte |= u8::from(value >> (4 - i) & 1 == 1) << (7 - (at * 5 + i) % 8);
            }
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn base32_is_that_of_rfc_4648() {
        // Section 10's vectors, in lower case and without padding.
        let vectors = [("f", "my"), ("fo", "mzxq"), ("foo", "mzxw6"), ("foobar", "mzxw6ytboi")];
        for (text, encoded) in vectors {
            assert_eq!(base32(text.as_bytes()), encoded);
        }
    }

    #[test]
    fn a_grants_user_is_found_by_its_name() {
        let grant: GrantId = "grt_0190a6f4c1de7000aaaaaaaaaaaaaaaa".parse().unwrap();
        let user = grant_user(grant);
        assert_eq!(user, "ebb_agikn5gb3zyabkvkvkvkvkvkvi");
        assert_eq!(grant_of(&user), Some(grant));
        for other in ["ebb_somebody", "root", "ebb_agikn5gb3zyabkvkvkvkvkvkvj", "ebbgate_graveyard"]
        {
            assert_eq!(grant_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_long_database_name_becomes_a_hash() {
        assert_eq!(privilege_role(Level::Select, "shop"), "ebbgate_select_shop");
        let long = privilege_role(Level::Select, &"d".repeat(63));
        assert_eq!(long.len(), 32);
        // Somebody who names a database after the hash gets another role.
        let posing = long.replacen("ebbgate_select_", "", 1);
        assert_ne!(privilege_role(Level::Select, &posing), long);
    }

    #[test]
    fn privilege_roles_are_known_by_name() {
        for role in ["ebbgate_admin_shop", "ebbgate_set_abc", "ebbgate_ddl_"] {
            assert!(is_privilege_role(role), "{role}");
        }
        for other in ["ebbgate_graveyard", "ebbgate_owner_x", "ebbgate_selection", "reporting"] {
            assert!(!is_privilege_role(other), "{other}");
        }
    }

    proptest! {
        #[test]
        fn every_grant_has_a_user_of_its_own(id in proptest::array::uniform16(any::<u8>())) {
            let grant: GrantId = format!("grt_{}", hex::encode(id)).parse().unwrap();
            let user = grant_user(grant);
            prop_assert_eq!(user.len(), 30);
            prop_assert_eq!(grant_of(&user), Some(grant));
        }

        #[test]
        fn every_database_has_a_role_of_its_own(names in proptest::collection::hash_set("[a-cé]{10,40}", 2..20)) {
            let roles: HashSet<_> =
                names.iter().map(|name| privilege_role(Level::Full, name)).collect();
            prop_assert_eq!(roles.len(), names.len());
            prop_assert!(roles.iter().all(|role| role.chars().count() <= 32));
        }
    }
}
