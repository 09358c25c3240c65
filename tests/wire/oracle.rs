//! Agreement with codecs that nobody here wrote: what one side writes, the other reads, and the reverse.

use crate::any::*;
use hairpin::turn::Head;
use hairpin::wire::{ChannelData, Class, Code, Message, Method, Writer, address, attribute as a, integrity, value};
use proptest::prelude::*;
use std::net::SocketAddr;
use std::time::Duration;
use stun::addr::MappedAddress;
use stun::agent::TransactionId;
use stun::attributes::{ATTR_NONCE, ATTR_REALM, ATTR_SOFTWARE, ATTR_USERNAME, AttrType};
use stun::error_code::{ErrorCode, ErrorCodeAttribute};
use stun::fingerprint::FINGERPRINT;
use stun::integrity::MessageIntegrity;
use stun::message::{self as theirs, Getter, MessageClass, MessageType, Setter};
use stun::textattrs::TextAttribute;
use stun::uattrs::UnknownAttributes;
use stun::xoraddr::XorMappedAddress;
use turn::proto::chandata;
use turn::proto::channum::ChannelNumber;
use turn::proto::data::Data;
use turn::proto::dontfrag::DontFragmentAttr;
use turn::proto::evenport::EvenPort;
use turn::proto::lifetime::Lifetime;
use turn::proto::peeraddr::PeerAddress;
use turn::proto::relayaddr::RelayedAddress;
use turn::proto::reqfamily::RequestedAddressFamily;
use turn::proto::reqtrans::RequestedTransport;
use turn::proto::rsrvtoken::ReservationToken;
use turn::proto::{PROTO_UDP, Protocol};

/// An unregistered type that their codec takes for XOR-MAPPED-ADDRESS.
const OLD_XOR_MAPPED_ADDRESS: u16 = 0x8020;

/// Their view of a message.
fn read(bytes: &[u8]) -> theirs::Message {
    let mut message = theirs::Message::new();
    message.unmarshal_binary(bytes).unwrap();
    message
}

/// A message of theirs: an Allocate request with these setters.
fn build(id: [u8; 12], setters: Vec<Box<dyn Setter>>) -> Vec<u8> {
    let kind = MessageType::new(stun::message::METHOD_ALLOCATE, stun::message::CLASS_REQUEST);
    let mut all: Vec<Box<dyn Setter>> = vec![Box::new(kind), Box::new(TransactionId(id))];
    all.extend(setters);
    let mut message = theirs::Message::new();
    message.build(&all).unwrap();
    message.raw
}

/// An Allocate request of ours.
fn written(id: &[u8; 12], fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    fill(&mut Writer::new(&mut out, Method::ALLOCATE, Class::Request, id));
    out
}

/// What they read of an attribute.
fn got<T: Getter + Default>(bytes: &[u8]) -> T {
    let mut value = T::default();
    value.get_from(&read(bytes)).unwrap();
    value
}

fn their_class(class: Class) -> MessageClass {
    match class {
        Class::Request => stun::message::CLASS_REQUEST,
        Class::Indication => stun::message::CLASS_INDICATION,
        Class::Success => stun::message::CLASS_SUCCESS_RESPONSE,
        Class::Error => stun::message::CLASS_ERROR_RESPONSE,
    }
}

/// Text that all attributes of text may hold.
fn text() -> impl Strategy<Value = String> {
    prop::string::string_regex("[a-zA-Z0-9:/+ ü€]{0,60}").unwrap()
}

