-- Flows that administrators applied: each set that ever was. The id is its number, with zeros before
-- it, so that the order of ids is that of numbers.
CREATE TABLE flow_sets (
    id       TEXT NOT NULL PRIMARY KEY,
    document TEXT NOT NULL,
    seal     TEXT
) STRICT, WITHOUT ROWID;
