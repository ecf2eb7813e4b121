//! What the connectors for database servers share, and what no dialect is in: see
//! `docs/adr/0009-what-database-connectors-share.md`.

mod patience;

pub use patience::Patience;
