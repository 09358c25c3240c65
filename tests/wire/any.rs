//! Where properties get their messages from.

use hairpin::wire::{Class, Method, Writer, attribute};
use proptest::prelude::*;
use std::net::SocketAddr;

/// A message to write: all its attributes are of types that stand for themselves.
#[derive(Clone, Debug)]
pub struct Draft {
    pub method: Method,
    pub class: Class,
    pub id: [u8; 12],
    pub attributes: Vec<(u16, Vec<u8>)>,
}

impl Draft {
    /// The message, with what `close` appends to it. It is written after other bytes into memory that was
    /// used before.
    pub fn write(&self, close: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let mut out = vec![0xA5; 2048];
        out.truncate(5);
        let mut writer = Writer::new(&mut out, self.method, self.class, &self.id);
        for (code, value) in &self.attributes {
            writer.attribute(*code, value);
        }
        close(&mut writer);
        assert_eq!(out[..5], [0xA5; 5], "what stood there stays");
        out.split_off(5)
    }
}

pub fn class() -> impl Strategy<Value = Class> {
    prop::sample::select(vec![Class::Request, Class::Indication, Class::Success, Class::Error])
}

/// A code that is neither integrity nor FINGERPRINT.
pub fn code() -> impl Strategy<Value = u16> {
    let known: Vec<u16> = attribute::TABLE.iter().map(|a| a.code).collect();
    let closing = [attribute::MESSAGE_INTEGRITY, attribute::MESSAGE_INTEGRITY_SHA256, attribute::FINGERPRINT];
    prop_oneof![prop::sample::select(known), any::<u16>()]
        .prop_filter("stands for itself", move |c| !closing.contains(c))
}

pub fn draft() -> impl Strategy<Value = Draft> {
    let attributes = prop::collection::vec((code(), prop::collection::vec(any::<u8>(), 0..40)), 0..10);
    (0..0x1000_u16, class(), any::<[u8; 12]>(), attributes).prop_map(|(method, class, id, attributes)| Draft {
        method: Method(method),
        class,
        id,
        attributes,
    })
}

pub fn socket_addr() -> impl Strategy<Value = SocketAddr> {
    let v4 = (any::<[u8; 4]>(), any::<u16>()).prop_map(SocketAddr::from);
    let v6 = (any::<[u8; 16]>(), any::<u16>()).prop_map(SocketAddr::from);
    prop_oneof![v4, v6]
}
