//! The committed object is what its source compiles to.

use crate::net::requires;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/dataplane/xdp/bpf");

/// A folder that ends with the test.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is in the directory for temporary files anyway.
        _ = fs::remove_dir_all(&self.0);
    }
}

/// The tools that made the object.
fn lack() -> Option<&'static str> {
    let says = |program: &str, version: &str| {
        let output = Command::new(program).arg("--version").output();
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(version))
    };
    let tools = [("make", "Make", "the program `make`"), ("clang", "version 14.", "clang 14")];
    let strip = ("llvm-strip", "version 14.", "llvm-strip 14");
    tools.into_iter().chain([strip]).find(|(program, version, _)| !says(program, version)).map(|(.., what)| what)
}

#[test]
fn the_object_is_what_its_source_compiles_to() {
    if !requires(lack()) {
        return;
    }
    let folder = Folder(env::temp_dir().join(format!("hairpin-xdp-{}", std::process::id())));
    fs::create_dir_all(&folder.0).unwrap();
    let sources = fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().file_name());
    for name in sources.filter(|name| name != "relay.bpf.o") {
        fs::copy(Path::new(FOLDER).join(&name), folder.0.join(&name)).unwrap();
    }
    let output = Command::new("make").arg("-C").arg(&folder.0).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "no warnings: {}", String::from_utf8_lossy(&output.stderr));
    let object = |folder: &Path| fs::read(folder.join("relay.bpf.o")).unwrap();
    let is_same = object(&folder.0) == object(Path::new(FOLDER));
    assert!(
        is_same,
        "relay.bpf.o is not what its source compiles to: run `make -C src/dataplane/xdp/bpf`, and commit both"
    );
}
