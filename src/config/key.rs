//! What the table says of a key: its kind, default, help and names in coturn.

use super::kind::Kind;

/// One key of the configuration.
pub(crate) struct Key {
    /// The TOML path, `limits.user-allocations`.
    pub(crate) path: &'static str,
    /// What its value is and where it is stored.
    pub(crate) kind: Kind,
    /// The default, as texts that the kind reads; a list has any number, others one.
    pub(crate) default: &'static [&'static str],
    /// What it does, in a line.
    pub(crate) help: &'static str,
    /// Its names in coturn's files and on coturn's command line.
    pub(crate) coturn: &'static [Name],
    /// Whether its value is a secret, which no message repeats.
    pub(crate) secret: bool,
    /// Whether `hairpin --help` shows it.
    pub(crate) common: bool,
}

/// A name of coturn's for a key.
pub(crate) struct Name {
    /// The long name.
    pub(crate) name: &'static str,
    /// The short one.
    pub(crate) short: Option<char>,
    /// How coturn's value becomes ours.
    pub(crate) how: How,
}

/// How a value of coturn's becomes one of ours.
#[derive(Clone, Copy)]
pub(crate) enum How {
    /// It is the same.
    Same,
    /// It is a flag that says the opposite.
    Not,
    /// It is a flag that, if on, stands for this value; an option that gives a value is stronger.
    As(&'static str),
    /// It may be left out and is this one then.
    Or(&'static str),
    /// It has other words.
    With(fn(&str) -> String),
}

impl Key {
    /// Marks a key that `hairpin --help` shows.
    pub(super) const fn common(mut self) -> Self {
        self.common = true;
        self
    }

    /// Marks a key whose value is a secret.
    pub(super) const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// Gives a key its names in coturn.
    pub(super) const fn coturn(mut self, names: &'static [Name]) -> Self {
        self.coturn = names;
        self
    }

    /// Returns the section and the last part of the path; the section of a top key is empty.
    pub(crate) fn split(&self) -> (&'static str, &'static str) {
        self.path.split_once('.').unwrap_or(("", self.path))
    }

    /// Returns the flag that sets it, without the dashes.
    pub(crate) fn flag(&self) -> String {
        self.path.replace('.', "-")
    }

    /// Returns the environment variable that sets it.
    pub(crate) fn variable(&self) -> String {
        format!("HAIRPIN_{}", self.path.replace(['.', '-'], "_").to_uppercase())
    }
}

/// Makes a key with a single default.
pub(super) const fn key(path: &'static str, kind: Kind, default: &'static [&'static str], help: &'static str) -> Key {
    Key { path, kind, default, help, coturn: &[], secret: false, common: false }
}

/// Makes a name of coturn's whose values mean the same.
pub(super) const fn same(name: &'static str) -> Name {
    Name { name, short: None, how: How::Same }
}

/// Makes a name of coturn's that says the opposite.
pub(super) const fn not(name: &'static str) -> Name {
    Name { name, short: None, how: How::Not }
}

/// Makes a name of coturn's whose values become ours in some other way.
pub(super) const fn how(name: &'static str, how: How) -> Name {
    Name { name, short: None, how }
}

impl Name {
    /// Gives a name its short letter.
    pub(super) const fn short(mut self, letter: char) -> Self {
        self.short = Some(letter);
        self
    }
}
