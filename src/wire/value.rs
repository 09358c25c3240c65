//! The other typed values, most of them four bytes. Reserved bytes are not looked at.

/// What NEW-BANDWIDTH counts: 1024 bits per second, in bytes.
const BANDWIDTH_UNIT: u64 = 128;

/// LIFETIME: seconds (RFC 8656 §18.2).
#[must_use]
pub fn lifetime(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_be_bytes)
}

/// CONNECTION-ID (RFC 6062 §6.2.1).
#[must_use]
pub fn connection_id(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_be_bytes)
}

/// CHANNEL-NUMBER (RFC 8656 §18.1).
#[must_use]
pub fn channel_number(value: &[u8]) -> Option<u16> {
    let [high, low, ..] = four(value)?;
    Some(u16::from_be_bytes([high, low]))
}

/// The first of four bytes: REQUESTED-TRANSPORT's protocol, an ADDRESS-FAMILY's family (RFC 8656 §18.6–18.11).
#[must_use]
pub fn first_of_four(value: &[u8]) -> Option<u8> {
    four(value).map(|[first, ..]| first)
}

/// EVEN-PORT: whether the next port is to be reserved, its R bit (RFC 8656 §18.7).
#[must_use]
pub fn reserve_next(value: &[u8]) -> Option<bool> {
    match value {
        [bits] => Some(bits & 0x80 != 0),
        _ => None,
    }
}

/// RESPONSE-PORT: a port, and two reserved bytes that some leave out (RFC 5780 §7.5).
#[must_use]
pub fn response_port(value: &[u8]) -> Option<u16> {
    match value {
        [high, low] | [high, low, _, _] => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    }
}

/// NEW-BANDWIDTH in bytes per second: four bytes, in units of 1024 bits per second.
#[must_use]
pub fn bandwidth(value: &[u8]) -> Option<u64> {
    Some(u64::from(u32::from_be_bytes(value.try_into().ok()?)) * BANDWIDTH_UNIT)
}

/// The number that stands in NEW-BANDWIDTH for so many bytes per second; at least one, since zero would mean any number.
#[must_use]
pub fn bandwidth_units(bandwidth: u64) -> u32 {
    u32::try_from((bandwidth / BANDWIDTH_UNIT).max(1)).unwrap_or(u32::MAX)
}

/// RESERVATION-TOKEN: eight bytes (RFC 8656 §18.10).
#[must_use]
pub fn reservation_token(value: &[u8]) -> Option<[u8; 8]> {
    value.try_into().ok()
}

/// PASSWORD-ALGORITHM without parameters: its number (RFC 8489 §14.12).
#[must_use]
pub fn password_algorithm(value: &[u8]) -> Option<u16> {
    let [high, low, 0, 0] = four(value)? else { return None };
    Some(u16::from_be_bytes([high, low]))
}

/// ERROR-CODE: class and number as one, 300 to 699; a phrase follows (RFC 8489 §14.8).
#[must_use]
pub fn error_code(value: &[u8]) -> Option<u16> {
    match value {
        [_, _, class, number, ..] => Some(u16::from(class & 7) * 100 + u16::from(*number)),
        _ => None,
    }
}

/// TRANSACTION_TRANSMIT_COUNTER: the request's count (RFC 7982 §3.3).
#[must_use]
pub fn transmit_count(value: &[u8]) -> Option<u8> {
    four(value).map(|[_, _, request, _]| request)
}

/// ICMP: type, code and the MTU of a packet that was too big (RFC 8656 §18.13).
#[must_use]
pub fn icmp(kind: u8, code: u8, mtu: u32) -> [u8; 8] {
    let mtu = mtu.to_be_bytes();
    [0, 0, kind, code, mtu[0], mtu[1], mtu[2], mtu[3]]
}

/// A value of exactly four bytes.
fn four(value: &[u8]) -> Option<[u8; 4]> {
    value.try_into().ok()
}
