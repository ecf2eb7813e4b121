//! A file with a password, for libpq (<https://www.postgresql.org/docs/current/libpq-pgpass.html>) or
//! another client, that lives only until it was read: in a folder of its own, for its owner alone.

use std::{
    env,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context as _, Result};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::{files, output, random};

/// A password file; dropping it removes it.
pub(crate) struct PassFile {
    folder: PathBuf,
    path: PathBuf,
    /// Told once somebody has closed the file after reading; none if the system has no watch to
    /// spare, then the file stays until the end.
    read: Option<oneshot::Receiver<()>>,
}

impl PassFile {
    /// Writes the password for one server and user, as libpq reads it.
    ///
    /// # Errors
    /// As for [`PassFile::write`].
    pub(crate) fn libpq(host: &str, port: u16, user: &str, password: &str) -> Result<Self> {
        let line =
            Zeroizing::new(format!("{}:{port}:*:{}:{password}\n", escape(host), escape(user)));
        Self::write("pgpass", &line)
    }

    /// Writes a file of that name.
    ///
    /// # Errors
    /// The folder or the file can't be made; nothing stays then.
    pub(crate) fn write(name: &str, text: &str) -> Result<Self> {
        let folder = runtime_folder().join(format!("ebb-{}", random::token()?));
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let path = folder.join(name);
        let mut file = Self { folder, path, read: None };
        files::write_new(&file.path, text.as_bytes(), files::PRIVATE)
            .with_context(|| format!("cannot write {}", file.path.display()))?;
        file.read = watch(&file.path).ok();
        Ok(file)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until somebody has read it; for ever where that can't be told.
    pub(crate) async fn was_read(&mut self) {
        let told = match &mut self.read {
            Some(read) => read.await.is_ok(),
            None => false,
        };
        self.read = None;
        if !told {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for PassFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            output::warn(&format!("cannot remove {}: {error}", self.folder.display()));
        }
    }
}

/// Watches a file from a thread of its own, which ends when the file is read or removed.
fn watch(path: &Path) -> io::Result<oneshot::Receiver<()>> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
    inotify.add_watch(path, AddWatchFlags::IN_CLOSE_NOWRITE)?;
    let (sender, receiver) = oneshot::channel();
    thread::Builder::new().name("pgpass".to_owned()).spawn(move || {
        let read = inotify.read_events().is_ok_and(|events| {
            events.iter().any(|event| event.mask.contains(AddWatchFlags::IN_CLOSE_NOWRITE))
        });
        if read {
            // Nobody listens any more once the session is over.
            let _ = sender.send(());
        }
    })?;
    Ok(receiver)
}

/// Memory that nobody else sees, if the system has such a folder; else that for temporary files.
fn runtime_folder() -> PathBuf {
    let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_dir());
    runtime.unwrap_or_else(env::temp_dir)
}

/// A colon or a backslash is written with a backslash before it.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace(':', "\\:")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn on_runtime<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn it_is_private_told_when_read_and_gone_when_dropped() {
        on_runtime(async {
            let mut file = PassFile::libpq("::1", 5432, "ebb_1", "secret").unwrap();
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&file.folder), mode(file.path())), (0o700, 0o600));
            let early = futures_ready(file.was_read());
            assert!(!early, "nobody has read it yet");
            assert_eq!(fs::read_to_string(file.path()).unwrap(), "\\:\\:1:5432:*:ebb_1:secret\n");
            file.was_read().await;
            let folder = file.folder.clone();
            drop(file);
            assert!(!folder.exists());
        });
    }

    fn futures_ready(future: impl Future<Output = ()>) -> bool {
        let mut future = std::pin::pin!(future);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        future.as_mut().poll(&mut context).is_ready()
    }
}
