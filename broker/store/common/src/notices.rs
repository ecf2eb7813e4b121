//! Notices in the outbox, and how far each channel is behind.

use ebbgate_broker_ports::{
    StoreError,
    store::{Backlog, OutboxItem},
};
use ebbgate_domain::notice::Notice;

use crate::{
    Sealed, Seals, Table,
    documents::{decode, encode, told, unreadable},
    moment, nanos,
};

/// A row of the outbox. How often it failed and when it is due are not sealed: they say when people
/// are told, not what.
#[derive(Debug)]
pub struct NoticeRow {
    /// Its place in the order.
    pub seq: i64,
    /// Its id.
    pub id: String,
    /// When it was put in, in nanoseconds since 1970.
    pub at_ns: i64,
    /// Through which channel.
    pub channel: String,
    /// How often delivery failed.
    pub failures: i64,
    /// The notice.
    pub document: String,
    /// Its seal.
    pub seal: Option<String>,
}

impl NoticeRow {
    /// The row of a notice. Its place is the database's to choose.
    ///
    /// # Errors
    /// It is no JSON.
    pub fn of(item: &OutboxItem, seals: &Seals) -> Result<Self, StoreError> {
        let mut row = Self {
            seq: 0,
            id: item.id.to_string(),
            at_ns: nanos(item.at),
            channel: item.channel.to_string(),
            failures: i64::from(item.failures),
            document: encode(&item.notice)?,
            seal: None,
        };
        row.seal = Some(seals.seal(row.sealed(&row.content())));
        Ok(row)
    }

    /// What stands for its document.
    pub fn content(&self) -> String {
        format!("{} {} {}", self.at_ns, self.channel, self.document)
    }

    /// What its seal is of.
    pub fn sealed<'a>(&'a self, content: &'a str) -> Sealed<'a> {
        Sealed { table: Table::Outbox, id: &self.id, version: 0, content }
    }

    /// The notice; none where it cannot be read or believed, which is logged. One that was put back
    /// is told again, as any may be.
    pub fn believed(self, seals: &Seals) -> Result<Option<OutboxItem>, StoreError> {
        let item = || {
            seals.check(self.sealed(&self.content()), self.seal.as_deref())?;
            let notice: Notice = decode(&self.id, &self.document)?;
            let id = self.id.parse().map_err(unreadable(&self.id))?;
            let failures = u32::try_from(self.failures).map_err(unreadable(&self.id))?;
            let channel = self.channel.parse().map_err(unreadable(&self.id))?;
            Ok(OutboxItem { id, channel, notice, at: moment(self.at_ns), failures })
        };
        told(item())
    }
}

/// The longest reason that is kept of a failed delivery, in characters.
const LONGEST_ERROR: usize = 500;

/// A failed delivery's reason as it is kept.
pub fn short_error(why: &str) -> String {
    why.chars().filter(|c| *c != '\0').take(LONGEST_ERROR).collect()
}

/// How far one channel is behind, as both dialects count it.
#[derive(Debug)]
pub struct BacklogRow {
    /// The channel.
    pub channel: String,
    /// How many notices wait.
    pub waiting: i64,
    /// When the oldest of them was put in, in nanoseconds since 1970.
    pub oldest_ns: Option<i64>,
    /// How many are set aside.
    pub set_aside: i64,
    /// Why the last attempt at the oldest failed.
    pub last_error: Option<String>,
}

impl BacklogRow {
    /// The same in the port's words.
    ///
    /// # Errors
    /// The channel's name is none.
    pub fn backlog(self) -> Result<Backlog, StoreError> {
        let count = |count: i64| u64::try_from(count).unwrap_or_default();
        Ok(Backlog {
            channel: self.channel.parse().map_err(unreadable(&self.channel))?,
            waiting: count(self.waiting),
            oldest: self.oldest_ns.map(moment),
            set_aside: count(self.set_aside),
            last_error: self.last_error,
        })
    }
}
