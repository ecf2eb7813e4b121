//! Documents are the truth, and sealed; the columns beside them are indexes, written with them each
//! time and never read back into a value.

use ebbgate_broker_ports::{
    StoreError,
    store::{AgentRecord, EnrolmentToken, Versioned, Write},
};
use ebbgate_domain::{grant::Grant, names::IntegrationName, request::AccessRequest};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Book, Sealed, Seals, Standing, Table, Written, failed, moment, nanos, signed, standing::stage,
};

/// A value as its document.
///
/// # Errors
/// A value that is no JSON.
pub fn encode<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(failed("write a document"))
}

/// What has a document, and how it stands for the audit log.
pub trait Document {
    /// Where its rows are.
    const TABLE: Table;

    /// How far it has come.
    fn standing(&self) -> Standing;
}

/// A row of requests, grants or agents, as far as reading needs it.
#[derive(Debug)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// How often it was written; 0 for agents.
    pub version: i64,
    /// Its document.
    pub document: String,
    /// Its seal.
    pub seal: Option<String>,
}

impl Row {
    /// What its seal is of.
    pub fn sealed(&self, table: Table) -> Sealed<'_> {
        Sealed { table, id: &self.id, version: self.version, content: &self.document }
    }
}

pub(crate) fn decode<T: DeserializeOwned>(id: &str, document: &str) -> Result<T, StoreError> {
    serde_json::from_str(document).map_err(unreadable(id))
}

pub(crate) fn unreadable<E>(id: &str) -> impl FnOnce(E) -> StoreError
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let id = id.to_owned();
    move |cause| StoreError::Unreadable { id, source: cause.into() }
}

