//! `cargo xtask test`: installs what is missing, builds everything once, and runs all tests.

use anyhow::Result;

use crate::{
    run::{cargo, ours, step, works},
    tools,
};

/// Runs the tests whose names contain one of `filter`; all where it is empty.
///
/// # Errors
/// When something can't be installed or built, or a test fails.
pub(crate) fn run(filter: &[String]) -> Result<()> {
    let postgres = tools::postgres()?;
    let aws_cli = tools::aws_cli()?;
    let faketime = tools::faketime()?;
    let pgbouncer = tools::pgbouncer()?;
    let (mariadb, mariadb_plugins) = tools::mariadb()?;
    // Half a gigabyte and two minutes: not for those who want something else.
    let wants_localstack = filter.is_empty() || filter.iter().any(|f| f.contains("localstack"));
    let localstack = wants_localstack.then(tools::localstack).transpose()?;
    // The connector's suite, once for each: not for those who want something else.
    let wants_versions = filter.is_empty() || filter.iter().any(|f| f.contains("postgres"));
    let versions = wants_versions.then(tools::other_postgres_versions).transpose()?;
    step("build", cargo().args(["build", "--workspace", "--all-targets"]))?;

    let under_testbed = |what: &str, arguments: &[&str]| {
        let mut testbed = ours("debug", "ebbgate-testbed");
        testbed.arg("--").arg(cargo().get_program()).args(arguments).args(filter);
        testbed.env("EBBGATE_PG_BIN", &postgres).env("EBBGATE_AWS_CLI", &aws_cli);
        testbed.env("EBBGATE_FAKETIME", &faketime).env("EBBGATE_PGBOUNCER", &pgbouncer);
        testbed.env("EBBGATE_MARIADB_BIN", &mariadb);
        testbed.env("EBBGATE_MARIADB_PLUGINS", &mariadb_plugins);
        if let Some(python) = &localstack {
            testbed.env("EBBGATE_LOCALSTACK_PYTHON", python);
        }
        step(what, &mut testbed)
    };
    for folder in versions.unwrap_or_default() {
        // By cargo itself: all tests in one process share one server.
        let mut suite = cargo();
        suite.args(["test", "--quiet", "--workspace", "--test", "real_postgres"]);
        suite.env("EBBGATE_PG_BIN", &folder).env("EBBGATE_PGBOUNCER", &pgbouncer);
        step(&format!("PostgreSQL in {}", folder.display()), &mut suite)?;
    }
    if works("cargo-nextest", "--version") {
        // Most of the time end-to-end tests wait for a deadline: two of them share a core well.
        let at_once = std::thread::available_parallelism().map_or(2, |cores| cores.get() * 2);
        let at_once = at_once.to_string();
        under_testbed("tests", &["nextest", "run", "--workspace", "--test-threads", &at_once])?;
        if filter.is_empty() {
            // nextest leaves the examples in documentation to cargo.
            step("doctests", cargo().args(["test", "--quiet", "--workspace", "--doc"]))?;
        }
        return Ok(());
    }
    match filter.len() {
        0 | 1 => under_testbed("tests", &["test", "--workspace"]),
        _ => under_testbed("tests", &["test", "--workspace", "--"]),
    }
}
