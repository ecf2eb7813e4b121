-- Who speaks in whose place, until when. `until_ns` is when it ends, or ended before its time.
CREATE TABLE delegations (
    id       TEXT    NOT NULL PRIMARY KEY,
    version  INTEGER NOT NULL CHECK (version >= 1),
    until_ns INTEGER NOT NULL,
    document TEXT    NOT NULL,
    seal     TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX delegations_until ON delegations (until_ns);
