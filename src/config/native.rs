//! The reader of TOML files.

use std::ops::Range;

use ::toml::Spanned;
use ::toml::de::{DeArray, DeInteger, DeTable, DeValue};

use super::key::Key;
use super::realm::{self, REALM, Told};
use super::setting::{Reading, Remark, Setting, Site, Value};
use super::table::{self, KEYS};
use super::{User, UserSecret, coturn, near, value};

/// A value with its place in the text.
type Spot<'a> = Spanned<DeValue<'a>>;

/// Reads a TOML file; every error in it is reported.
pub(crate) fn read(file: &str, text: &str) -> Reading {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { file, text, reading: Reading::default(), realm: String::new() };
    for error in errors {
        let remark = reader.site(error.span().unwrap_or(0..0), "").remark(syntax(error.message()));
        reader.reading.errors.push(remark);
    }
    reader.section("", table.get_ref());
    reader.reading
}

/// Words an error of the TOML parser, with what to do.
fn syntax(message: &str) -> String {
    let message = message.trim().replace('\n', ", ");
    format!("not TOML: {message}; write key = value, with texts in quotes")
}

/// A file while it is read.
struct Reader<'a> {
    /// Its name.
    file: &'a str,
    /// Its text.
    text: &'a str,
    /// What it says.
    reading: Reading,
    /// The realm that is being read, as `realm[2].`; nothing outside realms.
    realm: String,
}

impl Reader<'_> {
    /// Reads a table, in the order of the text.
    fn section(&mut self, prefix: &str, table: &DeTable<'_>) {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let path =
                if prefix.is_empty() { name.get_ref().to_string() } else { format!("{prefix}.{}", name.get_ref()) };
            self.entry(&path, name.span(), value);
        }
    }

    /// Reads one entry: a key, a section or something unknown.
    fn entry(&mut self, path: &str, name: Range<usize>, value: &Spot<'_>) {
        let site = self.site(name, path);
        match (self.find(path), value.get_ref()) {
            (None, DeValue::Array(tables)) if path == REALM && self.realm.is_empty() => self.realms(tables),
            (None, DeValue::Table(_)) if path == REALM && self.realm.is_empty() => {
                self.reading.errors.push(site.remark("there may be several realms; write [[realm]]"));
            }
            (Some(key), value_here) if key.kind.is_list() => self.list(key, site, value, value_here),
            (Some(key), _) => self.scalar(key, site, value),
            (None, DeValue::Table(table)) if self.is_section(path) => self.section(path, table),
            (None, _) if self.is_section(path) => {
                self.reading.errors.push(site.remark(format!("a section; write [{path}]")))
            }
            (None, _) if !self.realm.is_empty() => self.reading.errors.push(unknown_in_realm(path, &site)),
            (None, _) => self.reading.errors.push(unknown(path, &site)),
        }
    }

    /// Looks up a key where the reader is.
    fn find(&self, path: &str) -> Option<&'static Key> {
        if self.realm.is_empty() { table::find(path) } else { realm::find(path) }
    }

    /// Returns whether a path is that of a section where the reader is.
    fn is_section(&self, path: &str) -> bool {
        if self.realm.is_empty() { is_section(path) } else { realm::is_section(path) }
    }

    /// Reads the realms, each a reading of its own within this one.
    fn realms(&mut self, tables: &DeArray<'_>) {
        for (number, item) in (1..).zip(tables.iter()) {
            let site = self.site(item.span(), &format!("{REALM}[{number}]"));
            let DeValue::Table(table) = item.get_ref() else {
                self.reading.errors.push(site.remark("this is not a realm; write [[realm]]"));
                continue;
            };
            let outside = std::mem::take(&mut self.reading.settings);
            self.realm = format!("{REALM}[{number}].");
            self.section("", table);
            self.realm.clear();
            let settings = std::mem::replace(&mut self.reading.settings, outside);
            self.reading.realms.push(Told { site, settings });
        }
    }

    /// Reads the items of a list; a single one may stand without brackets.
    fn list(&mut self, key: &'static Key, site: Site, spot: &Spot<'_>, value: &DeValue<'_>) {
        match value {
            DeValue::Array(items) if items.is_empty() => self.set(key, Value::Nothing, site),
            DeValue::Array(items) => self.items(key, items),
            _ => self.item(key, spot),
        }
    }

    /// Reads the items of an array, each with its own place.
    fn items(&mut self, key: &'static Key, items: &DeArray<'_>) {
        for item in items.iter() {
            self.item(key, item);
        }
    }

    /// Reads one item of a list.
    fn item(&mut self, key: &'static Key, item: &Spot<'_>) {
        let site = self.site(item.span(), key.path);
        match item.get_ref() {
            DeValue::String(text) => self.set(key, Value::Text(text.to_string()), site),
            DeValue::Table(table) if matches!(key.kind, super::kind::Kind::Users(_)) => match user(table) {
                Ok(user) => self.set(key, Value::User(user), site),
                Err(text) => self.reading.errors.push(site.remark(text)),
            },
            other => self.wrong_type(key, other, &site),
        }
    }

    /// Reads a single value.
    fn scalar(&mut self, key: &'static Key, site: Site, spot: &Spot<'_>) {
        match spot.get_ref() {
            DeValue::Boolean(on) if key.kind.is_flag() => self.set(key, Value::Text(on.to_string()), site),
            DeValue::Integer(number) if key.kind.is_number() => self.set(key, Value::Text(decimal(number)), site),
            DeValue::String(text) if key.kind.is_text() => self.set(key, Value::Text(text.to_string()), site),
            other => self.wrong_type(key, other, &site),
        }
    }

    /// Says that a value has a type that its key does not take.
    fn wrong_type(&mut self, key: &Key, value: &DeValue<'_>, site: &Site) {
        let found = value.type_str();
        let text = format!(
            "this is {} {found}; write {}, as in {}",
            article(found),
            key.kind.form(),
            super::write::example(key)
        );
        self.reading.errors.push(site.remark(text));
    }

    /// Notes a value.
    fn set(&mut self, key: &'static Key, value: Value, site: Site) {
        self.reading.settings.push(Setting { key, value, site });
    }

    /// Returns the site of a name or value.
    fn site(&self, span: Range<usize>, name: &str) -> Site {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Site::new(format!("{}:{line}:{column}", self.file), format!("{}{name}", self.realm))
    }
}

