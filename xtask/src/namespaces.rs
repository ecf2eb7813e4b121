//! Whether this machine lets us make network namespaces, for the tests that put broker and agent on
//! networks of their own.

use crate::run::command;

/// Why not, in words for people; none where it does. The same commands as the tests'.
pub(crate) fn refused() -> Option<String> {
    let as_root = command("id").arg("-u").output().is_ok_and(|id| id.stdout.trim_ascii() == b"0");
    let new_user: &[&str] = if as_root { &[] } else { &["--user", "--map-root-user"] };
    let mut unshare = command("unshare");
    unshare.arg("--net").args(new_user);
    unshare.args(["--", "sh", "-c", "ip link set lo up && ip link add a type veth peer name b"]);
    match unshare.output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Some(format!("network namespaces or `ip` of iproute2 are not to be had: {said}"))
        }
        Err(error) => Some(format!("`unshare` of util-linux does not start: {error}")),
    }
}
