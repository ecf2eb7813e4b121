-- Each channel has its own queue in the outbox. `last_error` is why the last attempt failed; a
-- notice that is set aside has a `due_at_ns` of null, as one that cannot be read.
ALTER TABLE outbox ADD COLUMN channel TEXT NOT NULL DEFAULT 'log';
ALTER TABLE outbox ADD COLUMN last_error TEXT;

DROP INDEX outbox_of_request;
CREATE INDEX outbox_of_request ON outbox (channel, request_id, seq) WHERE due_at_ns IS NOT NULL;
