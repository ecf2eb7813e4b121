//! The checked-in bindings are what the .proto file says. `UPDATE_PROTO=1 cargo test -p
//! ebbgate-proto` writes them anew.

use std::{fs, path::Path};

#[test]
fn bindings_are_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let descriptors = protox::compile(["ebbgate/agent/v1/agent.proto"], [root]).unwrap();
    let out = tempfile::tempdir().unwrap();
    tonic_prost_build::configure().out_dir(out.path()).compile_fds(descriptors).unwrap();

    let name = "ebbgate.agent.v1.rs";
    let fresh = fs::read_to_string(out.path().join(name)).unwrap();
    let checked_in = root.join("src/generated").join(name);
    if std::env::var_os("UPDATE_PROTO").is_some() {
        fs::write(&checked_in, &fresh).unwrap();
    }
    let same = fs::read_to_string(&checked_in).unwrap() == fresh;
    assert!(same, "the .proto file changed: run UPDATE_PROTO=1 cargo test -p ebbgate-proto");
}
