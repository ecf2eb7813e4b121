-- Flows that administrators applied: each set that ever was. The id is its number, with zeros before
-- it, so that the order of ids is that of numbers.
CREATE TABLE flow_sets (
    id       text COLLATE "C" NOT NULL PRIMARY KEY,
    document text NOT NULL,
    seal     text
);
