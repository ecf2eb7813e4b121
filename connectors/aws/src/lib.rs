//! The connector for AWS accounts: temporary STS credentials, made on demand and never kept.
//!
//! One *ceiling role* for each account bounds what can be granted at all. A grant is a session of
//! that role under a session policy that narrows it to one bucket and one permission; the session's
//! name is the grant's id, its SourceIdentity the person. So no IAM object is made for a grant, and
//! CloudTrail, the grant and the audit log join on one id.
//!
//! How a grant ends:
//! - at its deadline by itself: the session policy denies everything from then on (`session_policy`);
//! - before it by a deny on the ceiling role for the sessions of that one name (`deny`);
//!
//! and in both cases a request in the session's name proves it (`probe`, `revocation`).

mod arn;
mod ceiling;
mod clients;
mod connector;
mod deny;
mod failure;
mod lifetime;
mod probe;
mod revocation;
mod s3_access;
mod session_policy;
mod sessions;
mod settings;
mod tags;

pub use arn::{InvalidArn, RoleArn};
pub use connector::AwsConnector;
pub use settings::AwsSettings;
