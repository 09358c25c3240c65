//! What a machine holds: a file system in memory, made of programs of this machine and modules of a kernel.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Kinds of entries, with what everybody may do with them (`cpio(5)`).
const FOLDER: u32 = 0o040_755;
const FILE: u32 = 0o100_755;

/// Files to be, in the format that the kernel unpacks when it starts.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    known: BTreeSet<PathBuf>,
    modules: Vec<String>,
}

impl Archive {
    /// Adds a file, and the folders above it.
    pub fn file(&mut self, path: &str, content: &[u8]) {
        let path = Path::new(path.trim_start_matches('/'));
        let above: Vec<&Path> = path.ancestors().skip(1).filter(|path| *path != Path::new("")).collect();
        above.into_iter().rev().for_each(|folder| self.entry(folder, FOLDER, &[]));
        self.entry(path, FILE, content);
    }

    /// Adds an empty folder.
    pub fn folder(&mut self, path: &str) {
        self.entry(Path::new(path), FOLDER, &[]);
    }

    /// Adds a program of this machine as `/bin/NAME`, with the libraries that it names.
    pub fn program(&mut self, name: &str, path: &Path) {
        self.file(&format!("bin/{name}"), &read(path));
        let named = Command::new("ldd").arg(path).output().unwrap().stdout;
        // What is linked statically names none.
        for word in String::from_utf8(named).unwrap().split_whitespace().filter(|word| word.starts_with('/')) {
            self.file(word, &read(Path::new(word)));
        }
    }

    /// Adds a module of a kernel, after those that it stands on. One that is not in the folder is part of the kernel.
    pub fn module(&mut self, folder: &Path, name: &str) {
        let file = [name.to_owned(), name.replace('_', "-")].map(|name| folder.join(name + ".ko"));
        let Some(file) = file.iter().find(|file| file.exists()) else { return };
        let content = read(file);
        for below in stands_on(&content) {
            self.module(folder, &below);
        }
        let path = format!("modules/{name}.ko");
        if !self.modules.contains(&path) {
            self.file(&path, &content);
            self.modules.push(path);
        }
    }

    /// The modules, each after those that it stands on.
    pub fn modules(&self) -> &[String] {
        &self.modules
    }

    /// Ends it; its bytes.
    pub fn end(mut self) -> Vec<u8> {
        self.entry(Path::new("TRAILER!!!"), 0, &[]);
        self.bytes
    }

    fn entry(&mut self, path: &Path, mode: u32, content: &[u8]) {
        if !self.known.insert(path.to_owned()) {
            return;
        }
        let name = path.to_str().unwrap();
        let fields = [self.known.len(), mode as usize, 0, 0, 1, 0, content.len(), 0, 0, 0, 0, name.len() + 1, 0];
        self.bytes.extend(b"070701");
        fields.iter().for_each(|field| self.bytes.extend(format!("{field:08x}").bytes()));
        self.padded(&[name.as_bytes(), &[0]].concat());
        self.padded(content);
    }

    fn padded(&mut self, part: &[u8]) {
        self.bytes.extend(part);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// The modules that a module names as those below it.
fn stands_on(module: &[u8]) -> Vec<String> {
    const FIELD: &[u8] = b"\0depends=";
    let Some(at) = module.windows(FIELD.len()).position(|bytes| bytes == FIELD) else { return Vec::new() };
    let value = module[at + FIELD.len()..].split(|byte| *byte == 0).next().unwrap();
    let names = std::str::from_utf8(value).unwrap().split(',').filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
