//! Tells the story: what is done, by whom, when; in colour on a terminal only.

use std::{
    io::{IsTerminal as _, Write as _, stdout},
    time::Instant,
};

use anyhow::Result;
use ebbgate_tests::{ebb::Ebb, process::Output};

/// Who tells it.
pub(crate) struct Narrator {
    begin: Instant,
    colour: bool,
}

impl Narrator {
    /// Starts the clock.
    pub(crate) fn begin() -> Self {
        let colour = stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { begin: Instant::now(), colour }
    }

    /// A new part of the story.
    pub(crate) fn chapter(&self, title: &str) {
        self.write(&format!("\n{}\n", self.paint("1;36", title)));
    }

    /// Something that happened.
    pub(crate) fn event(&self, text: &str) {
        self.write(&format!("{} {text}\n", self.moment()));
    }

    /// Something to know, with its name before it.
    pub(crate) fn fact(&self, name: &str, text: &str) {
        self.write(&format!(
            "{} {} {text}\n",
            self.moment(),
            self.paint("1", &format!("{name:<16}"))
        ));
    }

    /// Somebody types a command; what it says is shown. Fails when the command does.
    pub(crate) async fn run(&self, who: &str, ebb: &Ebb, arguments: &[&str]) -> Result<String> {
        self.typed(who, &format!("ebb {}", shell(arguments)));
        let output = ebb.run(arguments).await?;
        self.said(&output);
        output.success()
    }

    /// Somebody types a command.
    pub(crate) fn typed(&self, who: &str, command: &str) {
        let line = format!("{} {}", self.paint("1", &format!("{who}$")), self.paint("33", command));
        self.event(&line);
    }

    /// What a command said.
    pub(crate) fn said(&self, output: &Output) {
        for line in output.stdout.lines().chain(output.stderr.lines()) {
            self.write(&format!("             {}\n", line.trim_end()));
        }
    }

    /// A step that failed.
    pub(crate) fn failed(&self, why: &str) {
        self.write(&format!("\n{} {why}\n", self.paint("1;31", "FAILED:")));
    }

    fn moment(&self) -> String {
        self.paint("2", &format!("{:>7.2} s ", self.begin.elapsed().as_secs_f64()))
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn write(&self, text: &str) {
        // Whoever listens may have gone (`| head`); the story is played to its end all the same.
        let mut out = stdout().lock();
        let _ignored = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

/// Arguments as one would type them.
pub(crate) fn shell(arguments: &[&str]) -> String {
    let quoted = arguments.iter().map(|argument| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%".contains(c);
        if argument.chars().all(plain) { (*argument).to_owned() } else { format!("'{argument}'") }
    });
    quoted.collect::<Vec<_>>().join(" ")
}
