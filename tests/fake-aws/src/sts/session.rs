//! Sessions that STS has handed out. They can't be recalled: only expiry, policies and the role's
//! end stop them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use secrecy::SecretString;

use crate::iam::directory::Directory;
use crate::policy::Policy;

/// Temporary credentials and what was fixed when they were made.
#[derive(Debug)]
pub(crate) struct Session {
    /// `ASIA…`
    pub(crate) access_key_id: String,
    pub(crate) secret: SecretString,
    pub(crate) token: SecretString,
    pub(crate) role_name: String,
    /// The role's unique id: a role made anew under the same name is another one.
    pub(crate) role_id: String,
    pub(crate) session_name: String,
    pub(crate) source_identity: Option<String>,
    pub(crate) tags: BTreeMap<String, String>,
    /// The keys of those tags that go on to sessions made from this one.
    pub(crate) transitive: BTreeSet<String>,
    pub(crate) inline_policy: Option<Arc<Policy>>,
    pub(crate) policy_arns: Vec<String>,
    pub(crate) issued: Timestamp,
    pub(crate) expires: Timestamp,
}

impl Session {
    /// `arn:aws:sts::…:assumed-role/role/session`
    pub(crate) fn arn(&self, account: &str) -> String {
        let (role, session) = (&self.role_name, &self.session_name);
        format!("arn:aws:sts::{account}:assumed-role/{role}/{session}")
    }

    /// `AROA…:session`
    pub(crate) fn user_id(&self) -> String {
        format!("{}:{}", self.role_id, self.session_name)
    }

    /// The session policies, if the session has any: one of them must allow what the session does.
    pub(crate) fn policies(&self, directory: &Directory) -> Option<Vec<Arc<Policy>>> {
        if self.inline_policy.is_none() && self.policy_arns.is_empty() {
            return None;
        }
        let managed = directory.managed_policies(&self.policy_arns);
        Some(self.inline_policy.iter().cloned().chain(managed).collect())
    }
}

/// All sessions, by access key id. The expired ones stay, to be refused as expired.
#[derive(Debug, Default)]
pub(crate) struct Sessions(HashMap<String, Arc<Session>>);

impl Sessions {
    /// Keeps a session.
    pub(crate) fn insert(&mut self, session: Arc<Session>) {
        self.0.insert(session.access_key_id.clone(), session);
    }

    /// The session of an access key.
    pub(crate) fn get(&self, access_key_id: &str) -> Option<Arc<Session>> {
        self.0.get(access_key_id).cloned()
    }
}
