//! Where a secret is: in a file or in the environment, never in the settings themselves.

use std::{
    env, fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    str::FromStr,
};

use secrecy::SecretString;

/// `file:PATH` or `${NAME}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretReference {
    /// The content of a file, without its line break at the end.
    File(PathBuf),
    /// The value of a variable.
    Variable(String),
}

impl FromStr for SecretReference {
    type Err = &'static str;

    /// The error never repeats the text, which may be the secret.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        let variable = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        match (text.strip_prefix("file:"), variable) {
            (Some(path), _) if !path.is_empty() => Ok(Self::File(path.into())),
            (_, Some(name)) if !name.is_empty() => Ok(Self::Variable(name.to_owned())),
            _ => Err("a secret does not belong here in plain text: write file:PATH or ${VARIABLE}"),
        }
    }
}

impl SecretReference {
    /// The secret itself. A relative path counts from `beside`. Warns of a file that everybody on
    /// the machine can read.
    ///
    /// # Errors
    /// What it refers to is not there or empty.
    pub fn resolve(&self, beside: &Path) -> Result<SecretString, String> {
        let secret = match self {
            Self::Variable(name) => {
                env::var(name).map_err(|error| format!("cannot use ${{{name}}}: {error}"))?
            }
            Self::File(path) => {
                let path = beside.join(path);
                warn_if_open(&path);
                let content = fs::read_to_string(&path)
                    .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
                content.trim_end_matches(['\r', '\n']).to_owned()
            }
        };
        if secret.is_empty() {
            return Err("the secret that this refers to is empty".to_owned());
        }
        Ok(secret.into())
    }
}

fn warn_if_open(path: &Path) {
    if fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o004 != 0) {
        tracing::warn!(
            path = %path.display(),
            "everybody on this machine can read the secret's file: chmod 600 it"
        );
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn reads_references_and_nothing_else() {
        assert_eq!("file:/x/y".parse(), Ok(SecretReference::File("/x/y".into())));
        assert_eq!("${PG}".parse(), Ok(SecretReference::Variable("PG".to_owned())));
        for bad in ["sesame", "file:", "${}", "$PG", ""] {
            let error = bad.parse::<SecretReference>().unwrap_err();
            assert!(!error.contains("sesame"), "{bad}");
        }
    }

    #[test]
    fn resolves_variables_and_files() {
        let beside = Path::new("/nowhere");
        let path = SecretReference::Variable("PATH".to_owned()).resolve(beside).unwrap();
        assert_eq!(path.expose_secret(), env::var("PATH").unwrap());
        let unset = SecretReference::Variable("EBBGATE_IS_NOT_SET".to_owned());
        assert!(unset.resolve(beside).unwrap_err().contains("${EBBGATE_IS_NOT_SET}"));
        let missing = SecretReference::File("pw".into()).resolve(beside).unwrap_err();
        assert!(missing.starts_with("cannot read /nowhere/pw: No such file"), "{missing}");
    }
}
