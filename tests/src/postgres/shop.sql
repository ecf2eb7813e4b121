-- What people ask for access to.
CREATE TABLE orders (
    id bigint PRIMARY KEY,
    customer text NOT NULL,
    cents bigint NOT NULL
);
INSERT INTO orders
SELECT n, 'customer ' || n % 7, n * 125 FROM generate_series(1, 100) AS n;
