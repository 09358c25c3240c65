//! The attributes: code, name, and whether this server understands them.

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Attribute {
    /// The code point.
    pub code: u16,
    /// The registry's name.
    pub name: &'static str,
}

macro_rules! attributes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        $($(#[$doc])* pub const $name: u16 = $code;)*
        /// Every attribute that this server understands or knows to ignore.
        pub const TABLE: &[Attribute] = &[$(Attribute { code: $code, name: $text }),*];
    };
}

attributes! {
    /// RFC 8489 §14.1.
    MAPPED_ADDRESS = 0x0001, "MAPPED-ADDRESS";
    /// RFC 8489 §14.3.
    USERNAME = 0x0006, "USERNAME";
    /// RFC 8489 §14.5.
    MESSAGE_INTEGRITY = 0x0008, "MESSAGE-INTEGRITY";
    /// RFC 8489 §14.8.
    ERROR_CODE = 0x0009, "ERROR-CODE";
    /// RFC 8489 §14.13.
    UNKNOWN_ATTRIBUTES = 0x000A, "UNKNOWN-ATTRIBUTES";
    /// RFC 8656 §18.1.
    CHANNEL_NUMBER = 0x000C, "CHANNEL-NUMBER";
    /// RFC 8656 §18.2.
    LIFETIME = 0x000D, "LIFETIME";
    /// RFC 8656 §18.3.
    XOR_PEER_ADDRESS = 0x0012, "XOR-PEER-ADDRESS";
    /// RFC 8656 §18.4.
    DATA = 0x0013, "DATA";
    /// RFC 8489 §14.9.
    REALM = 0x0014, "REALM";
    /// RFC 8489 §14.10.
    NONCE = 0x0015, "NONCE";
    /// RFC 8656 §18.5.
    XOR_RELAYED_ADDRESS = 0x0016, "XOR-RELAYED-ADDRESS";
    /// RFC 8656 §18.6.
    REQUESTED_ADDRESS_FAMILY = 0x0017, "REQUESTED-ADDRESS-FAMILY";
    /// RFC 8656 §18.7.
    EVEN_PORT = 0x0018, "EVEN-PORT";
    /// RFC 8656 §18.8.
    REQUESTED_TRANSPORT = 0x0019, "REQUESTED-TRANSPORT";
    /// RFC 8656 §18.9.
    DONT_FRAGMENT = 0x001A, "DONT-FRAGMENT";
    /// RFC 8489 §14.6.
    MESSAGE_INTEGRITY_SHA256 = 0x001C, "MESSAGE-INTEGRITY-SHA256";
    /// RFC 8489 §14.12.
    PASSWORD_ALGORITHM = 0x001D, "PASSWORD-ALGORITHM";
    /// RFC 8489 §14.4.
    USERHASH = 0x001E, "USERHASH";
    /// RFC 8489 §14.2.
    XOR_MAPPED_ADDRESS = 0x0020, "XOR-MAPPED-ADDRESS";
    /// RFC 8656 §18.10.
    RESERVATION_TOKEN = 0x0022, "RESERVATION-TOKEN";
    /// RFC 8445 §16.1; a matter between ICE agents, ignored here.
    PRIORITY = 0x0024, "PRIORITY";
    /// RFC 8445 §16.1; ignored here.
    USE_CANDIDATE = 0x0025, "USE-CANDIDATE";
    /// RFC 6062 §6.2.1.
    CONNECTION_ID = 0x002A, "CONNECTION-ID";
    /// RFC 8656 §18.11.
    ADDITIONAL_ADDRESS_FAMILY = 0x8000, "ADDITIONAL-ADDRESS-FAMILY";
    /// RFC 8656 §18.12.
    ADDRESS_ERROR_CODE = 0x8001, "ADDRESS-ERROR-CODE";
    /// RFC 8489 §14.11.
    PASSWORD_ALGORITHMS = 0x8002, "PASSWORD-ALGORITHMS";
    /// RFC 8489 §14.16.
    ALTERNATE_DOMAIN = 0x8003, "ALTERNATE-DOMAIN";
    /// RFC 8656 §18.13.
    ICMP = 0x8004, "ICMP";
    /// What coturn and its clients have instead of BANDWIDTH, which RFC 8656 took back; unregistered.
    NEW_BANDWIDTH = 0x8010, "NEW-BANDWIDTH";
    /// RFC 8489 §14.14.
    SOFTWARE = 0x8022, "SOFTWARE";
    /// RFC 8489 §14.15.
    ALTERNATE_SERVER = 0x8023, "ALTERNATE-SERVER";
    /// RFC 7982 §3.
    TRANSACTION_TRANSMIT_COUNTER = 0x8025, "TRANSACTION_TRANSMIT_COUNTER";
    /// RFC 8489 §14.7.
    FINGERPRINT = 0x8028, "FINGERPRINT";
    /// RFC 5780 §7.3.
    RESPONSE_ORIGIN = 0x802B, "RESPONSE-ORIGIN";
    /// RFC 5780 §7.4.
    OTHER_ADDRESS = 0x802C, "OTHER-ADDRESS";
    /// RFC 7635 §6.1.
    THIRD_PARTY_AUTHORIZATION = 0x802E, "THIRD-PARTY-AUTHORIZATION";
    /// The origin of the web page that a client belongs to (draft-ietf-tram-stun-origin, expired and unregistered).
    ORIGIN = 0x802F, "ORIGIN";
    /// RFC 8016 §3.4.
    MOBILITY_TICKET = 0x8030, "MOBILITY-TICKET";
}

/// RFC 5780 §7.2. This and the next two are understood only where NAT behaviour discovery is served.
pub const CHANGE_REQUEST: u16 = 0x0003;
/// RFC 5780 §7.6.
pub const PADDING: u16 = 0x0026;
/// RFC 5780 §7.5.
pub const RESPONSE_PORT: u16 = 0x0027;

/// RFC 7635 §6.2; understood only where third parties may authorise.
pub const ACCESS_TOKEN: u16 = 0x001B;

/// The sender demands that the receiver understands the attribute (RFC 8489 §14).
#[must_use]
pub fn is_required(code: u16) -> bool {
    code < 0x8000
}

/// This server understands the attribute, if only to ignore it where it means nothing.
#[must_use]
pub fn is_known(code: u16) -> bool {
    TABLE.binary_search_by_key(&code, |a| a.code).is_ok()
}

/// The registry's name of an attribute, for people.
#[must_use]
pub fn name(code: u16) -> Option<&'static str> {
    TABLE.binary_search_by_key(&code, |a| a.code).ok().map(|i| TABLE[i].name)
}
