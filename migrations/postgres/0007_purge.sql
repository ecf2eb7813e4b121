-- Keys are removed a day after they were used: see docs/install.md.
CREATE INDEX idempotency_keys_at ON idempotency_keys (at_ns);
