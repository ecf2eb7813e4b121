//! When resources were in the inventory.

use ebbgate_domain::names::ResourceId;

use super::{Checked, samples::at};
use crate::{Store, store::Sighting};

/// The first time stays, the last moves on and never back, and what was never seen is not there.
///
/// # Errors
/// The store failed.
pub async fn resources_are_seen_first_and_last(store: &dyn Store) -> Checked {
    let name = |n: &str| format!("orders/postgres/{n}").parse::<ResourceId>();
    let (shop, till, gone) = (name("shop")?, name("till")?, name("gone")?);
    let all = [till.clone(), shop.clone(), gone.clone()];
    store.sight(&[], at(1)).await?;
    assert_eq!(store.sightings(&all).await?, []);
    store.sight(&[gone.clone(), shop.clone()], at(1)).await?;
    store.sight(&[shop.clone(), till.clone(), shop.clone()], at(5)).await?;
    store.sight(std::slice::from_ref(&shop), at(3)).await?;
    let seen = |resource: &ResourceId, first, last| Sighting {
        resource: resource.clone(),
        first: at(first),
        last: at(last),
    };
    let expected = [seen(&gone, 1, 1), seen(&shop, 1, 5), seen(&till, 5, 5)];
    assert_eq!(store.sightings(&all).await?, expected);
    assert_eq!(store.sightings(&[till]).await?, expected[2..]);
    Ok(())
}
