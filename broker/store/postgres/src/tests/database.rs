//! A database for each test, on the server that this process's tests share.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use ebbgate_broker_store_common::SealKeyFile;
use ebbgate_testkit_postgres::shared_url;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tempfile::TempDir;

/// A database for one test, dropped with it.
pub(super) struct TestDatabase {
    pub(super) name: String,
    directory: TempDir,
}

impl TestDatabase {
    pub(super) async fn create() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ebbgate_test_{}_{number}", std::process::id());
        as_superuser(&format!("CREATE DATABASE {name}")).await.unwrap();
        Self { name, directory: tempfile::tempdir().unwrap() }
    }

    /// Where its seals' key lies.
    pub(super) fn key(&self) -> SealKeyFile {
        SealKeyFile::in_dir(self.directory.path())
    }

    pub(super) fn url(&self) -> String {
        let (server, query) = server_url();
        let (server, _) = server.rsplit_once('/').unwrap();
        format!("{server}/{}{query}", self.name)
    }

    /// What somebody with a superuser's password would do.
    pub(super) async fn by_hand(&self, sql: &str) -> Result<(), sqlx::Error> {
        run(&self.url(), sql).await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        // The test's own runtime cannot be waited for in here.
        let dropped = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(as_superuser(&sql))
        });
        if !thread::panicking() {
            dropped.join().unwrap().unwrap();
        }
    }
}

/// The superuser's URL, and what follows its `?`.
fn server_url() -> (&'static str, String) {
    let url = shared_url().unwrap();
    match url.split_once('?') {
        Some((url, query)) => (url, format!("?{query}")),
        None => (url, String::new()),
    }
}

async fn as_superuser(sql: &str) -> Result<(), sqlx::Error> {
    let (url, query) = server_url();
    run(&format!("{url}{query}"), sql).await
}

async fn run(url: &str, sql: &str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    connection.close().await
}
