//! A new migration must rebuild the crate, which embeds them.

fn main() {
    println!("cargo:rerun-if-changed=../../../migrations/sqlite");
}
