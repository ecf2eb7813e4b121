//! What a database keeps instead of a password that was made on its person's own machine (I8).

use crate::{mysql_verifier::MysqlVerifiers, scram::ScramVerifier};

/// A password's verifier, for one kind of database. Debug shows none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verifier {
    /// PostgreSQL's.
    Scram(ScramVerifier),
    /// MySQL's and MariaDB's, one for each of their plugins.
    Mysql(MysqlVerifiers),
}