/// Returns the article of the name of a TOML type.
fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

/// Writes an integer of any base in decimal; one that is too large stays as it is and is refused later.
fn decimal(number: &DeInteger<'_>) -> String {
    match i64::from_str_radix(number.as_str(), number.radix()) {
        Ok(value) => value.to_string(),
        Err(_) => number.as_str().to_owned(),
    }
}

/// Returns whether a path is that of a section.
fn is_section(path: &str) -> bool {
    table::SECTIONS.iter().any(|(section, _)| *section == path)
}

/// Says that a key is unknown, and which one was probably meant.
fn unknown(path: &str, site: &Site) -> Remark {
    let last = path.rsplit('.').next().unwrap_or(path);
    if let Some((key, _)) = coturn::here(last) {
        return site.remark(format!("unknown key; it is coturn's name for {}", key.path));
    }
    match near::nearest(path, known_paths()).or_else(|| same_last(last)) {
        Some(near) => site.remark(format!("unknown key; did you mean {near}?")),
        None => site.remark("unknown key; remove it, or see `hairpin reference` for every key"),
    }
}

/// Says that a realm has no such key, and which one was probably meant.
fn unknown_in_realm(path: &str, site: &Site) -> Remark {
    if table::find(path).is_some() || is_section(path) {
        return site.remark("not a realm's to say; write it once, outside realms");
    }
    match near::nearest(path, realm::paths()) {
        Some(near) => site.remark(format!("unknown key of a realm; did you mean {near}?")),
        None => site.remark("unknown key of a realm; remove it, or see `hairpin reference` for every key"),
    }
}

/// Returns every path that may be written.
fn known_paths() -> impl Iterator<Item = &'static str> {
    let sections = table::SECTIONS.iter().map(|(section, _)| *section).filter(|s| !s.is_empty());
    KEYS.iter().map(|key| key.path).chain(sections).chain([REALM])
}

/// Returns the key of another section with this last part.
fn same_last(last: &str) -> Option<&'static str> {
    KEYS.iter().map(|key| key.path).find(|path| path.rsplit('.').next() == Some(last))
}

/// Reads a user from a table: `name` with `password` or with `key`.
fn user(table: &DeTable<'_>) -> Result<User, String> {
    let mut fields = [None, None, None];
    for (name, value) in table {
        let at = ["name", "password", "key"].iter().position(|n| *n == name.get_ref().as_ref());
        let at =
            at.ok_or_else(|| format!("{:?} is no part of a user; write name, and password or key", name.get_ref()))?;
        let text = value.get_ref().as_str().ok_or("name, password and key are texts; write them in quotes")?;
        fields[at] = Some(text.to_owned()).filter(|t| !t.is_empty());
    }
    let [name, password, key] = fields;
    let name = name.ok_or("the user has no name; add name = \"…\"")?;
    let secret = match (password, key) {
        (Some(password), None) => UserSecret::Password(password),
        (None, Some(key)) => value::stored_key(&key)?,
        _ => return Err("a user has either a password or a key; give one of them".to_owned()),
    };
    Ok(User { name, secret })
}
