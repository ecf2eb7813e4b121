//! The store's model passes what every store must.

use ebbgate_simulation::store::MemoryStore;

async fn fresh() -> (MemoryStore, ()) {
    (MemoryStore::default(), ())
}

ebbgate_broker_ports::store_conformance!(fresh);
