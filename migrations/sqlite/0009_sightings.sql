-- When each resource was first and last in the inventory. It decides nothing, and is not sealed.
CREATE TABLE sightings (
    resource TEXT NOT NULL PRIMARY KEY,
    first_ns INTEGER NOT NULL,
    last_ns  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
