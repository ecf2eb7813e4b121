//! Ports that stay ours: a broker that is killed and started again needs the same port, which
//! neither another world nor an outgoing connection may take meanwhile.

use std::{
    env, fs,
    fs::{File, TryLockError},
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

use anyhow::{Context as _, Result, bail};

/// Below Linux's range for outgoing connections (32768 to 60999), above what services use.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// A port of 127.0.0.1, reserved among all test processes of this account for as long as it lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _reserved: File,
}

impl Port {
    /// Reserves a port that nobody listens on.
    ///
    /// # Errors
    /// When the file that marks a reservation can't be made, or all ports are taken.
    pub fn reserve() -> Result<Self> {
        let folder = env::temp_dir().join(format!("ebbgate-ports-{}", nix::unistd::getuid()));
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let count = RANGE.end - RANGE.start;
        let begin = std::process::id() as u16 % count;
        // 61 is coprime to the count, so that all ports come up, neighbours late.
        for step in 0..count {
            let offset = (u32::from(begin) * 7 + u32::from(step) * 61) % u32::from(count);
            let number = RANGE.start + offset as u16;
            let path = folder.join(number.to_string());
            let file = File::create(&path).with_context(|| format!("make {}", path.display()))?;
            match file.try_lock() {
                Ok(()) if TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() => {
                    return Ok(Self { number, _reserved: file });
                }
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error).context("reserve a port"),
            }
        }
        bail!("all ports of {RANGE:?} are taken")
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// The address to listen on and to connect to.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_reservations_never_meet() {
        let ports: Vec<Port> = (0..50).map(|_| Port::reserve().unwrap()).collect();
        let distinct: std::collections::BTreeSet<u16> = ports.iter().map(Port::number).collect();
        assert_eq!(distinct.len(), 50);
    }
}
