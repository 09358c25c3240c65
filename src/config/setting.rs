//! What a source says: settings with their places, and remarks about them.

use std::fmt;

use super::User;
use super::key::Key;
use super::realm::Told;

/// What one source (a file, the environment, the command line) says.
#[derive(Default)]
pub struct Reading {
    /// What it sets, in order; a list has one setting for each item.
    pub(crate) settings: Vec<Setting>,
    /// The realms that it tells of, in order.
    pub(crate) realms: Vec<Told>,
    /// What is wrong with it.
    pub(crate) errors: Vec<Remark>,
    /// What is accepted and has no effect, or not the one hoped for.
    pub(crate) warnings: Vec<Remark>,
    /// What is so anyway: for those who convert a file and wonder where a line went.
    pub(crate) implied: Vec<Remark>,
    /// Whether it is a file of coturn's.
    pub(crate) coturn: bool,
}

impl Reading {
    /// Returns what is set for a key, in order.
    pub(crate) fn of(&self, key: &Key) -> impl Iterator<Item = &Setting> {
        self.settings.iter().filter(move |s| s.key.path == key.path)
    }
}

/// One value for one key.
#[derive(Clone)]
pub(crate) struct Setting {
    /// The key.
    pub(crate) key: &'static Key,
    /// The value.
    pub(crate) value: Value,
    /// Where it stands and under which name.
    pub(crate) site: Site,
}

/// A value as it was read.
#[derive(Clone)]
pub(crate) enum Value {
    /// An empty list.
    Nothing,
    /// A scalar or one item of a list.
    Text(String),
    /// A user from a TOML table.
    User(User),
}

/// Where something stands and under which name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Site {
    /// The place: `hairpin.toml:12:5`, `environment`, `command line`.
    pub(crate) place: String,
    /// The name used there: `limits.allocations`, `total-quota`, `--limits-allocations`.
    pub(crate) name: String,
}

impl Site {
    /// Makes a site.
    pub(crate) fn new(place: impl Into<String>, name: impl Into<String>) -> Self {
        Self { place: place.into(), name: name.into() }
    }

    /// Makes a remark about what stands here.
    pub(crate) fn remark(&self, text: impl Into<String>) -> Remark {
        Remark { site: self.clone(), item: 0, text: text.into() }
    }
}

/// Something an operator should know: where, about which name, what and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Where; empty if it stands nowhere.
    site: Site,
    /// Which item of a list it is about, if it is about a key.
    item: usize,
    /// What, and the remedy.
    text: String,
}

impl Remark {
    /// Makes a remark about a key, wherever it was set.
    pub(crate) fn about(path: &'static str, text: impl Into<String>) -> Self {
        Site::new("", path).remark(text)
    }

    /// Makes it be about one item of its key, a list.
    pub(crate) fn item(self, item: usize) -> Self {
        Self { item, ..self }
    }

    /// Returns whether it is about a name, with dashes or without.
    pub(crate) fn is_about(&self, name: &str) -> bool {
        self.site.name.trim_start_matches('-') == name
    }

    /// Says something else in the same place.
    pub(crate) fn saying(self, text: &str) -> Self {
        self.site.remark(text)
    }

    /// Returns whether it says that an option is refused.
    pub(crate) fn is_refusal(&self) -> bool {
        self.text.starts_with(REFUSED)
    }

    /// Gives a remark about a key the place and the name under which the key, or the item, was set.
    pub(crate) fn placed(mut self, settings: &[Setting]) -> Self {
        let set = || settings.iter().filter(|s| s.key.path == self.site.name && !s.site.place.is_empty());
        if let Some(setting) = set().nth(self.item).or_else(|| set().next()).filter(|_| self.site.place.is_empty()) {
            self.site = setting.site.clone();
        }
        self
    }
}

/// How the text of a refusal begins.
pub(crate) const REFUSED: &str = "refused: ";

impl fmt::Display for Remark {
    /// Writes `place: name: text`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.site.place, &self.site.name] {
            if !part.is_empty() {
                write!(f, "{part}: ")?;
            }
        }
        f.write_str(&self.text)
    }
}
