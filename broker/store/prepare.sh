#!/usr/bin/env bash
# Writes .sqlx in both stores anew: what their checked SQL was checked against, so that building
# needs no database. For developers, after a change to a query or a migration.
#
# Both databases must be empty; the migrations are applied here. For example:
#   EBBGATE_SQLITE_DATABASE_URL=sqlite://$PWD/prepare.db \
#   EBBGATE_POSTGRES_DATABASE_URL=postgres://postgres:PASSWORD@127.0.0.1:5432/prepare \
#   broker/store/prepare.sh
set -euo pipefail
cd "$(dirname "$0")"
: "${EBBGATE_SQLITE_DATABASE_URL:?an empty SQLite database, sqlite:///PATH}"
: "${EBBGATE_POSTGRES_DATABASE_URL:?an empty PostgreSQL database, postgres://…}"

migrate_sqlite() {
    local file=${EBBGATE_SQLITE_DATABASE_URL#sqlite:}
    cat ../../migrations/sqlite/*.sql | sqlite3 -bail "${file#//}"
}

migrate_postgres() {
    cat ../../migrations/postgres/*.sql \
        | psql --quiet --no-psqlrc -v ON_ERROR_STOP=1 "$EBBGATE_POSTGRES_DATABASE_URL"
}

for store in sqlite postgres; do
    "migrate_$store"
    fresh=$(mktemp -d "$store/.sqlx-new.XXXXXX")
    trap 'rm -rf "$fresh"' EXIT
    # Cargo does not know that the variables matter to the macros, so it must see a changed file.
    touch "$store/src/lib.rs"
    SQLX_OFFLINE=false SQLX_OFFLINE_DIR=$(realpath "$fresh") \
        cargo check --tests --package "ebbgate-broker-store-$store"
    chmod 755 "$fresh"
    rm -rf "$store/.sqlx"
    mv "$fresh" "$store/.sqlx"
    echo "$store: $(find "$store/.sqlx" -name '*.json' | wc -l) queries"
done
