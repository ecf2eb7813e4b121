//! Names and texts inside SQL. PostgreSQL takes no parameters in `CREATE ROLE` and its kin, so they
//! are quoted here, and nowhere else.

/// A name as a quoted identifier (PostgreSQL manual, "Identifiers and Key Words": a double quote
/// inside is written twice).
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Several names, with commas between.
pub(crate) fn identifiers<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<_> = names.into_iter().map(identifier).collect();
    quoted.join(", ")
}

/// A name within a schema.
pub(crate) fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", identifier(schema), identifier(name))
}

/// A text as a string literal. Every session of ours has `standard_conforming_strings` on, so a
/// backslash means itself and only the single quote is written twice.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sqlx::{
        AssertSqlSafe, Column as _, ConnectOptions as _, Connection as _, PgConnection, Row as _,
        postgres::PgConnectOptions,
    };

    use super::*;

    #[test]
    fn quotes_what_needs_it() {
        assert_eq!(identifier(r#"a"; DROP ROLE x"#), r#""a""; DROP ROLE x""#);
        assert_eq!(qualified("s", "t"), r#""s"."t""#);
        assert_eq!(identifiers(["a", "b"]), r#""a", "b""#);
        assert_eq!(literal(r"it's \"), r"'it''s \'");
    }

    /// Anything but NUL, with more than its share of what ends quotes, comments and statements.
    fn hostile_text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            3 => prop::sample::select(vec![
                "'", "\"", "''", "\"\"", "\\", "\\'", ";", "--", "/*", "*/", "$$", "\n", "E'", "U&\"", "é", "%s", "{}",
            ])
            .prop_map(str::to_owned),
            1 => "[^\0]{1,4}",
        ];
        prop::collection::vec(piece, 1..12).prop_map(|pieces| pieces.concat())
    }

    /// What a real server takes a name and a text for.
    async fn understood(server: &mut PgConnection, name: &str, text: &str) -> (String, String) {
        let select = format!("SELECT {} AS {}", literal(text), identifier(name));
        let row = sqlx::raw_sql(AssertSqlSafe(select)).fetch_one(server).await.unwrap();
        (row.column(0).name().to_owned(), row.get(0))
    }

    #[test]
    fn a_server_reads_back_exactly_what_was_quoted() {
        let url = ebbgate_testkit_postgres::shared_url().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        // As every session of ours has it.
        let options: PgConnectOptions = url.parse().unwrap();
        let options = options.options([("standard_conforming_strings", "on")]);
        let server = runtime.block_on(options.connect()).unwrap();
        let server = std::cell::RefCell::new(server);
        // The server cuts longer names.
        let names = hostile_text().prop_filter("63 bytes", |name| name.len() <= 63);
        proptest!(|(name in names, text in hostile_text())| {
            let read = runtime.block_on(understood(&mut server.borrow_mut(), &name, &text));
            prop_assert_eq!(read, (name, text));
        });
        runtime.block_on(server.into_inner().close()).unwrap();
    }
}
