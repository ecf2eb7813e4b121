-- Documents are the truth: `document` holds a request, a grant, an agent or a notice as JSON. The
-- typed columns beside it are indexes for what is asked for, written with each document and never
-- read back into a value. See docs/adr/0002-documents-with-indexes.md.
--
-- Moments are nanoseconds since 1970. Ids sort by time, so the order of ids is the order of making.

CREATE TABLE requests (
    id        TEXT    NOT NULL PRIMARY KEY,
    version   INTEGER NOT NULL CHECK (version >= 1),
    requester TEXT    NOT NULL,
    state     TEXT    NOT NULL CHECK (
        state IN ('pending', 'approved', 'active', 'denied', 'cancelled', 'lapsed', 'ended')
    ),
    is_over   INTEGER NOT NULL CHECK (is_over IN (0, 1)),
    due_at_ns INTEGER,
    document  TEXT    NOT NULL
) STRICT;

CREATE INDEX requests_of_requester ON requests (requester, id);
CREATE INDEX requests_open ON requests (id) WHERE is_over = 0;
CREATE INDEX requests_pending ON requests (id) WHERE state = 'pending';
CREATE INDEX requests_due ON requests (due_at_ns) WHERE due_at_ns IS NOT NULL;

CREATE TABLE grants (
    id          TEXT    NOT NULL PRIMARY KEY,
    version     INTEGER NOT NULL CHECK (version >= 1),
    request_id  TEXT    NOT NULL REFERENCES requests (id),
    principal   TEXT    NOT NULL,
    integration TEXT    NOT NULL,
    state       TEXT    NOT NULL CHECK (
        state IN ('planned', 'provisioning', 'active', 'revoking', 'revoked', 'failed')
    ),
    is_over     INTEGER NOT NULL CHECK (is_over IN (0, 1)),
    due_at_ns   INTEGER,
    document    TEXT    NOT NULL
) STRICT;

CREATE INDEX grants_of_request ON grants (request_id, id);
CREATE INDEX grants_of_principal ON grants (principal, id);
CREATE INDEX grants_live ON grants (id) WHERE is_over = 0;
CREATE INDEX grants_live_on ON grants (integration, id) WHERE is_over = 0;
-- Planned grants wait for their integration's connector, perhaps for long and by the thousand.
-- They have an index of their own, so that looking for the others never walks past them.
CREATE INDEX grants_due ON grants (due_at_ns) WHERE due_at_ns IS NOT NULL AND state <> 'planned';
CREATE INDEX grants_planned ON grants (due_at_ns, integration) WHERE state = 'planned';

CREATE TABLE agents (
    id       TEXT    NOT NULL PRIMARY KEY,
    name     TEXT    NOT NULL,
    retired  INTEGER NOT NULL CHECK (retired IN (0, 1)),
    document TEXT    NOT NULL
) STRICT;

-- Only one agent at a time bears a name.
CREATE UNIQUE INDEX agents_name ON agents (name) WHERE retired = 0;

CREATE TABLE enrolment_tokens (
    id            TEXT    NOT NULL PRIMARY KEY,
    secret_hash   TEXT    NOT NULL UNIQUE,
    agent         TEXT    NOT NULL,
    expires_at_ns INTEGER NOT NULL,
    spent_at_ns   INTEGER
) STRICT;

CREATE TABLE idempotency_keys (
    principal   TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    fingerprint TEXT    NOT NULL,
    subject     TEXT    NOT NULL,
    at_ns       INTEGER NOT NULL,
    PRIMARY KEY (principal, key)
) STRICT, WITHOUT ROWID;

-- What is delivered is deleted. `due_at_ns` is null for a notice that cannot be read: it is set
-- aside, so that it does not hold up the later ones of its request.
CREATE TABLE outbox (
    seq        INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id         TEXT    NOT NULL UNIQUE,
    request_id TEXT    NOT NULL,
    at_ns      INTEGER NOT NULL,
    failures   INTEGER NOT NULL DEFAULT 0,
    due_at_ns  INTEGER,
    document   TEXT    NOT NULL
) STRICT;

CREATE INDEX outbox_of_request ON outbox (request_id, seq) WHERE due_at_ns IS NOT NULL;

-- The chain: `body` is the event as JSON, byte for byte as it was hashed.
CREATE TABLE audit_records (
    seq       INTEGER NOT NULL PRIMARY KEY CHECK (seq >= 1),
    prev_hash TEXT    NOT NULL,
    hash      TEXT    NOT NULL,
    body      TEXT    NOT NULL
) STRICT;

-- Where the chain ends, so that a cut-off tail is noticed.
CREATE TABLE audit_head (
    single  INTEGER NOT NULL PRIMARY KEY CHECK (single = 1),
    records INTEGER NOT NULL CHECK (records >= 0),
    hash    TEXT    NOT NULL
) STRICT;

INSERT INTO audit_head (single, records, hash) VALUES (1, 0, printf('%064d', 0));

-- These guard against accidents. Who means harm can drop them; the chain shows what they changed.
CREATE TRIGGER audit_records_are_not_changed BEFORE UPDATE ON audit_records
BEGIN
    SELECT RAISE(ABORT, 'audit records are not changed');
END;

CREATE TRIGGER audit_records_are_not_deleted BEFORE DELETE ON audit_records
BEGIN
    SELECT RAISE(ABORT, 'audit records are not deleted');
END;
