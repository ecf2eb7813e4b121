-- What the broker acts on bears a seal: a MAC under a key that is not in the database. See
-- docs/adr/0007-sealed-documents.md. Rows of before have none until the operator says that they are
-- right; from then on a row without one is refused.

ALTER TABLE requests ADD COLUMN seal text;
ALTER TABLE grants ADD COLUMN seal text;
ALTER TABLE agents ADD COLUMN seal text;
ALTER TABLE enrolment_tokens ADD COLUMN seal text;
ALTER TABLE outbox ADD COLUMN seal text;
ALTER TABLE audit_head ADD COLUMN seal text;
