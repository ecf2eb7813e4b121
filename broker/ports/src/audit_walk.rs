//! Walks the whole audit chain of a store, page by page.

use ebbgate_domain::audit::{BrokenChain, ChainWalk};

use crate::{Store, StoreError};

const PAGE: u32 = 1_000;

/// Checks every record and the chain's end. The inner error names the first broken record.
///
/// # Errors
/// The database failed.
pub async fn verify_audit(store: &dyn Store) -> Result<Result<ChainWalk, BrokenChain>, StoreError> {
    // The head first: records that are appended meanwhile lie beyond it and are left for next time.
    let head = store.audit_head().await?;
    let mut walk = ChainWalk::default();
    while walk.records() < head.records {
        let left = u32::try_from(head.records - walk.records()).unwrap_or(PAGE).min(PAGE);
        let page = store.audit(walk.records(), left).await?;
        if page.is_empty() {
            break;
        }
        for record in &page {
            if let Err(broken) = walk.step(record) {
                return Ok(Err(broken));
            }
        }
    }
    if let Err(broken) = walk.finish(head.records, &head.hash) {
        return Ok(Err(broken));
    }
    // Whoever rewrites the whole log can make a chain of it, but not its seal.
    if !store.audit_head_holds().await? {
        let reason = "the seal of the log's end does not hold: the log was rewritten";
        return Ok(Err(BrokenChain { seq: head.records, reason }));
    }
    Ok(Ok(walk))
}
