//! Keeps a server no longer than it is wanted.
//!
//! A test's process may panic, be killed, or end with the server still in a `static`, which is
//! never dropped. So the server's parent is a small shell that reads from a pipe whose other end
//! only we hold: a line names the signal to stop it with; the end of the pipe means that we are
//! gone, and then the server and its directory go too. The kernel's parent-death signal would not
//! do: it is sent when the *thread* ends that started the child, and a test is a thread.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use crate::{Error, io};

/// `$1` is the directory to remove, the rest the command. What it holds is removed with it, so that
/// it may as well be killed.
const SCRIPT: &str = r#"
directory=$1; shift
"$@" 1>&2 &
echo $!
if read -r signal; then
    kill -s "$signal" $!
    wait $!
else
    kill -s KILL $!
    wait $!
    rm -rf "$directory"
fi
"#;

/// A command that runs under supervision.
#[derive(Debug)]
pub(crate) struct Supervisor {
    shell: Child,
    /// None once the shell was told to end it.
    orders: Option<ChildStdin>,
    /// Nobody else gets this number while this value lives: the shell collects the dead only when it
    /// is told to.
    pid: u32,
}

impl Supervisor {
    /// Starts `command`; its output goes to `log`.
    pub(crate) fn start(command: &[String], directory: &Path, log: File) -> Result<Self, Error> {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "sh"])
            .arg(directory)
            .args(command)
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            // Ctrl-C at a terminal is for the tests; the shell must live to clean up after them.
            .process_group(0)
            .spawn()
            .map_err(io("start the shell that supervises MariaDB"))?;
        let orders = shell.stdin.take();
        let mut line = String::new();
        if let Some(stdout) = shell.stdout.take() {
            BufReader::new(stdout)
                .read_line(&mut line)
                .map_err(io("read from the shell that supervises MariaDB"))?;
        }
        let pid = line.trim().parse().map_err(|cause| Error::Io {
            doing: "read MariaDB's process id",
            source: std::io::Error::other(cause),
        })?;
        Ok(Self { shell, orders, pid })
    }

    /// Whether the command runs: whether it is no zombie, since nobody collects it. Its state
    /// follows its name, which stands in parentheses (proc(5), /proc/pid/stat).
    pub(crate) fn is_running(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
    }

    /// Sends a signal (`TERM`, `KILL`) and waits for the command's end.
    pub(crate) fn end(mut self, signal: &str) -> Result<(), Error> {
        if let Some(mut orders) = self.orders.take() {
            writeln!(orders, "{signal}").map_err(io("tell the shell to stop MariaDB"))?;
        }
        self.shell.wait().map_err(io("wait for MariaDB's end"))?;
        Ok(())
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // Closing the pipe is the order. Waiting is for tidiness only: it cannot fail in a way
        // that anybody could mend here.
        drop(self.orders.take());
        let _ = self.shell.wait();
    }
}
