//! AWS credentials on disk for as long as they are valid, and one call to the broker however many
//! processes ask at once: SDKs run the helper for nearly every request when little time is left.
//!
//! Nothing here waits for the network or needs an async runtime.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use aws_lc_rs::digest;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    api::AwsCredentials,
    config::{Homes, Login},
    exit::{Exit, Stop, exit_of, one_line},
    files,
    lock::Lock,
};

/// How long files are kept after what is in them expired: long enough that no process still uses
/// its lock.
const KEPT_AFTER_EXPIRY: SignedDuration = SignedDuration::from_hours(24);

/// What is kept for a grant.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The grant that they were got from.
    pub(crate) grant: String,
    pub(crate) obtained_at: Timestamp,
    /// The grant ends with them: asking again would bring nothing that lasts longer.
    pub(crate) last: bool,
    pub(crate) credentials: AwsCredentials,
}

impl Entry {
    /// What was got now, knowing what was got before.
    pub(crate) fn new(
        grant: String,
        credentials: AwsCredentials,
        before: Option<&Self>,
        now: Timestamp,
    ) -> Self {
        let last = before.is_some_and(|before| {
            before.grant == grant && before.credentials.expiration >= credentials.expiration
        });
        Self { grant, obtained_at: now, last, credentials }
    }

    /// Whether they can be used at all.
    pub(crate) fn is_valid(&self, now: Timestamp) -> bool {
        now < self.credentials.expiration
    }

    /// Whether they can be used without asking for newer ones: until less than a minute, or less
    /// than a tenth of their life, is left; to their very end if the grant ends then too.
    pub(crate) fn is_fresh(&self, now: Timestamp) -> bool {
        let end = self.credentials.expiration;
        let tenth = self.obtained_at.duration_until(end) / 10;
        let window = tenth.min(SignedDuration::from_mins(1));
        self.is_valid(now) && (self.last || now.duration_until(end) > window)
    }
}

/// Why the call that others waited for failed; they fail with the same.
#[derive(Debug, Serialize, Deserialize)]
struct Failed {
    at: Timestamp,
    exit: Exit,
    message: String,
}

/// The place for one person's credentials of one grant at one broker.
#[derive(Debug)]
pub(crate) struct Slot {
    folder: PathBuf,
    key: String,
}

