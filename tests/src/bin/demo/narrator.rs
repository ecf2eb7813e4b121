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

    /// Somebody types `ebb …`; what it says is shown. Fails when the command does.
    pub(crate) async fn run(&self, who: &str, ebb: &Ebb, arguments: &[&str]) -> Result<String> {
        let typed = format!("ebb {}", shell(arguments));
        self.exchange(who, &typed, ebb.run(arguments)).await?.success()
    }

    /// Somebody types a command; it is shown with its answer when that is there, in one piece, since
    /// others type meanwhile. The moment told is when it was typed.
    pub(crate) async fn exchange(
        &self,
        who: &str,
        typed: &str,
        answer: impl Future<Output = Result<Output>>,
    ) -> Result<Output> {
        let moment = self.moment();
        let output = answer.await?;
        let typed = self.prompt(who, typed);
        self.write(&format!("{moment} {typed}\n{}", indented(&output)));
        Ok(output)
    }

    /// Somebody types a command.
    pub(crate) fn typed(&self, who: &str, command: &str) {
        self.event(&self.prompt(who, command));
    }

    /// Something that happened to a command that was typed before, and what it said.
    pub(crate) fn ended(&self, text: &str, output: &Output) {
        self.write(&format!("{} {text}\n{}", self.moment(), indented(output)));
    }

    /// A step that failed.
    pub(crate) fn failed(&self, why: &str) {
        self.write(&format!("\n{} {why}\n", self.paint("1;31", "FAILED:")));
    }

    fn prompt(&self, who: &str, command: &str) -> String {
        format!("{} {}", self.paint("1", &format!("{who}$")), self.paint("33", command))
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

/// What a command said, set in.
fn indented(output: &Output) -> String {
    let lines = output.stdout.lines().chain(output.stderr.lines()).map(str::trim_end);
    lines.filter(|line| !line.is_empty()).map(|line| format!("{:13}{line}\n", "")).collect()
}

/// Arguments as one would type them.
pub(crate) fn shell(arguments: &[&str]) -> String {
    let quoted = arguments.iter().map(|argument| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%".contains(c);
        if argument.chars().all(plain) { (*argument).to_owned() } else { format!("'{argument}'") }
    });
    quoted.collect::<Vec<_>>().join(" ")
}
