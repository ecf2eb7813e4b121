-- Who speaks in whose place, until when. `until_ns` is when it ends, or ended before its time.
CREATE TABLE delegations (
    id       text COLLATE "C" NOT NULL PRIMARY KEY,
    version  bigint NOT NULL CHECK (version >= 1),
    until_ns bigint NOT NULL,
    document text   NOT NULL,
    seal     text
);

CREATE INDEX delegations_until ON delegations (until_ns);