impl Slot {
    pub(crate) fn new(homes: &Homes, login: &Login, grant: &str) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(login.fingerprint().as_ref());
        context.update(grant.as_bytes());
        Self { folder: homes.creds(), key: hex::encode(context.finish()) }
    }

    fn entry_file(&self) -> PathBuf {
        self.folder.join(format!("{}.json", self.key))
    }

    /// What is kept; none also if it can't be understood, since it can be got anew.
    ///
    /// # Errors
    /// The file is there and can't be read.
    pub(crate) fn read(&self) -> Result<Option<Entry>> {
        let content = files::read(&self.entry_file())?.map(Zeroizing::new);
        Ok(content.and_then(|content| serde_json::from_slice(&content).ok()))
    }

    /// Forgets what is kept.
    ///
    /// # Errors
    /// The file can't be removed.
    pub(crate) fn clear(&self) -> Result<()> {
        files::remove(&self.entry_file()).map(drop)
    }

    /// Gives what is kept while it is fresh and `admits` it; else lets one process at a time
    /// `fetch` and keeps what it brings. Who waited for another's fetch gets what that brought,
    /// or its failure.
    ///
    /// # Errors
    /// What `fetch` failed with, here or in the process that was waited for; the folder or its
    /// files can't be used.
    pub(crate) fn get(
        &self,
        now: impl Fn() -> Timestamp,
        admits: impl Fn(&Entry) -> bool,
        fetch: impl FnOnce(Option<&Entry>) -> Result<Entry>,
    ) -> Result<Entry> {
        let came = now();
        files::private_folder(&self.folder)?;
        fs::set_permissions(&self.folder, Permissions::from_mode(0o700))
            .with_context(|| format!("cannot close {} to others", self.folder.display()))?;
        let mut lock = Lock::take(&self.folder.join(format!("{}.lock", self.key)), came)?;
        let before = self.read()?.filter(&admits);
        if let Some(entry) = &before
            && entry.is_fresh(now())
        {
            return Ok(entry.clone());
        }
        if let Some(failed) = failure_since(&mut lock, came)? {
            return Err(Stop::new(failed.exit, failed.message).into());
        }
        let fetched = fetch(before.as_ref());
        match &fetched {
            Ok(entry) => self.keep(entry)?,
            Err(error) => {
                let failed = Failed { at: now(), exit: exit_of(error), message: one_line(error) };
                lock.leave(&serde_json::to_vec(&failed).context("cannot write JSON")?)?;
            }
        }
        self.prune(now());
        fetched
    }

    fn keep(&self, entry: &Entry) -> Result<()> {
        // Large enough for any session token, so that growing leaves no copy behind.
        let mut text = Zeroizing::new(Vec::with_capacity(64 * 1024));
        serde_json::to_writer(&mut *text, entry).context("cannot write JSON")?;
        files::write_whole(&self.entry_file(), &text, files::PRIVATE)
    }

    /// Removes what expired long ago. It is housekeeping: whoever wants credentials gets them even
    /// if it fails, and the next one tries again.
    fn prune(&self, now: Timestamp) {
        let Ok(listing) = fs::read_dir(&self.folder) else {
            return;
        };
        for path in listing.flatten().map(|file| file.path()) {
            let modified = fs::metadata(&path).and_then(|data| data.modified()).ok();
            let modified = modified.and_then(|time| Timestamp::try_from(time).ok());
            if modified.is_some_and(|time| time.duration_until(now) > KEPT_AFTER_EXPIRY)
                && !is_still_valid(&path, now)
            {
                let _ = fs::remove_file(&path);
            }
        }
    }
}

/// The failure of the process that we waited for, if it failed after we came.
fn failure_since(lock: &mut Lock, came: Timestamp) -> Result<Option<Failed>> {
    if !lock.had_to_wait() {
        return Ok(None);
    }
    // Nothing, or the rest of a process that died while it wrote, is no failure to share.
    let failed: Option<Failed> = serde_json::from_slice(&lock.read()?).ok();
    Ok(failed.filter(|failed| failed.at >= came))
}

