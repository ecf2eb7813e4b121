//! What changes of a request and its grants while they go on: access that begins, and more time.
//! Whoever could take that back by hand could have it given once more.

use ebbgate_domain::{
    Transition,
    audit::Actor,
    flow::{Activation, DurationRule},
    people::People,
    principal::{Directory, Principal},
    request::{AccessRequest, RequestState},
};

use super::{
    ByHand, Checked,
    samples::{active, at, grant, put, request},
    seals::refused,
};
use crate::{
    Store,
    store::{Change, Versioned, Write},
};

const ANA: &str = "ana@example.com";

/// A request and its grant are put back, with the seals that they had, to before they were activated,
/// and to before they got more time.
///
/// # Errors
/// The store failed.
pub async fn what_was_activated_or_extended_cannot_be_set_back(
    store: &dyn Store,
    hand: &dyn ByHand,
) -> Checked {
    let directory = Directory::new([Principal::new(ANA.parse()?, ["data".parse()?])]);
    let people = People::new(&directory, at(50));
    let mut asked = request(1, ANA)?;
    asked.flow.activation = Activation::ByRequester { within: "1h".parse()? };
    asked.flow.duration =
        DurationRule { extend: true, ..DurationRule::new("1h".parse()?, "4h".parse()?) };
    asked.state = RequestState::Approved;
    asked.activate_by = Some(at(99));
    let planned = active(grant(1, 1, ANA, "prod-db")?, at(3_600));
    put(store, [asked.clone()], [planned.clone()]).await?;
    hand.by_hand("CREATE TABLE waits AS SELECT * FROM requests").await?;
    hand.by_hand("CREATE TABLE short AS SELECT * FROM grants").await?;

    let write = async |version, step: Transition<AccessRequest>| {
        let requests = vec![Write::Update(Versioned { version, value: step.state })];
        store.commit(Change { requests, events: step.events, ..Change::default() }).await
    };
    let begun = asked.activate(&asked.requester, &people)?;
    write(1, begun.clone()).await?;
    hand.by_hand("CREATE TABLE begun AS SELECT * FROM requests").await?;
    let more = begun.state.extend(&asked.requester, "3h".parse()?, None, &people)?;
    write(2, more.clone()).await?;
    let longer = planned.extend("3h".parse()?, Actor::Broker, at(50)).ok_or("it is live")?;
    let grants = vec![Write::Update(Versioned { version: 1, value: longer.state.clone() })];
    store.commit(Change { grants, events: longer.events, ..Change::default() }).await?;
    hand.by_hand("CREATE TABLE more AS SELECT * FROM requests").await?;

    let put_back = async |table: &str, from: &str| {
        hand.by_hand(&format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM {from}"))
            .await
    };
    hand.by_hand("CREATE TABLE longer AS SELECT * FROM grants").await?;
    put_back("grants", "short").await?;
    assert!(refused(&store.grant(planned.id).await, &planned.id.to_string()));
    hand.by_hand("DELETE FROM grants").await?;
    for (version, from) in [(1, "waits"), (2, "begun")] {
        put_back("requests", from).await?;
        assert!(refused(&store.request(asked.id).await, &asked.id.to_string()), "{from}");
        // Whoever had read it before.
        let late = match version {
            1 => begun.clone(),
            _ => begun.state.extend(&asked.requester, "1h".parse()?, None, &people)?,
        };
        assert!(refused(&write(version, late).await, &asked.id.to_string()), "{from}");
    }
    put_back("requests", "more").await?;
    put_back("grants", "longer").await?;
    assert_eq!(store.request(asked.id).await?.map(|found| found.value), Some(more.state));
    assert_eq!(store.grant(planned.id).await?.map(|found| found.value), Some(longer.state));
    Ok(())
}