proptest! {
    #[test]
    fn they_read_every_message_that_we_write(draft in draft()) {
        prop_assume!(draft.attributes.iter().all(|(code, _)| *code != OLD_XOR_MAPPED_ADDRESS));
        let bytes = draft.write(|w| _ = w.sha1(b"key").fingerprint());
        let mut message = read(&bytes);
        prop_assert_eq!(message.typ.value().to_be_bytes(), [bytes[0], bytes[1]]);
        prop_assert_eq!(message.typ.class, their_class(draft.class));
        prop_assert_eq!(message.transaction_id.0, draft.id);
        prop_assert_eq!(message.length as usize, bytes.len() - 20);
        let ours = draft.attributes.iter().map(|(code, value)| (*code, value.clone()));
        let seen: Vec<(u16, Vec<u8>)> = message.attributes.0.iter().map(|x| (x.typ.value(), x.value.clone())).collect();
        prop_assert_eq!(&seen[..seen.len() - 2], &ours.collect::<Vec<_>>()[..]);
        prop_assert!(FINGERPRINT.check(&message).is_ok());
        prop_assert!(MessageIntegrity(b"key".to_vec()).check(&mut message).is_ok());
        prop_assert!(MessageIntegrity(b"other".to_vec()).check(&mut message).is_err());
    }

    #[test]
    fn we_read_every_message_that_they_write(
        id in any::<[u8; 12]>(),
        user in text(),
        realm in text(),
        nonce in text(),
        software in text(),
        addr in socket_addr(),
        seconds in any::<u32>(),
    ) {
        let key = MessageIntegrity::new_long_term_integrity(user.clone(), realm.clone(), "pass".to_owned());
        let bytes = build(id, vec![
            Box::new(RequestedTransport { protocol: PROTO_UDP }),
            Box::new(Lifetime(Duration::from_secs(seconds.into()))),
            Box::new(PeerAddress { ip: addr.ip(), port: addr.port() }),
            Box::new(TextAttribute::new(ATTR_USERNAME, user.clone())),
            Box::new(TextAttribute::new(ATTR_REALM, realm.clone())),
            Box::new(TextAttribute::new(ATTR_NONCE, nonce.clone())),
            Box::new(TextAttribute::new(ATTR_SOFTWARE, software.clone())),
            Box::new(key.clone()),
            Box::new(FINGERPRINT),
        ]);
        let message = Message::parse(&bytes).unwrap();
        prop_assert_eq!((message.method(), message.class()), (Method::ALLOCATE, Class::Request));
        prop_assert_eq!(message.transaction(), id);
        prop_assert!(message.has_fingerprint());
        let (at, mac) = message.sha1().unwrap();
        prop_assert!(integrity::check_sha1(&bytes, at, mac, &key.0));
        prop_assert_eq!(message.attribute(a::REQUESTED_TRANSPORT).and_then(value::first_of_four), Some(17));
        prop_assert_eq!(message.attribute(a::LIFETIME).and_then(value::lifetime), Some(seconds));
        let peer = message.attribute(a::XOR_PEER_ADDRESS).unwrap();
        prop_assert_eq!(address::decode_xor(peer, &id), Some(addr));
        for (code, text) in [(a::USERNAME, user), (a::REALM, realm), (a::NONCE, nonce), (a::SOFTWARE, software)] {
            prop_assert_eq!(message.attribute(code), Some(text.as_bytes()));
        }
        let again = written(&id, |w| {
            for (code, value) in message.attributes() {
                w.attribute(code, value);
            }
            w.sha1(&key.0).fingerprint();
        });
        prop_assert_eq!(again, bytes, "and write it alike");
    }

    #[test]
    fn addresses_agree(id in any::<[u8; 12]>(), addr in socket_addr()) {
        let (ip, port) = (addr.ip(), addr.port());
        let ours = written(&id, |w| {
            w.xor_address(a::XOR_MAPPED_ADDRESS, addr).xor_address(a::XOR_PEER_ADDRESS, addr);
            w.xor_address(a::XOR_RELAYED_ADDRESS, addr).address(a::MAPPED_ADDRESS, addr);
        });
        let mapped: XorMappedAddress = got(&ours);
        prop_assert_eq!(SocketAddr::new(mapped.ip, mapped.port), addr);
        let peer: PeerAddress = got(&ours);
        prop_assert_eq!(SocketAddr::new(peer.ip, peer.port), addr);
        let relayed: RelayedAddress = got(&ours);
        prop_assert_eq!(SocketAddr::new(relayed.ip, relayed.port), addr);
        let clear: MappedAddress = got(&ours);
        prop_assert_eq!(SocketAddr::new(clear.ip, clear.port), addr);
        let theirs = build(id, vec![
            Box::new(XorMappedAddress { ip, port }),
            Box::new(PeerAddress { ip, port }),
            Box::new(RelayedAddress { ip, port }),
            Box::new(MappedAddress { ip, port }),
        ]);
        prop_assert_eq!(theirs, ours);
    }

    #[test]
    fn errors_agree(number in 300..700_u16, phrase in "[a-z ]{0,60}", unknown in prop::collection::vec(any::<u16>(), 0..8)) {
        let id = [7; 12];
        let list: Vec<u8> = unknown.iter().flat_map(|code| code.to_be_bytes()).collect();
        let ours = written(&id, |w| {
            w.error(Code(number), &phrase).attribute(a::UNKNOWN_ATTRIBUTES, &list);
        });
        let error: ErrorCodeAttribute = got(&ours);
        prop_assert_eq!((error.code.0, &error.reason[..]), (number, phrase.as_bytes()));
        let mut seen = UnknownAttributes(Vec::new());
        seen.get_from(&read(&ours)).unwrap();
        prop_assert_eq!(seen.0.iter().map(AttrType::value).collect::<Vec<_>>(), unknown.clone());
        let theirs = build(id, vec![
            Box::new(ErrorCodeAttribute { code: ErrorCode(number), reason: phrase.into_bytes() }),
            Box::new(UnknownAttributes(unknown.into_iter().map(AttrType).collect())),
        ]);
        prop_assert_eq!(theirs, ours);
    }

    #[test]
    fn turn_attributes_agree(
        number in any::<u16>(),
        data in prop::collection::vec(any::<u8>(), 0..60),
        family in 1..=2_u8,
        protocol in any::<u8>(),
        token in any::<[u8; 8]>(),
    ) {
        let id = [7; 12];
        let theirs = build(id, vec![
            Box::new(ChannelNumber(number)),
            Box::new(Data(data.clone())),
            Box::new(RequestedAddressFamily(family)),
            Box::new(RequestedTransport { protocol: Protocol(protocol) }),
            Box::new(ReservationToken(token.to_vec())),
            Box::new(EvenPort::default()),
            Box::new(DontFragmentAttr),
        ]);
        let message = Message::parse(&theirs).unwrap();
        prop_assert_eq!(message.attribute(a::CHANNEL_NUMBER).and_then(value::channel_number), Some(number));
        prop_assert_eq!(message.attribute(a::DATA), Some(&data[..]));
        prop_assert_eq!(message.attribute(a::REQUESTED_ADDRESS_FAMILY).and_then(value::first_of_four), Some(family));
        prop_assert_eq!(message.attribute(a::REQUESTED_TRANSPORT).and_then(value::first_of_four), Some(protocol));
        prop_assert_eq!(message.attribute(a::RESERVATION_TOKEN).and_then(value::reservation_token), Some(token));
        prop_assert_eq!(message.attribute(a::EVEN_PORT).and_then(value::reserve_next), Some(false));
        prop_assert_eq!(message.attribute(a::DONT_FRAGMENT), Some(&[][..]));

        let [high, low] = number.to_be_bytes();
        let ours = written(&id, |w| {
            w.attribute(a::CHANNEL_NUMBER, &[high, low, 0, 0]).attribute(a::DATA, &data);
            w.attribute(a::REQUESTED_ADDRESS_FAMILY, &[family, 0, 0, 0]);
            w.attribute(a::REQUESTED_TRANSPORT, &[protocol, 0, 0, 0]).attribute(a::RESERVATION_TOKEN, &token);
            w.attribute(a::EVEN_PORT, &[0]).attribute(a::DONT_FRAGMENT, &[]);
        });
        prop_assert_eq!(&ours, &theirs);
        let reserving = written(&id, |w| _ = w.attribute(a::EVEN_PORT, &[0x80]));
        prop_assert_eq!(got::<EvenPort>(&reserving).to_string(), "reserve: true");
    }

    #[test]
    fn channel_data_agrees(number in 0x4000..0x5000_u16, data in prop::collection::vec(any::<u8>(), 0..200)) {
        let head = Head::channel(number, data.len(), true);
        let ours = [head.as_bytes(), &data, &vec![0; head.pad()]].concat();
        let mut theirs = chandata::ChannelData { data: data.clone(), number: ChannelNumber(number), raw: Vec::new() };
        theirs.encode();
        prop_assert_eq!(&theirs.raw, &ours);
        prop_assert_eq!(ChannelData::parse(&theirs.raw), Ok(ChannelData { number, body: &data }));
        let mut read = chandata::ChannelData { raw: ours[..4 + data.len()].to_vec(), ..Default::default() };
        read.decode().unwrap();
        prop_assert_eq!((read.number.0, read.data), (number, data));
    }

    /// SEC-41.
    #[test]
    fn what_we_read_they_read_too(bytes in prop::collection::vec(prop_oneof![Just(0), Just(4), any::<u8>()], 0..120), id in any::<[u8; 12]>()) {
        let mut message = written(&id, |_| {});
        message.extend_from_slice(&bytes);
        message.truncate(message.len() / 4 * 4);
        let len = (message.len() - 20) as u16;
        message[2..4].copy_from_slice(&len.to_be_bytes());
        if let Ok(ours) = Message::parse(&message) {
            let theirs = read(&message);
            for ((code, value), seen) in ours.attributes().zip(&theirs.attributes.0) {
                prop_assert!(seen.typ.value() == code || code == OLD_XOR_MAPPED_ADDRESS);
                prop_assert_eq!(value, &seen.value[..]);
            }
        }
    }
}
