//! Messages that a well-behaved client would not send, and a look at answers that trusts no parser.

use crate::harness::*;
use hairpin::turn::{Path, Reason};
use hairpin::wire::{Class, Method, Writer, attribute};

/// UDP in REQUESTED-TRANSPORT.
pub const UDP: [u8; 4] = [17, 0, 0, 0];
/// A required attribute that nobody has defined.
pub const UNKNOWN: u16 = 0x7F01;
/// The methods whose requests are served.
pub const SERVED: [Method; 7] = [
    Method::BINDING,
    Method::ALLOCATE,
    Method::REFRESH,
    Method::CREATE_PERMISSION,
    Method::CHANNEL_BIND,
    Method::CONNECT,
    Method::CONNECTION_BIND,
];

/// Those that need credentials.
pub fn turn_methods() -> impl Iterator<Item = Method> {
    SERVED.into_iter().filter(|method| *method != Method::BINDING)
}

/// A message without credentials, with the id that the world gives next.
pub fn message(world: &mut World, method: Method, class: Class, fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    fill(&mut Writer::new(&mut out, method, class, &world.transaction()));
    out
}

/// A request without credentials, and the answer to it.
pub fn ask(world: &mut World, path: Path, method: Method, fill: impl FnOnce(&mut Writer<'_>)) -> Answer {
    let request = message(world, method, Class::Request, fill);
    world.ask(path, &request)
}

/// A Binding request without attributes.
pub fn binding(world: &mut World) -> Vec<u8> {
    message(world, Method::BINDING, Class::Request, |_| {})
}

/// Sends what must be met with silence: nothing comes out, nothing is kept, and the next request of the
/// same client is answered.
pub fn silence(world: &mut World, path: Path, packet: &[u8]) -> Reason {
    let before = (world.server.allocations(), world.server.relays(), world.server.poll_timeout());
    let reason = dropped(&world.client(path, packet));
    assert_eq!((world.server.allocations(), world.server.relays(), world.server.poll_timeout()), before);
    let request = binding(world);
    assert_eq!(world.ask(path, &request).code(), None, "the client is served on after {packet:02x?}");
    reason
}

/// Appends an attribute with padding of this byte and corrects the length field.
pub fn append(message: &mut Vec<u8>, code: u16, value: &[u8], pad: u8) {
    message.extend_from_slice(&code.to_be_bytes());
    message.extend_from_slice(&(value.len() as u16).to_be_bytes());
    message.extend_from_slice(value);
    message.resize(message.len().next_multiple_of(4), pad);
    let len = (message.len() - 20) as u16;
    message[2..4].copy_from_slice(&len.to_be_bytes());
}

/// Every attribute of a message in order, covered or not: code, value, padding.
pub fn attributes(bytes: &[u8]) -> Vec<(u16, Vec<u8>, Vec<u8>)> {
    let (mut found, mut rest) = (Vec::new(), &bytes[20..]);
    while !rest.is_empty() {
        let code = u16::from_be_bytes([rest[0], rest[1]]);
        let len = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        let end = (4 + len).next_multiple_of(4);
        found.push((code, rest[4..4 + len].to_vec(), rest[4 + len..end].to_vec()));
        rest = &rest[end..];
    }
    found
}

/// The codes of every attribute of an answer, in order.
pub fn codes(answer: &Answer) -> Vec<u16> {
    attributes(&answer.bytes).into_iter().map(|(code, ..)| code).collect()
}

/// The codes of UNKNOWN-ATTRIBUTES.
pub fn unknown(answer: &Answer) -> Vec<u16> {
    let value = answer.get(attribute::UNKNOWN_ATTRIBUTES).expect("a 420 lists what is not understood");
    value.chunks(2).map(|code| u16::from_be_bytes([code[0], code[1]])).collect()
}

/// The answer is an error that proves nothing and asks for nothing: ERROR-CODE alone.
pub fn is_plain_error(answer: &Answer, code: u16) -> bool {
    answer.code() == Some(code) && codes(answer) == [attribute::ERROR_CODE]
}

/// The answer is an error that challenges: ERROR-CODE, REALM, NONCE and PASSWORD-ALGORITHMS, no integrity.
pub fn is_challenge(answer: &Answer, code: u16) -> bool {
    let wanted = [attribute::ERROR_CODE, attribute::REALM, attribute::NONCE, attribute::PASSWORD_ALGORITHMS];
    answer.code() == Some(code)
        && codes(answer) == wanted
        && answer.get(attribute::REALM).unwrap() == REALM.as_bytes()
        && answer.get(attribute::PASSWORD_ALGORITHMS).unwrap() == [0, 2, 0, 0, 0, 1, 0, 0]
}

/// The answer carries the integrity attribute that the client's way of asking calls for, right and alone,
/// and nothing that a challenge has.
pub fn is_protected(answer: &Answer, client: &Client) -> bool {
    let right = match client.style {
        Style::Md5 | Style::Md5KeySha256Mac => answer.is_protected_by_sha1(&client.key()),
        Style::Sha256 | Style::Anonymous | Style::Sha256KeySha1Mac => answer.is_protected_by_sha256(&client.key()),
    };
    let challenge = [
        attribute::REALM,
        attribute::NONCE,
        attribute::USERNAME,
        attribute::USERHASH,
        attribute::PASSWORD_ALGORITHM,
        attribute::PASSWORD_ALGORITHMS,
    ];
    right && !codes(answer).iter().any(|code| challenge.contains(code))
}

/// Fills an Allocate request that asks for nothing special.
pub fn allocate(writer: &mut Writer<'_>) {
    writer.attribute(attribute::REQUESTED_TRANSPORT, &UDP);
}
