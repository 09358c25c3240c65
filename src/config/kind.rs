//! The kinds of values that keys have: what they look like and how one is stored.

use std::path::PathBuf;
use std::time::Duration;

use super::draft::Draft;
use super::value;

/// Where in the draft a value belongs.
pub(crate) type Field<T> = fn(&mut Draft) -> &mut T;

/// Reads a text and stores what it says.
pub(crate) type Set = fn(&mut Draft, &str) -> Result<(), String>;

/// What a key's value is, with the place where it is stored.
pub(crate) enum Kind {
    /// Yes or no.
    Flag(Field<bool>),
    /// A whole number between two bounds.
    Count(Field<u32>, u32, u32),
    /// A port.
    Port(Field<u16>),
    /// A duration; the bounds are in seconds.
    Time(Field<Duration>, u64, u64),
    /// A number of bytes.
    Size(Field<u32>),
    /// Bytes in a second.
    Rate(Field<u64>),
    /// A text that may not be empty; its form in words.
    Text(Field<String>, &'static str),
    /// A text that may be empty, which means none; its form in words.
    Maybe(Field<Option<String>>, &'static str),
    /// A path that may be empty, which means none.
    Path(Field<Option<PathBuf>>),
    /// One of a few words.
    Choice(&'static [&'static str], Set),
    /// Anything else; its form in words.
    Other(&'static str, Set),
    /// Any number of values, stored one by one; the form of one in words.
    List(&'static str, Set),
    /// Any number of users, each a text or a TOML table.
    Users(Set),
}

/// The highest rate, in bytes a second: no host is that fast, and sums of it cannot overflow.
const FASTEST: u64 = 1_000_000_000_000;

impl Kind {
    /// Reads a text and stores its value; the error says what was expected.
    pub(crate) fn set(&self, draft: &mut Draft, text: &str) -> Result<(), String> {
        match self {
            Self::Flag(field) => self.store(field(draft), value::boolean(text), text),
            Self::Count(field, low, high) => {
                let number = text.parse().ok().filter(|n| (low..=high).contains(&n));
                self.store(field(draft), number, text)
            }
            Self::Port(field) => self.store(field(draft), text.parse().ok().filter(|&p| p > 0), text),
            Self::Time(field, low, high) => {
                let time = value::duration(text).filter(|t| (*low..=*high).contains(&t.as_secs()));
                self.store(field(draft), time, text)
            }
            Self::Size(field) => {
                let size = value::size(text).and_then(|n| u32::try_from(n).ok());
                self.store(field(draft), size, text)
            }
            Self::Rate(field) => self.store(field(draft), value::rate(text).filter(|n| *n <= FASTEST), text),
            Self::Text(field, _) => self.store(field(draft), Some(text.to_owned()).filter(|t| !t.is_empty()), text),
            Self::Maybe(field, _) => {
                *field(draft) = Some(text.to_owned()).filter(|t| !t.is_empty());
                Ok(())
            }
            Self::Path(field) => {
                *field(draft) = Some(PathBuf::from(text)).filter(|_| !text.is_empty());
                Ok(())
            }
            Self::Choice(words, _) if !words.contains(&text) => Err(self.wrong(text)),
            Self::Choice(_, set) | Self::Other(_, set) | Self::List(_, set) | Self::Users(set) => set(draft, text),
        }
    }

    /// Stores what was read, or says that the text is of another form.
    fn store<T>(&self, field: &mut T, value: Option<T>, text: &str) -> Result<(), String> {
        *field = value.ok_or_else(|| self.wrong(text))?;
        Ok(())
    }

    /// Says that a text is not of this kind, and what would be.
    fn wrong(&self, text: &str) -> String {
        match text.parse::<i128>() {
            Ok(number) => format!("{number} is not {}", self.form()),
            Err(_) => format!("{text:?} is not {}", self.form()),
        }
    }

    /// Returns the form of a value in words, one item's for a list.
    pub(crate) fn form(&self) -> String {
        match self {
            Self::Flag(_) => "true or false".to_owned(),
            Self::Count(_, low, u32::MAX) => format!("a whole number, {low} or more"),
            Self::Count(_, low, high) => format!("a whole number from {low} to {high}"),
            Self::Port(_) => "a port (1 to 65535)".to_owned(),
            Self::Time(_, low, high) => {
                format!("a duration such as 90s, 10m or 1h, from {low} s to {high} s")
            }
            Self::Size(_) => "a size such as 65536, 64KiB or 2MiB".to_owned(),
            Self::Rate(_) => "bytes in a second such as 125000, 1MB/s or 1Mbit/s, at most 1000GB/s".to_owned(),
            Self::Path(_) => "a path".to_owned(),
            Self::Choice(words, _) => format!("one of {}", words.join(", ")),
            Self::Text(_, form) | Self::Maybe(_, form) | Self::Other(form, _) | Self::List(form, _) => {
                (*form).to_owned()
            }
            Self::Users(_) => "name:password, or name:0xKEY with a stored key".to_owned(),
        }
    }

    /// Returns whether the value is yes or no.
    pub(crate) fn is_flag(&self) -> bool {
        matches!(self, Self::Flag(_))
    }

    /// Returns whether there may be several values.
    pub(crate) fn is_list(&self) -> bool {
        matches!(self, Self::List(..) | Self::Users(_))
    }

    /// Returns whether a TOML integer may stand for the value.
    pub(crate) fn is_number(&self) -> bool {
        matches!(self, Self::Count(..) | Self::Port(_) | Self::Time(..) | Self::Size(_) | Self::Rate(_))
    }

    /// Returns whether a TOML string may stand for the value, or for one of its items.
    pub(crate) fn is_text(&self) -> bool {
        !matches!(self, Self::Flag(_) | Self::Count(..) | Self::Port(_))
    }
}
