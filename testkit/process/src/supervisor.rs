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

/// `$1` is the directory to remove, `$2` the signals that end the command when we are gone, the rest
/// the command. Job control is off, so the command starts with INT and QUIT ignored.
const SCRIPT: &str = r#"
directory=$1; signals=$2; shift 2
"$@" 1>&2 &
echo $!
if read -r signal; then
    kill -s "$signal" $!
    wait $!
else
    for signal in $signals; do kill -s "$signal" $!; done
    wait $!
    rm -rf "$directory"
fi
"#;

/// A command that runs under supervision.
#[derive(Debug)]
pub struct Supervisor {
    shell: Child,
    /// None once the shell was told to end it.
    orders: Option<ChildStdin>,
    pid: u32,
}

impl Supervisor {
    /// Starts `command`; its output goes to `log`. When we are gone, it gets `last_signals` (such as
    /// `TERM QUIT`), one after the other, and `directory` is removed.
    ///
    /// # Errors
    /// The shell can't be started.
    pub fn start(
        command: &[String],
        directory: &Path,
        last_signals: &str,
        log: File,
    ) -> Result<Self, Error> {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "sh"])
            .arg(directory)
            .arg(last_signals)
            .args(command)
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            // Ctrl-C at a terminal is for the tests; the shell must live to clean up after them.
            .process_group(0)
            .spawn()
            .map_err(io("start the shell that supervises a server"))?;
        let orders = shell.stdin.take();
        let mut line = String::new();
        if let Some(stdout) = shell.stdout.take() {
            BufReader::new(stdout)
                .read_line(&mut line)
                .map_err(io("read from the shell that supervises a server"))?;
        }
        let pid = line
            .trim()
            .parse()
            .map_err(|cause| io("read a server's process id")(std::io::Error::other(cause)))?;
        Ok(Self { shell, orders, pid })
    }

    /// The command's process id. Nobody else gets it while this value lives: the shell collects
    /// the dead only when it is told to.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether the command runs: whether it is no zombie, since nobody collects it. Its state
    /// follows its name, which stands in parentheses (proc(5), /proc/pid/stat).
    pub fn is_running(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
    }

    /// Sends a signal (`INT`, `KILL`, …) and waits for the command's end.
    ///
    /// # Errors
    /// The shell can't be told, or waited for.
    pub fn end(mut self, signal: &str) -> Result<(), Error> {
        if let Some(mut orders) = self.orders.take() {
            writeln!(orders, "{signal}").map_err(io("tell the shell to stop a server"))?;
        }
        self.shell.wait().map_err(io("wait for a server's end"))?;
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