/// None for a record that cannot be read. It is logged without its content, which what its cause says
/// may quote.
///
/// # Errors
/// The database failed.
pub(crate) fn told<T>(result: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match result {
        Ok(value) => Ok(Some(value)),
        // The alarm was raised when it was found out.
        Err(StoreError::NotBelieved { .. }) => Ok(None),
        Err(StoreError::Unreadable { id, source }) => {
            let place = source.downcast_ref::<serde_json::Error>();
            tracing::error!(
                record.id = id,
                line = place.map(serde_json::Error::line),
                column = place.map(serde_json::Error::column),
                "a record cannot be read and is left out"
            );
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// What a write expects and what it leaves: none and 1 where it inserts.
pub(crate) fn versions<T>(write: Write<T>) -> Result<(Option<i64>, i64, T), StoreError> {
    Ok(match write {
        Write::Insert(value) => (None, 1, value),
        Write::Update(Versioned { version, value }) => {
            let expected = signed(version)?;
            (Some(expected), expected.saturating_add(1), value)
        }
    })
}

/// A request as a row.
#[derive(Debug)]
pub struct RequestRow {
    /// The version that must still be there; none where the row must not exist yet.
    pub expected: Option<i64>,
    /// The version that it gets.
    pub version: i64,
    /// Its id.
    pub id: String,
    /// Who asks.
    pub requester: String,
    /// The state's name; `pending` for whatever waits for a decision.
    pub state: &'static str,
    /// Whether nothing more will happen to it.
    pub is_over: bool,
    /// When it lapses, in nanoseconds since 1970.
    pub due_at_ns: Option<i64>,
    /// Its document.
    pub document: String,
    /// Its seal.
    pub seal: String,
    /// How it stands.
    pub written: Written,
}

impl RequestRow {
    /// The row that a write means.
    ///
    /// # Errors
    /// It is no JSON.
    pub fn of(write: Write<AccessRequest>, seals: &Seals) -> Result<Self, StoreError> {
        let (expected, version, request) = versions(write)?;
        let (id, document) = (request.id.to_string(), encode(&request)?);
        let sealed = Sealed { table: Table::Requests, id: &id, version, content: &document };
        Ok(Self {
            expected,
            version,
            seal: seals.seal(sealed),
            // Its grants give, and come with its approval.
            written: Written { row: request.standing(), gives: false },
            id,
            requester: request.requester.to_string(),
            // One that asks for more time waits for a decision too.
            state: if request.asks() { "pending" } else { request.state_name() },
            is_over: request.is_over(),
            due_at_ns: request.due_at().map(nanos),
            document,
        })
    }
}

/// A grant as a row.
#[derive(Debug)]
pub struct GrantRow {
    /// The version that must still be there; none where the row must not exist yet.
    pub expected: Option<i64>,
    /// The version that it gets.
    pub version: i64,
    /// Its id.
    pub id: String,
    /// The request it came from.
    pub request_id: String,
    /// Who gets it.
    pub principal: String,
    /// Where.
    pub integration: String,
    /// The state's name.
    pub state: &'static str,
    /// Whether nothing more will happen to it.
    pub is_over: bool,
    /// When something is due for it, in nanoseconds since 1970.
    pub due_at_ns: Option<i64>,
    /// Its document.
    pub document: String,
    /// Its seal.
    pub seal: String,
    /// How it stands.
    pub written: Written,
}

impl GrantRow {
    /// The row that a write means.
    ///
    /// # Errors
    /// It is no JSON.
    pub fn of(write: Write<Grant>, seals: &Seals) -> Result<Self, StoreError> {
        let (expected, version, grant) = versions(write)?;
        let (id, document) = (grant.id.to_string(), encode(&grant)?);
        let sealed = Sealed { table: Table::Grants, id: &id, version, content: &document };
        let row = grant.standing();
        Ok(Self {
            expected,
            version,
            seal: seals.seal(sealed),
            written: Written { gives: row.stage < stage::REVOKING, row },
            id,
            request_id: grant.request.to_string(),
            principal: grant.principal.to_string(),
            integration: grant.integration.to_string(),
            state: grant.state_name(),
            is_over: grant.is_over(),
            due_at_ns: grant.due_at().map(nanos),
            document,
        })
    }
}

/// An agent as a row. Which of them is retired stands in its column too, because the database
/// enforces that only one agent bears a name.
#[derive(Debug)]
pub struct AgentRow {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it may not speak any more.
    pub retired: bool,
    /// Its document.
    pub document: String,
    /// Its seal.
    pub seal: String,
    /// How it stands.
    pub written: Written,
}

impl AgentRow {
    /// The row of an agent. A new one may bear a name that the log knows another one by.
    ///
    /// # Errors
    /// It is no JSON.
    pub fn of(agent: &AgentRecord, new: bool, seals: &Seals) -> Result<Self, StoreError> {
        let (id, document) = (agent.id.to_string(), encode(agent)?);
        let sealed = Sealed { table: Table::Agents, id: &id, version: 0, content: &document };
        let mut row = agent.standing();
        if new {
            row.bears = None;
        }
        Ok(Self {
            name: agent.name.to_string(),
            retired: agent.retired,
            seal: seals.seal(sealed),
            written: Written { row, gives: new },
            document,
            id,
        })
    }

    /// The row of an agent whose name another one has taken; none for one that cannot be read or
    /// believed. It must not keep the name from the new one.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn retired(
        row: Row,
        upto: u64,
        seals: &Seals,
        book: &mut impl Book,
    ) -> Result<Option<Self>, StoreError> {
        let known = told(seals.believe::<AgentRecord>(row, upto, book).await)?;
        let retired = |known: Versioned<AgentRecord>| AgentRecord { retired: true, ..known.value };
        known.map(retired).map(|agent| Self::of(&agent, false, seals)).transpose()
    }
}

/// A row of enrolment tokens. It has no document: all its columns make one together.
#[derive(Debug)]
pub struct TokenRow {
    /// Its id.
    pub id: String,
    /// SHA-256 of its secret, in hex.
    pub secret_hash: String,
    /// The agent it is for.
    pub agent: String,
    /// The integrations that it is bound to, as a JSON list.
    pub integrations: Option<String>,
    /// When it ends, in nanoseconds since 1970.
    pub expires_at_ns: i64,
    /// When it was spent, in nanoseconds since 1970.
    pub spent_at_ns: Option<i64>,
    /// Its seal.
    pub seal: Option<String>,
}

impl TokenRow {
    /// The row of a token.
    ///
    /// # Errors
    /// It is no JSON.
    pub fn of(token: &EnrolmentToken, seals: &Seals) -> Result<Self, StoreError> {
        let mut row = Self {
            id: token.id.to_string(),
            secret_hash: token.secret_hash.clone(),
            agent: token.agent.to_string(),
            integrations: token.integrations.as_ref().map(encode).transpose()?,
            expires_at_ns: nanos(token.expires_at),
            spent_at_ns: token.spent_at.map(nanos),
            seal: None,
        };
        row.seal = Some(seals.seal(row.sealed(&row.content()?)));
        Ok(row)
    }

    /// What stands for its document.
    ///
    /// # Errors
    /// It is no JSON.
    pub fn content(&self) -> Result<String, StoreError> {
        let Self { secret_hash, agent, integrations, expires_at_ns, spent_at_ns, .. } = self;
        encode(&(secret_hash, agent, integrations, expires_at_ns, spent_at_ns))
    }

    /// What its seal is of.
    pub fn sealed<'a>(&'a self, content: &'a str) -> Sealed<'a> {
        Sealed { table: Table::Tokens, id: &self.id, version: 0, content }
    }

    /// How it stands. Whoever has its secret may get an agent's place by it.
    pub fn written(&self) -> Written {
        let stage = if self.spent_at_ns.is_some() { stage::OVER } else { stage::FIRST };
        let row = Standing::new(Table::Tokens, &self.id, stage);
        Written { gives: !row.is_over(), row }
    }

    /// The token.
    ///
    /// # Errors
    /// [`StoreError::NotBelieved`] or [`StoreError::Unreadable`].
    pub async fn believed(
        self,
        upto: u64,
        seals: &Seals,
        book: &mut impl Book,
    ) -> Result<EnrolmentToken, StoreError> {
        let since = seals.check(self.sealed(&self.content()?), self.seal.as_deref())?;
        seals.stands(&self.written().row, since..=upto, book).await?;
        let list = |json| decode::<Vec<IntegrationName>>(&self.id, json);
        Ok(EnrolmentToken {
            integrations: self.integrations.as_deref().map(list).transpose()?,
            id: self.id.parse().map_err(unreadable(&self.id))?,
            agent: self.agent.parse().map_err(unreadable(&self.id))?,
            secret_hash: self.secret_hash,
            expires_at: moment(self.expires_at_ns),
            spent_at: self.spent_at_ns.map(moment),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_record_is_named() {
        let error = decode::<u8>("grt_1", "{").unwrap_err();
        assert_eq!(error.to_string(), "record grt_1 cannot be read");
    }

    #[test]
    fn an_update_expects_the_version_that_was_read() {
        let (expected, next, ()) =
            versions(Write::Update(Versioned { version: 4, value: () })).unwrap();
        assert_eq!((expected, next), (Some(4), 5));
        let (expected, next, ()) = versions(Write::Insert(())).unwrap();
        assert_eq!((expected, next), (None, 1));
    }
}
