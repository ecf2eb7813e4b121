-- Documents are the truth: `document` holds a request, a grant, an agent or a notice as JSON. The
-- typed columns beside it are indexes for what is asked for, written with each document and never
-- read back into a value. See docs/adr/0002-documents-with-indexes.md.
--
-- Documents are text and not jsonb, which keeps them byte for byte and takes the escaped NUL that
-- jsonb refuses. Moments are nanoseconds since 1970, finer than timestamptz. Ids sort by time, so
-- the order of ids is the order of making; collation "C" sorts them by their bytes.

CREATE TABLE requests (
    id        text COLLATE "C" NOT NULL PRIMARY KEY,
    version   bigint  NOT NULL CHECK (version >= 1),
    requester text    NOT NULL,
    state     text    NOT NULL CHECK (
        state IN ('pending', 'approved', 'active', 'denied', 'cancelled', 'lapsed', 'ended')
    ),
    is_over   boolean NOT NULL,
    due_at_ns bigint,
    document  text    NOT NULL
);

CREATE INDEX requests_of_requester ON requests (requester, id);
CREATE INDEX requests_open ON requests (id) WHERE NOT is_over;
CREATE INDEX requests_pending ON requests (id) WHERE state = 'pending';
CREATE INDEX requests_due ON requests (due_at_ns) WHERE due_at_ns IS NOT NULL;

CREATE TABLE grants (
    id          text COLLATE "C" NOT NULL PRIMARY KEY,
    version     bigint  NOT NULL CHECK (version >= 1),
    request_id  text COLLATE "C" NOT NULL REFERENCES requests (id),
    principal   text    NOT NULL,
    integration text    NOT NULL,
    state       text    NOT NULL CHECK (
        state IN ('planned', 'provisioning', 'active', 'revoking', 'revoked', 'failed')
    ),
    is_over     boolean NOT NULL,
    due_at_ns   bigint,
    document    text    NOT NULL
);

CREATE INDEX grants_of_request ON grants (request_id, id);
CREATE INDEX grants_of_principal ON grants (principal, id);
CREATE INDEX grants_live ON grants (id) WHERE NOT is_over;
CREATE INDEX grants_live_on ON grants (integration, id) WHERE NOT is_over;
-- Planned grants wait for their integration's connector, perhaps for long and by the thousand.
-- They have an index of their own, so that looking for the others never walks past them.
CREATE INDEX grants_due ON grants (due_at_ns) WHERE due_at_ns IS NOT NULL AND state <> 'planned';
CREATE INDEX grants_planned ON grants (due_at_ns, integration) WHERE state = 'planned';

CREATE TABLE agents (
    id       text COLLATE "C" NOT NULL PRIMARY KEY,
    name     text COLLATE "C" NOT NULL,
    retired  boolean NOT NULL,
    document text    NOT NULL
);

-- Only one agent at a time bears a name.
CREATE UNIQUE INDEX agents_name ON agents (name) WHERE NOT retired;

CREATE TABLE enrolment_tokens (
    id            text COLLATE "C" NOT NULL PRIMARY KEY,
    secret_hash   text   NOT NULL UNIQUE,
    agent         text   NOT NULL,
    expires_at_ns bigint NOT NULL,
    spent_at_ns   bigint
);

CREATE TABLE idempotency_keys (
    principal   text   NOT NULL,
    key         text   NOT NULL,
    fingerprint text   NOT NULL,
    subject     text   NOT NULL,
    at_ns       bigint NOT NULL,
    PRIMARY KEY (principal, key)
);

-- What is delivered is deleted. `due_at_ns` is null for a notice that cannot be read: it is set
-- aside, so that it does not hold up the later ones of its request.
CREATE TABLE outbox (
    seq        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id         text COLLATE "C" NOT NULL UNIQUE,
    request_id text COLLATE "C" NOT NULL,
    at_ns      bigint NOT NULL,
    failures   bigint NOT NULL DEFAULT 0,
    due_at_ns  bigint,
    document   text   NOT NULL
);

CREATE INDEX outbox_of_request ON outbox (request_id, seq) WHERE due_at_ns IS NOT NULL;

-- The chain: `body` is the event as JSON, byte for byte as it was hashed.
CREATE TABLE audit_records (
    seq       bigint NOT NULL PRIMARY KEY CHECK (seq >= 1),
    prev_hash text   NOT NULL,
    hash      text   NOT NULL,
    body      text   NOT NULL
);

-- Where the chain ends, so that a cut-off tail is noticed. Its one row is also the lock under
-- which records are appended, so that their numbers have no gaps and each follows the last.
CREATE TABLE audit_head (
    single  boolean NOT NULL PRIMARY KEY CHECK (single),
    records bigint  NOT NULL CHECK (records >= 0),
    hash    text    NOT NULL
);

INSERT INTO audit_head (single, records, hash) VALUES (true, 0, repeat('0', 64));

-- These guard against accidents. Who means harm can drop them; the chain shows what they changed.
CREATE FUNCTION audit_records_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit records are neither changed nor deleted';
END
$$;

CREATE TRIGGER audit_records_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_records
    FOR EACH STATEMENT EXECUTE FUNCTION audit_records_stay();
