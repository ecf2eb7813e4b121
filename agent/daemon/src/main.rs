//! `ebbgate-agent`: the light daemon beside the resources. It takes orders over a stream that it
//! opens itself, keeps its own journal, and ends what it gave on its own timers.

mod check;
mod clock;
mod command;
mod convert;
mod effects;
mod enroll;
mod files;
mod identity;
mod journal;
mod keeper;
mod renewal;
mod run;
mod sessions;
mod settings;
mod status;
mod sweep;
mod telemetry;
#[cfg(test)]
mod testing;
mod tls;
mod token;
mod trust;
mod uplink;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let command = command::Cli::parse();
    telemetry::start();
    if tls::provider().install_default().is_err() {
        eprintln!("error: another TLS provider was installed first");
        return ExitCode::FAILURE;
    }
    // Two threads: the agent waits far more than it works, and it runs beside a database.
    let runtime =
        match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                eprintln!("error: cannot start: {error}");
                return ExitCode::FAILURE;
            }
        };
    let result = runtime.block_on(command.execute());
    // What still hangs, a look-up of a host's name perhaps, is not waited for.
    runtime.shutdown_background();
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
