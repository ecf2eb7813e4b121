//! `cargo xtask test`: installs what is missing, builds everything once, and runs all tests.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::{
    namespaces,
    run::{announce, cargo, ours, step, works},
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
    let smtp_python = tools::smtp_server()?;
    let (mariadb, mariadb_plugins) = tools::mariadb()?;
    // Half a gigabyte and two minutes: not for those who want something else.
    let wants_localstack = filter.is_empty() || filter.iter().any(|f| f.contains("localstack"));
    let localstack = wants_localstack.then(tools::localstack).transpose()?;
    // The connector's suite, once for each: not for those who want something else.
    let wants_versions = filter.is_empty() || filter.iter().any(|f| f.contains("postgres"));
    let versions = wants_versions.then(tools::usual_postgres_versions).transpose()?;
    step("build", cargo().args(["build", "--workspace", "--all-targets"]))?;

    let no_namespaces = namespaces::refused();
    let under_testbed = |what: &str, arguments: &[&str]| {
        let mut testbed = ours("debug", "ebbgate-testbed");
        testbed.arg("--").arg(cargo().get_program()).args(arguments).args(filter);
        testbed.env("EBBGATE_PG_BIN", &postgres).env("EBBGATE_AWS_CLI", &aws_cli);
        testbed.env("EBBGATE_FAKETIME", &faketime).env("EBBGATE_PGBOUNCER", &pgbouncer);
        testbed.env("EBBGATE_SMTP_PYTHON", &smtp_python);
        testbed.env("EBBGATE_MARIADB_BIN", &mariadb);
        testbed.env("EBBGATE_MARIADB_PLUGINS", &mariadb_plugins);
        if let Some(reason) = &no_namespaces {
            testbed.env("EBBGATE_NO_NAMESPACES", reason);
        }
        if let Some(python) = &localstack {
            testbed.env("EBBGATE_LOCALSTACK_PYTHON", python);
        }
        step(what, &mut testbed)
    };
    for folder in versions.unwrap_or_default() {
        connector_suite(&folder, &pgbouncer, &[])?;
    }
    all_tests(filter, under_testbed)?;
    if let Some(reason) = no_namespaces {
        announce(&format!("NOT TESTED: broker and agent on networks of their own: {reason}"));
    }
    Ok(())
}

fn all_tests(filter: &[String], run: impl Fn(&str, &[&str]) -> Result<()>) -> Result<()> {
    if works("cargo-nextest", "--version") {
        // Most of the time end-to-end tests wait for a deadline: two of them share a core well.
        let at_once = std::thread::available_parallelism().map_or(2, |cores| cores.get() * 2);
        let at_once = at_once.to_string();
        run("tests", &["nextest", "run", "--workspace", "--test-threads", &at_once])?;
        if filter.is_empty() {
            // nextest leaves the examples in documentation to cargo.
            step("doctests", cargo().args(["test", "--quiet", "--workspace", "--doc"]))?;
        }
        return Ok(());
    }
    match filter.len() {
        0 | 1 => run("tests", &["test", "--workspace"]),
        _ => run("tests", &["test", "--workspace", "--"]),
    }
}

/// Runs the PostgreSQL connector's own suite on each of these major versions, and nothing else; all
/// are tried, whatever the first says.
///
/// # Errors
/// When a version can't be had, or a test fails.
pub(crate) fn run_on_postgres(majors: &[u32], filter: &[String]) -> Result<()> {
    let pgbouncer = tools::pgbouncer()?;
    let failed: Vec<String> = tools::postgres_versions(majors)?
        .iter()
        .filter_map(|folder| connector_suite(folder, &pgbouncer, filter).err())
        .map(|error| format!("{error:#}"))
        .collect();
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

fn connector_suite(folder: &Path, pgbouncer: &Path, filter: &[String]) -> Result<()> {
    // By cargo itself: all tests in one process share one server.
    let mut suite = cargo();
    suite.args(["test", "--quiet", "--workspace", "--test", "real_postgres", "--"]).args(filter);
    suite.env("EBBGATE_PG_BIN", folder).env("EBBGATE_PGBOUNCER", pgbouncer);
    step(&format!("PostgreSQL in {}", folder.display()), &mut suite)
}
