-- What the broker acts on bears a seal: a MAC under a key that is not in the database. See
-- docs/adr/0007-sealed-documents.md. Rows of before have none until the operator says that they are
-- right; from then on a row without one is refused.

ALTER TABLE requests ADD COLUMN seal TEXT;
ALTER TABLE grants ADD COLUMN seal TEXT;
ALTER TABLE agents ADD COLUMN seal TEXT;
ALTER TABLE enrolment_tokens ADD COLUMN seal TEXT;
ALTER TABLE outbox ADD COLUMN seal TEXT;
ALTER TABLE audit_head ADD COLUMN seal TEXT;
