//! The next records of the audit chain.

use ebbgate_broker_ports::{StoreError, store::AuditHead};
use ebbgate_domain::audit::{AuditEvent, AuditRecord, Hash};

use crate::{documents::encode, failed, unsigned};

/// The chain's end as the head's row holds it.
///
/// # Errors
/// The row was tampered with.
pub fn head(records: i64, hash: String) -> Result<AuditHead, StoreError> {
    Ok(AuditHead { records: unsigned(records)?, hash })
}

/// The records that `events` become after `head`, and the head after them.
///
/// # Errors
/// The head's hash was tampered with, or an event is no JSON.
pub fn append(
    head: &AuditHead,
    events: &[AuditEvent],
) -> Result<(Vec<AuditRecord>, AuditHead), StoreError> {
    let mut last: Hash = head.hash.parse().map_err(failed("read the end of the audit chain"))?;
    let mut seq = head.records;
    let mut records = Vec::with_capacity(events.len());
    for event in events {
        seq += 1;
        let body = encode(event)?;
        let prev_hash = last.to_string();
        last = last.then(seq, &body);
        records.push(AuditRecord { seq, prev_hash, hash: last.to_string(), body });
    }
    Ok((records, AuditHead { records: seq, hash: last.to_string() }))
}

#[cfg(test)]
mod tests {
    use ebbgate_domain::{
        Timestamp,
        audit::{Action, Actor, ChainWalk},
    };

    use super::*;

    #[test]
    fn what_is_appended_in_two_steps_is_one_chain() {
        let event = |what| AuditEvent::new(what, Actor::Broker, Timestamp::UNIX_EPOCH);
        let genesis = AuditHead { records: 0, hash: Hash::GENESIS.to_string() };
        let (first, middle) = append(&genesis, &[event(Action::BrokerStarted)]).unwrap();
        let (second, end) =
            append(&middle, &[event(Action::BrokerReloaded), event(Action::AccessRefused)])
                .unwrap();

        let mut walk = ChainWalk::default();
        first.iter().chain(&second).try_for_each(|record| walk.step(record)).unwrap();
        walk.finish(3, &end.hash).unwrap();
    }

    #[test]
    fn a_head_that_is_no_hash_is_refused() {
        let head = AuditHead { records: 1, hash: "none".to_owned() };
        assert!(append(&head, &[]).is_err());
    }
}
