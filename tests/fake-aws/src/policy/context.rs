//! The request context: what condition keys and policy variables are looked up in.
//!
//! AWS compares the names of condition keys without regard to case, the part behind
//! `aws:PrincipalTag/` included, so they are kept in lower case here and nowhere else needs to
//! know.

use std::collections::BTreeMap;

/// Condition keys with their values. A key without values is absent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Context(BTreeMap<String, Vec<String>>);

impl Context {
    /// Sets a key that has one value.
    pub(crate) fn set(&mut self, key: &str, value: impl Into<String>) {
        self.0.insert(key.to_ascii_lowercase(), vec![value.into()]);
    }

    /// Sets a key that may have several values, such as `aws:TagKeys`. None at all leaves it
    /// absent, as AWS does.
    pub(crate) fn set_all(&mut self, key: &str, values: impl IntoIterator<Item = String>) {
        let values: Vec<String> = values.into_iter().collect();
        if !values.is_empty() {
            self.0.insert(key.to_ascii_lowercase(), values);
        }
    }

    /// Takes every key of `other`, which wins over what is there.
    pub(crate) fn extend(&mut self, other: Context) {
        self.0.extend(other.0);
    }

    /// The values of a key, or nothing if the request has no such key.
    pub(crate) fn values(&self, key: &str) -> Option<&[String]> {
        self.0.get(&key.to_ascii_lowercase()).map(Vec::as_slice)
    }

    /// The value of a key that has exactly one: policy variables take no other.
    pub(crate) fn single(&self, key: &str) -> Option<&str> {
        match self.values(key) {
            Some([value]) => Some(value),
            _ => None,
        }
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Context {
    fn from(pairs: [(&str, &str); N]) -> Self {
        let mut context = Self::default();
        for (key, value) in pairs {
            context.set(key, value);
        }
        context
    }
}
