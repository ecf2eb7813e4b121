//! What the testkits for real servers share: as whom a server runs, how it is kept no longer than it
//! is wanted ([`Supervisor`]), its directory, its port, its log and its password.

mod account;
mod log;
mod supervisor;

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, Read as _},
    net::{Ipv4Addr, TcpListener},
    thread,
    time::Duration,
};

use tempfile::TempDir;

pub use account::Account;
pub use log::{Log, last_lines};
pub use supervisor::Supervisor;

/// Why something about a process did not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server must not run as root, and there is nobody else.
    #[error("the server must not run as root, and there is no account {accounts}")]
    NoAccount {
        /// Which ones would have done.
        accounts: String,
    },
    /// The machine did not play along.
    #[error("could not {doing}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// Says what was being done when `io::Error` came.
pub fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { doing, source }
}

/// A directory that belongs to `account`, gone when the value is.
///
/// # Errors
/// It can't be made or given away.
pub fn make_directory(prefix: &str, account: &Account) -> Result<TempDir, Error> {
    let directory = tempfile::Builder::new()
        .prefix(prefix)
        .tempdir()
        .map_err(io("make a directory for a server"))?;
    account.take(directory.path())?;
    Ok(directory)
}

/// Waits a moment before the next look at a condition.
pub fn pause() {
    thread::sleep(Duration::from_millis(20));
}

/// A port of 127.0.0.1 that nobody listens on now. Somebody may take it at any time.
///
/// # Errors
/// There is none.
pub fn free_port() -> Result<u16, Error> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(io("find a free port"))
}

/// A password: 128 random bits in hexadecimal.
///
/// # Errors
/// The kernel gives no randomness.
pub fn random_hex() -> Result<String, Error> {
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(io("read randomness"))?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// RFC 3986, section 2.1: everything but the unreserved characters.
pub fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_survives_any_password() {
        assert_eq!(percent_encoded("a@b:c/d?ü~1"), "a%40b%3Ac%2Fd%3F%C3%BC~1");
    }
}
