//! Documents are the truth; the columns beside them are indexes, written with them each time and
//! never read back into a value.

use ebbgate_broker_ports::{
    StoreError,
    store::{AgentRecord, OutboxItem, Versioned, Write},
};
use ebbgate_domain::{
    delegation::Delegation, grant::Grant, names::IntegrationName, notice::Notice,
    request::AccessRequest,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{failed, moment, nanos, signed, unsigned};

/// A value as its document.
///
/// # Errors
/// A value that is no JSON.
pub fn encode<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(failed("write a document"))
}

/// A row of requests or grants, as far as reading needs it.
#[derive(Debug)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// How often it was written.
    pub version: i64,
    /// Its document.
    pub document: String,
}

/// One row's value.
///
/// # Errors
/// [`StoreError::Unreadable`].
pub fn readable<T: DeserializeOwned>(row: Row) -> Result<Versioned<T>, StoreError> {
    let value = decode(&row.id, &row.document)?;
    Ok(Versioned { version: unsigned(row.version)?, value })
}

/// The values that can be read; the others are logged and left out, so that one bad record never
/// blocks the rest.
pub fn readable_ones<T: DeserializeOwned>(rows: Vec<Row>) -> Vec<Versioned<T>> {
    rows.into_iter().filter_map(|row| told(readable(row))).collect()
}

fn decode<T: DeserializeOwned>(id: &str, document: &str) -> Result<T, StoreError> {
    serde_json::from_str(document)
        .map_err(|cause| StoreError::Unreadable { id: id.to_owned(), source: cause.into() })
}

/// Logs where a record cannot be read, without its content: what its cause says may quote it.
fn told<T>(result: Result<T, StoreError>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(StoreError::Unreadable { id, source }) => {
            let place = source.downcast_ref::<serde_json::Error>();
            tracing::error!(
                record.id = id,
                line = place.map(serde_json::Error::line),
                column = place.map(serde_json::Error::column),
                "a record cannot be read and is left out"
            );
            None
        }
        Err(error) => {
            let error = ebbgate_broker_ports::chain(&error);
            tracing::error!(error, "a record cannot be read and is left out");
            None
        }
    }
}

/// What a write expects and what it leaves: none and 1 where it inserts.
fn versions<T>(write: Write<T>) -> Result<(Option<i64>, i64, T), StoreError> {
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
}

impl RequestRow {
    /// The row that a write means.
    ///
    /// # Errors
    /// It is no JSON.
    pub fn of(write: Write<AccessRequest>) -> Result<Self, StoreError> {
        let (expected, version, request) = versions(write)?;
        Ok(Self {
            expected,
            version,
            id: request.id.to_string(),
            requester: request.requester.to_string(),
            // One that asks for more time waits for a decision too.
            state: if request.asks() { "pending" } else { request.state_name() },
            is_over: request.is_over(),
            due_at_ns: request.due_at().map(nanos),
            document: encode(&request)?,
        })
    }
}

/// A delegation as a row.
#[derive(Debug)]
pub struct DelegationRow {
    /// The version that must still be there; none where the row must not exist yet.
    pub expected: Option<i64>,
    /// The version that it gets.
    pub version: i64,
    /// Its id.
    pub id: String,
    /// When it ends, in nanoseconds since 1970.
    pub until_ns: i64,
    /// Its document.
    pub document: String,
}

impl DelegationRow {
    /// The row that a write means.
    ///
    /// # Errors
    /// It is no JSON.
    pub fn of(write: Write<Delegation>) -> Result<Self, StoreError> {
        let (expected, version, delegation) = versions(write)?;
        Ok(Self {
            expected,
            version,
            id: delegation.id.to_string(),
            until_ns: nanos(delegation.end()),
            document: encode(&delegation)?,
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
}

impl GrantRow {
    /// The row that a write means.
    ///
    /// # Errors
    /// It is no JSON.
    pub fn of(write: Write<Grant>) -> Result<Self, StoreError> {
        let (expected, version, grant) = versions(write)?;
        Ok(Self {
            expected,
            version,
            id: grant.id.to_string(),
            request_id: grant.request.to_string(),
            principal: grant.principal.to_string(),
            integration: grant.integration.to_string(),
            state: grant.state_name(),
            is_over: grant.is_over(),
            due_at_ns: grant.due_at().map(nanos),
            document: encode(&grant)?,
        })
    }
}

/// A row of agents. Which of them is retired stands in its column too, because the database
/// enforces that only one agent bears a name.
#[derive(Debug)]
pub struct AgentRow {
    /// Its id.
    pub id: String,
    /// Its document.
    pub document: String,
}

impl AgentRow {
    /// The agent.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`].
    pub fn readable(&self) -> Result<AgentRecord, StoreError> {
        decode(&self.id, &self.document)
    }

    /// The agents that can be read; the others are logged and left out.
    pub fn readable_ones(rows: &[Self]) -> Vec<AgentRecord> {
        rows.iter().filter_map(|row| told(row.readable())).collect()
    }
}

/// The document of an agent whose name another one has taken. One that cannot be read stays as it
/// is: it must not keep the name from the new one.
pub fn as_retired(row: AgentRow) -> Result<AgentRow, StoreError> {
    let Some(agent) = told(row.readable()) else {
        return Ok(row);
    };
    Ok(AgentRow { id: row.id, document: encode(&AgentRecord { retired: true, ..agent })? })
}

/// The integrations that a token binds to, out of their JSON list; none where there is none.
///
/// # Errors
/// [`StoreError::Unreadable`].
pub fn token_integrations(
    id: &str,
    column: Option<&str>,
) -> Result<Option<Vec<IntegrationName>>, StoreError> {
    column.map(|list| decode(id, list)).transpose()
}

/// A row of the outbox.
#[derive(Debug)]
pub struct NoticeRow {
    /// Its place in the order.
    pub seq: i64,
    /// Its id.
    pub id: String,
    /// When it was put in, in nanoseconds since 1970.
    pub at_ns: i64,
    /// How often delivery failed.
    pub failures: i64,
    /// The notice.
    pub document: String,
}

/// A row's notice; none where it cannot be read, which is logged.
pub fn notice(row: NoticeRow) -> Option<OutboxItem> {
    let item = || {
        let notice: Notice = decode(&row.id, &row.document)?;
        let id = row.id.parse().map_err(failed("read a notice's id"))?;
        let failures = u32::try_from(row.failures).map_err(failed("read a notice's failures"))?;
        Ok(OutboxItem { id, notice, at: moment(row.at_ns), failures })
    };
    told(item())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, document: &str) -> Row {
        Row { id: id.to_owned(), version: 3, document: document.to_owned() }
    }

    #[test]
    fn one_bad_record_does_not_hide_the_others() {
        let rows = vec![row("a", "1"), row("b", "{"), row("c", "\"no number\""), row("d", "4")];
        let values: Vec<_> = readable_ones::<u8>(rows).into_iter().map(|one| one.value).collect();
        assert_eq!(values, [1, 4]);
    }

    #[test]
    fn a_bad_record_is_named() {
        let error = readable::<u8>(row("grt_1", "{")).unwrap_err();
        assert_eq!(error.to_string(), "record grt_1 cannot be read");
    }

    #[test]
    fn an_unreadable_agent_gives_its_name_away() {
        let row = AgentRow { id: "agt_1".to_owned(), document: "{".to_owned() };
        assert_eq!(as_retired(row).unwrap().document, "{");
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