fn is_still_valid(path: &Path, now: Timestamp) -> bool {
    let content = fs::read(path).map(Zeroizing::new).ok();
    let entry = content.and_then(|content| serde_json::from_slice::<Entry>(&content).ok());
    entry.is_some_and(|entry| entry.is_valid(now))
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::fs::MetadataExt as _,
        sync::{
            Barrier,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use rstest::rstest;

    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-03-04T{text}Z").parse().unwrap()
    }

    fn credentials(expiration: Timestamp) -> AwsCredentials {
        AwsCredentials {
            access_key_id: "ASIA".into(),
            secret_access_key: "hush".into(),
            session_token: "hush too".into(),
            expiration,
        }
    }

    /// Got at noon.
    fn entry(expiration: &str) -> Entry {
        Entry::new("grt_1".into(), credentials(at(expiration)), None, at("12:00:00"))
    }

    #[rstest]
    #[case::an_hour_to_the_last_minute("13:00:00", "12:58:59", true)]
    #[case::not_within_it("13:00:00", "12:59:00", false)]
    #[case::five_minutes_to_the_last_tenth("12:05:00", "12:04:29", true)]
    #[case::not_within_that("12:05:00", "12:04:30", false)]
    fn is_fresh_until_little_is_left(#[case] end: &str, #[case] now: &str, #[case] fresh: bool) {
        assert_eq!(entry(end).is_fresh(at(now)), fresh);
    }

    #[test]
    fn the_grants_last_credentials_are_fresh_to_their_end() {
        let before = entry("12:30:00");
        let again =
            Entry::new("grt_1".into(), credentials(at("12:30:00")), Some(&before), at("12:29:30"));
        assert!(again.is_fresh(at("12:29:59")) && !again.is_fresh(at("12:30:00")));
        let renewed =
            Entry::new("grt_1".into(), credentials(at("13:00:00")), Some(&before), at("12:29:30"));
        assert!(!renewed.last);
        let other =
            Entry::new("grt_2".into(), credentials(at("12:30:00")), Some(&before), at("12:29:30"));
        assert!(!other.last);
    }

    fn slot(folder: &tempfile::TempDir) -> Slot {
        Slot { folder: folder.path().join("creds"), key: "k".into() }
    }

    #[test]
    fn what_was_got_is_kept_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let slot = slot(&folder);
        let noon = || at("12:00:00");
        slot.get(
            noon,
            |_| true,
            |before| {
                assert!(before.is_none());
                Ok(entry("13:00:00"))
            },
        )
        .unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&slot.folder), 0o700);
        for file in fs::read_dir(&slot.folder).unwrap() {
            assert_eq!(mode(&file.unwrap().path()), 0o600);
        }
        let kept = slot.get(noon, |_| true, |_| panic!("it is kept")).unwrap();
        assert_eq!(kept.credentials.expiration, at("13:00:00"));
        let mut asked = false;
        slot.get(
            || at("12:59:30"),
            |_| true,
            |before| {
                asked = true;
                Ok(before.unwrap().clone())
            },
        )
        .unwrap();
        assert!(asked, "little is left");
    }

    #[test]
    fn many_at_once_fetch_once() {
        let folder = tempfile::tempdir().unwrap();
        let (calls, start) = (AtomicUsize::new(0), Barrier::new(8));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    start.wait();
                    let fetch = |_: Option<&Entry>| {
                        calls.fetch_add(1, Ordering::SeqCst);
                        Ok(entry("13:00:00"))
                    };
                    slot(&folder).get(|| at("12:00:00"), |_| true, fetch).unwrap();
                });
            }
        });
        assert_eq!(calls.into_inner(), 1);
    }

    #[test]
    fn who_waited_for_a_failure_fails_alike_and_who_comes_later_tries_again() {
        let folder = tempfile::tempdir().unwrap();
        let (slot, waiting) = (slot(&folder), slot(&folder));
        let lock_file = slot.folder.join("k.lock");
        let refuse = |_: Option<&Entry>| Err(Stop::new(Exit::EXPIRED, "it is over").into());
        std::thread::scope(|scope| {
            let mut waiter = None;
            let fetch = |before: Option<&Entry>| {
                waiter = Some(scope.spawn(|| {
                    waiting.get(|| at("12:00:00"), |_| true, |_| panic!("it waited for a failure"))
                }));
                // Linux lists who waits for a lock behind an arrow, with the file's inode.
                let inode = fs::metadata(&lock_file).unwrap().ino();
                let waits =
                    |line: &str| line.contains("->") && line.contains(&format!(":{inode} "));
                while !fs::read_to_string("/proc/locks").unwrap().lines().any(waits) {
                    std::thread::yield_now();
                }
                refuse(before)
            };
            slot.get(|| at("12:00:00"), |_| true, fetch).unwrap_err();
            let error = waiter.unwrap().join().unwrap().unwrap_err();
            assert_eq!((exit_of(&error), one_line(&error)), (Exit::EXPIRED, "it is over".into()));
        });
        slot.get(|| at("12:00:02"), |_| true, |_| Ok(entry("13:00:00"))).unwrap();
    }

    #[test]
    fn a_damaged_file_is_got_anew() {
        let folder = tempfile::tempdir().unwrap();
        let slot = slot(&folder);
        fs::create_dir_all(&slot.folder).unwrap();
        fs::write(slot.entry_file(), "{").unwrap();
        assert!(slot.read().unwrap().is_none());
        slot.get(|| at("12:00:00"), |_| true, |_| Ok(entry("13:00:00"))).unwrap();
        assert!(slot.read().unwrap().is_some());
    }
}
