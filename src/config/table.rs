//! Every key: its kind, default, names in coturn and help. The single source of the TOML reader, the
//! coturn reader, the flags, the environment, the reference file and the words of errors.

use super::draft::Draft;
use super::key::{How, Key, how, key, not, same};
use super::kind::{Field, Kind};
use super::{DefaultFamily, KernelPath};
use super::{admin, value};

use Kind::{Choice, Count, Flag, List, Maybe, Other, Path, Port, Rate, Size, Text, Time, Users};

/// Looks up a key by its TOML path.
pub(crate) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// The sections, in the order in which they are written, with a line about each.
pub(crate) const SECTIONS: &[(&str, &str)] = &[
    ("", "The process."),
    ("listen", "Where clients are served."),
    (
        "proxy",
        "Proxies (HAProxy, a cloud's load balancer) that say for whom they connect, by the PROXY protocol. They may name any client, so nobody else may reach these ports.",
    ),
    ("relay", "Where relayed addresses come from."),
    ("auth", "Who may allocate. Users and shared secrets work at the same time."),
    ("oauth", "Third parties that may authorise clients (RFC 7635), beside users and shared secrets."),
    (
        "peers",
        "Which peers may be reached. Special ranges (loopback, private, link-local, …) are denied; allow is stronger.",
    ),
    ("limits", "What may be taken. 0 means no limit where 0 is allowed."),
    ("tls", "Certificates, and on what terms they are used."),
    (
        "http",
        "HTTP on the ports of TCP and TLS, for certificates by ACME (http-01). Every other request is refused and its connection closed.",
    ),
    ("protocol", "Choices of protocol."),
    ("redirect", "Other servers to which clients are sent (RFC 8489, error 300), in turns by weight."),
    ("admin", "What operators are served."),
    ("log", "What is logged."),
];

/// How a peer is written.
const PEER: &str = "an address, a range 10.0.0.1-10.0.0.9 or a network 10.0.0.0/8";

/// The longest that anything lasts here; more would be a slip of the keyboard.
const YEAR: u64 = 366 * 86_400;

/// Every key, section by section.
#[rustfmt::skip] // a table: what belongs to a key stands together
pub(crate) static KEYS: &[Key] = &[
    key("workers", Count(|d| &mut d.workers, 0, u32::MAX), &["0"],
        "Worker threads at most; never more than cores. 0: one for each core.")
        .coturn(&[how("relay-threads", How::With(at_least_one)).short('m')]),
    key("busy-poll", Count(|d| &mut d.config.busy_poll, 0, 1000), &["0"],
        "Microseconds for which a worker looks for packets again and again before it sleeps, against the delay of being woken. It uses its core wholly where packets come that densely."),
    key("pidfile", Path(|d| &mut d.config.pidfile), &[""], "A file for the process id. Empty: none.")
        .coturn(&[same("pidfile")]),
    key("kernel-path", Choice(&["auto", "off", "native", "tc", "generic"], kernel_path), &["auto"],
        "Relaying of established channels in the kernel: in the driver (native), behind it (generic), or where the stack begins (tc); auto: the best that works. Needs CAP_BPF and CAP_NET_ADMIN, and CAP_PERFMON on many kernels; user space relays whatever the kernel does not."),
    key("kernel-interfaces", List("an interface such as eth0", |d, t| push(&mut d.config.kernel_interfaces, not_empty(t))), &[],
        "Interfaces with the kernel path. Empty: those that carry the address of a listener or a relay, and network cards where a listener has every address."),

    key("listen.addresses",
        List("an IP address", |d, t| push(&mut d.listen.addresses, value::address(t))), &["0.0.0.0", "::"],
        "Local addresses; 0.0.0.0 and :: mean all of a family.")
        .coturn(&[same("listening-ip").short('L')]).common(),
    key("listen.port", Port(|d| &mut d.listen.port), &["3478"],
        "The port of UDP and TCP; TLS is understood there too.")
        .coturn(&[same("listening-port").short('p')]).common(),
    key("listen.tls-port", Port(|d| &mut d.listen.tls_port), &["5349"],
        "The port of TLS, open once there is a certificate; plain TCP is understood there too.")
        .coturn(&[same("tls-listening-port")]).common(),
    key("listen.alternate-port", Port(|d| &mut d.listen.alternate_port), &["3479"],
        "The other port of NAT behaviour discovery, if that is on.")
        .coturn(&[same("alt-listening-port")]),
    key("listen.udp", Flag(|d| &mut d.listen.udp), &["true"], "Serve clients over UDP.").coturn(&[not("no-udp")]),
    key("listen.tcp", Flag(|d| &mut d.listen.tcp), &["true"], "Serve clients over TCP.").coturn(&[not("no-tcp")]),
    key("listen.tls", Flag(|d| &mut d.listen.tls), &["true"],
        "Serve clients over TLS, once there is a certificate.")
        .coturn(&[not("no-tls")]),
    key("listen.dtls", Flag(|d| &mut d.listen.dtls), &["true"],
        "Serve clients over DTLS on both ports, once there is a certificate and where UDP is on; a build without DTLS serves none.")
        .coturn(&[same("dtls"), not("no-dtls")]),
    key("listen.extra",
        List("a listener such as udp+dtls://192.0.2.1:53 or tcp+tls://[::]:443", |d, t| push(&mut d.listen.extra, value::listener(t))), &[],
        "Further listeners: tcp+tls://[::]:443, or 192.0.2.1:53 with every transport that is on; proxy+tcp+tls:// or proxy+udp+dtls:// for clients that come by a proxy.")
        .coturn(&[same("aux-server")]),

    key("proxy.port", Count(|d| &mut d.listen.proxy_port, 0, 65_535), &["0"],
        "A port where a proxy's header (version 1 or 2) comes before TCP and TLS, and nothing is served without. 0: none.")
        .coturn(&[same("tcp-proxy-port")]),
    key("proxy.from",
        List("an address or a network such as 10.0.0.0/8", |d, t| push(&mut d.config.proxy.from, value::network(t))), &[],
        "The addresses of the proxies. Whoever connects from elsewhere is sent away."),

    key("relay.addresses",
        List("an IP address", |d, t| push(&mut d.config.relay.addresses, value::address(t))), &[],
        "Local addresses of relay sockets. Empty: the one that the client came to.")
        .coturn(&[same("relay-ip").short('E')]).common(),
    key("relay.external",
        List("PUBLIC or PUBLIC/LOCAL", |d, t| push(&mut d.config.relay.external, value::external(t))), &[],
        "Public addresses before a 1:1 NAT: PUBLIC, or PUBLIC/LOCAL for one of several.")
        .coturn(&[same("external-ip").short('X')]).common(),
    key("relay.min-port", Port(|d| &mut d.min_port), &["49152"], "The lowest port of relay sockets.")
        .coturn(&[same("min-port")]).common(),
    key("relay.max-port", Port(|d| &mut d.max_port), &["65535"], "The highest port of relay sockets.")
        .coturn(&[same("max-port")]).common(),
    key("relay.device", Maybe(|d| &mut d.config.relay.device, "a network device"), &[""],
        "The network device to which relay sockets are bound. Empty: any.")
        .coturn(&[same("relay-device").short('i')]),
    key("relay.udp", Flag(|d| &mut d.config.relay.udp), &["true"], "Relay UDP.")
        .coturn(&[not("no-udp-relay")]),
    key("relay.tcp", Flag(|d| &mut d.config.relay.tcp), &["true"],
        "Relay TCP for clients that come by TCP or TLS (RFC 6062).")
        .coturn(&[not("no-tcp-relay")]),
    key("relay.default-family", Choice(&["ipv4", "ipv6", "client"], default_family), &["ipv4"],
        "The family of an allocation that names none; client: that of the client.")
        .coturn(&[how("allocation-default-address-family", How::With(keep_is_client)).short('A'),
                  how("keep-address-family", How::As("client")).short('K')]),

    key("auth.realm",
        Text(|d| &mut d.config.auth.realm, "a realm, usually the domain of the service"), &["hairpin"],
        "The realm of the credentials; stored keys hold it.")
        .coturn(&[same("realm").short('r')]).common(),
    key("auth.users", Users(|d, t| push(&mut d.config.auth.users, value::user(t))), &[],
        "Users: \"name:password\", or \"name:0xKEY\" with a key that `hairpin key` made.")
        .coturn(&[same("user").short('u')]).secret().common(),
    key("auth.users-file", Path(|d| &mut d.users_file), &[""],
        "A file with such a user on each line. Empty: none."),
    key("auth.secrets", List("a shared secret", |d, t| push(&mut d.config.auth.secrets, not_empty(t))), &[],
        "Shared secrets of time-limited credentials (TURN REST); any of them is good.")
        .coturn(&[same("static-auth-secret")]).secret().common(),
    key("auth.secrets-file", Path(|d| &mut d.secrets_file), &[""],
        "A file with a shared secret on each line. Empty: none."),
    key("auth.rest-separator",
        Other("one character", |d, t| put(|d| &mut d.config.auth.rest_separator, d, value::character(t))), &[":"],
        "What stands between expiry and identity in a time-limited user name.")
        .coturn(&[how("rest-api-separator", How::With(first_character)).short('C')]),
    key("auth.rest-max-ttl", Time(|d| &mut d.config.auth.rest_max_ttl, 0, YEAR), &["0"],
        "How far ahead the expiry of a time-limited user name may lie. 0: any."),
    key("auth.anonymous", Flag(|d| &mut d.config.auth.anonymous), &["false"],
        "Anybody may allocate: an open relay. For closed networks alone.")
        .coturn(&[same("no-auth").short('z')]),
    key("auth.binding", Flag(|d| &mut d.config.auth.binding), &["false"], "Binding requests need credentials too.")
        .coturn(&[same("secure-stun")]),
    key("auth.nonce-lifetime", Time(|d| &mut d.config.auth.nonce_lifetime, 0, YEAR), &["10m"],
        "How long a nonce is good, an hour at most (RFC 8656). 0: for ever.")
        .coturn(&[how("stale-nonce", How::Or("600"))]),
    key("auth.nonce-secret", Maybe(|d| &mut d.config.auth.nonce_secret, "any text"), &[""],
        "A nonce key that a fleet of servers shares. Empty: a random one.")
        .coturn(&[same("stateless-nonce-secret")]).secret(),
    key("auth.nonce-secret-file", Path(|d| &mut d.nonce_secret_file), &[""], "A file with that key. Empty: none."),
    key("auth.sha256-only", Flag(|d| &mut d.config.auth.sha256_only), &["false"],
        "Refuse MD5 keys and SHA-1 integrity. Browsers cannot log in then."),

    key("oauth.enabled", Flag(|d| &mut d.config.oauth.enabled), &["false"],
        "Tell clients of third-party authorisation and take access tokens.")
        .coturn(&[same("oauth")]),
    key("oauth.server-name", Maybe(|d| &mut d.config.oauth.server_name, "any text"), &[""],
        "The name of this server to authorisation servers, for which tokens are sealed. Empty: the realm.")
        .coturn(&[same("server-name")]),
    key("oauth.keys", List("KID:A256GCM:KEY with the key in base64", |d, t| push(&mut d.config.oauth.keys, value::oauth_key(t))), &[],
        "Keys shared with authorisation servers: KID:A256GCM:KEY or KID:A128GCM:KEY, the key in base64; then, if it ends, :TIMESTAMP:LIFETIME in seconds, as in coturn's oauth_key table; then, if there are several authorisation servers, :GROUP, and tokens of one group's keys mean nothing to what another's clients have.")
        .secret(),

    key("peers.allow",
        List(PEER, |d, t| push(&mut d.config.peers.allow, t.parse())), &[],
        "Peers that may be reached whatever else is said.")
        .coturn(&[same("allowed-peer-ip")]).common(),
    key("peers.deny",
        List(PEER, |d, t| push(&mut d.config.peers.deny, t.parse())), &[],
        "Peers that may not be reached, beyond the built-in list.")
        .coturn(&[same("denied-peer-ip")]).common(),
    key("peers.allow-private", Flag(|d| &mut d.config.peers.allow_private), &["false"],
        "Private ranges may be reached (RFC 1918, RFC 6598, ULA)."),
    key("peers.allow-loopback", Flag(|d| &mut d.config.peers.allow_loopback), &["false"],
        "Loopback addresses may be reached. For tests alone.")
        .coturn(&[same("allow-loopback-peers"), not("no-loopback-peers")]),
    key("peers.allow-multicast", Flag(|d| &mut d.config.peers.allow_multicast), &["false"],
        "Multicast groups may be reached.")
        .coturn(&[not("no-multicast-peers")]),
    key("peers.nat64",
        List("a NAT64 prefix such as 64:ff9b:1::/48", |d, t| push(&mut d.config.peers.nat64, nat64(t))), &[],
        "NAT64 prefixes of this network; the IPv4 addresses in them are judged as such."),

    key("limits.user-allocations", Count(|d| &mut d.config.limits.user_allocations, 0, u32::MAX), &["0"],
        "Allocations of one user.")
        .coturn(&[same("user-quota").short('q')]),
    key("limits.source-allocations", Count(|d| &mut d.config.limits.source_allocations, 0, u32::MAX), &["0"],
        "Allocations from one source address."),
    key("limits.allocations", Count(|d| &mut d.config.limits.allocations, 0, u32::MAX), &["100000"],
        "Allocations in all.")
        .coturn(&[same("total-quota").short('Q')]),
    key("limits.permissions", Count(|d| &mut d.config.limits.permissions, 1, 65_535), &["1024"],
        "Permissions of one allocation."),
    key("limits.channels", Count(|d| &mut d.config.limits.channels, 1, 16_383), &["1024"],
        "Channels of one allocation."),
    key("limits.peer-connections", Count(|d| &mut d.config.limits.peer_connections, 1, 65_535), &["64"],
        "Connections to peers of one allocation that relays TCP (RFC 6062)."),
    key("limits.lifetime", Time(|d| &mut d.config.limits.lifetime, 1, YEAR), &["1h"],
        "The longest lifetime of an allocation.")
        .coturn(&[same("max-allocate-lifetime")]),
    key("limits.permission-lifetime", Time(|d| &mut d.config.limits.permission_lifetime, 1, YEAR), &["5m"],
        "How long a permission lasts. Clients count on 5m (RFC 8656).")
        .coturn(&[same("permission-lifetime")]),
    key("limits.channel-lifetime", Time(|d| &mut d.config.limits.channel_lifetime, 1, YEAR), &["10m"],
        "How long a channel lasts. Clients count on 10m (RFC 8656).")
        .coturn(&[same("channel-lifetime")]),
    key("limits.bandwidth", Rate(|d| &mut d.config.limits.bandwidth), &["0"],
        "Bytes in a second of one allocation, each direction: 125000, 1MB/s, 1Mbit/s.")
        .coturn(&[same("max-bps").short('s')]),
    key("limits.total-bandwidth", Rate(|d| &mut d.config.limits.total_bandwidth), &["0"],
        "What the bandwidths of all allocations may add up to.")
        .coturn(&[same("bps-capacity").short('B')]),
    key("limits.unauthenticated", Count(|d| &mut d.config.limits.unauthenticated, 0, u32::MAX), &["1000"],
        "Requests without credentials that are answered, in a second and for one source address, which the workers share out evenly.")
        .coturn(&[how("unauthorized-ratelimit", How::As("10")), same("unauthorized-ratelimit-rps")]),
    key("limits.connections", Count(|d| &mut d.config.limits.connections, 0, u32::MAX), &["10000"],
        "TCP and TLS connections and DTLS sessions in all."),
    key("limits.source-connections", Count(|d| &mut d.config.limits.source_connections, 0, u32::MAX), &["1000"],
        "TCP and TLS connections and DTLS sessions of one source address."),
    key("limits.source-handshakes", Count(|d| &mut d.config.limits.source_handshakes, 0, u32::MAX), &["50"],
        "TLS and DTLS handshakes that one source address may begin in a second, and those of DTLS that it may have unfinished. Each costs about a millisecond of signing."),
    key("limits.socket-buffer", Size(|d| &mut d.config.limits.socket_buffer), &["2MiB"],
        "Buffers of a UDP socket. 0: the system's.")
        .coturn(&[same("sock-buf-size")]),

    key("tls.certificate", List("a path", |d, t| push(&mut d.chains, path(t))), &[],
        "PEM files of certificate chains, leaf first; the first is used where no name fits.")
        .coturn(&[same("cert")]).common(),
    key("tls.key", List("a path", |d, t| push(&mut d.keys, path(t))), &[],
        "PEM files of their private keys, in the same order.")
        .coturn(&[same("pkey")]).common(),
    key("tls.require-1-3", Flag(|d| &mut d.config.tls.only_13), &["false"],
        "Refuse TLS 1.2.")
        .coturn(&[same("no-tlsv1_2")]),
    key("tls.ciphers", List("a cipher suite such as ECDHE-RSA-AES128-GCM-SHA256", suites), &[],
        "The cipher suites that may be used, as OpenSSL calls them, each alone or several with colons between. Of a version (1.2, 1.3) that has none here, and if none is given, all safe ones.")
        .coturn(&[same("cipher-list")]),
    key("tls.client-ca", Path(|d| &mut d.config.tls.client_authorities), &[""],
        "A PEM file with authorities: clients of TLS must show a certificate of one of them. Browsers have none to show. Empty: none is asked for.")
        .coturn(&[same("CA-file")]),

    key("http.acme-directory", Path(|d| &mut d.config.http.challenges), &[""],
        "A directory with a file for each challenge, which is .well-known/acme-challenge under the web root that an ACME client is told. It has to be on a local disk: a worker waits for what it reads. Empty: none."),
    key("http.acme-redirect", Other("an http or https URL, before the name of the challenge", acme_redirect), &[""],
        "Where a request for a challenge is redirected to; the challenge's name is put at its end. Empty: nowhere.")
        .coturn(&[same("acme-redirect")]),

    key("protocol.stun", Flag(|d| &mut d.config.protocol.stun), &["true"],
        "Answer Binding requests.")
        .coturn(&[not("no-stun")]),
    key("protocol.turn", Flag(|d| &mut d.config.protocol.turn), &["true"],
        "Serve TURN.")
        .coturn(&[not("stun-only").short('S')]),
    key("protocol.software", Maybe(|d| &mut d.config.protocol.software, "any text"), &[""],
        "The SOFTWARE attribute. Empty: none is sent.")
        .coturn(&[how("software-attribute", How::As("hairpin")), how("no-software-attribute", How::As("")),
                  how("prod", How::As(""))]),
    key("protocol.fingerprint", Flag(|d| &mut d.config.protocol.fingerprint), &["false"],
        "FINGERPRINT in every answer, not only to those who send it.")
        .coturn(&[same("fingerprint").short('f')]),
    key("protocol.classic", Flag(|d| &mut d.config.protocol.classic), &["false"], "Answer clients of RFC 3489.")
        .coturn(&[same("rfc3489-compatibility")]),
    key("protocol.mapped-address", Flag(|d| &mut d.config.protocol.mapped_address), &["false"],
        "MAPPED-ADDRESS beside XOR-MAPPED-ADDRESS in Binding answers.")
        .coturn(&[same("stun-backward-compatibility"), not("no-stun-backward-compatibility")]),
    key("protocol.legacy-channels", Flag(|d| &mut d.config.protocol.legacy_channels), &["false"],
        "Allow channel numbers up to 0x7FFE (RFC 5766).")
        .coturn(&[same("rfc5766-channel-numbers")]),
    key("protocol.discovery", Flag(|d| &mut d.config.protocol.discovery), &["false"],
        "Answer from other addresses and ports on request, so that clients learn how their NAT behaves (RFC 5780). Needs two addresses of a family.")
        .coturn(&[same("rfc5780"), not("no-rfc5780")]),
    key("protocol.mobility", Flag(|d| &mut d.config.protocol.mobility), &["false"],
        "Clients that ask for a ticket may take their allocations along to another address or transport (RFC 8016).")
        .coturn(&[same("mobility")]),
    key("protocol.check-origin", Flag(|d| &mut d.config.protocol.check_origin), &["false"],
        "Requests about an allocation must all have the ORIGIN of the one that made it, if that had any.")
        .coturn(&[same("check-origin-consistency")]),
    key("protocol.reasons", Flag(|d| &mut d.config.protocol.reasons), &["false"],
        "Reason phrases in error answers.")
        .coturn(&[same("include-reason-string")]),

    key("redirect.servers",
        List("a server such as turn:192.0.2.7:3478?transport=udp or turns:192.0.2.7?name=turn.example.org&weight=2",
            |d, t| push(&mut d.config.redirect.servers, super::alternate::read(t))), &[],
        "Servers for clients of the same transport and family: turn:ADDRESS:PORT?transport=udp, with &weight=2 for a double share, with &name=NAME for the name in a TLS certificate. Without transport, turn: is for UDP and TCP, turns: for TLS and DTLS.")
        .coturn(&[how("alternate-server", How::With(plain_alternate)),
                  how("tls-alternate-server", How::With(tls_alternate)),
                  how("udp-alternate-server", How::With(udp_alternate)),
                  how("tcp-alternate-server", How::With(tcp_alternate))]),
    key("redirect.at", List("an IP address", |d, t| push(&mut d.config.redirect.at, value::address(t))), &[],
        "Addresses of this server at which alone clients are sent away, such as anycast ones (RFC 8155). Empty: all."),
    key("redirect.before-auth", Flag(|d| &mut d.config.redirect.before_auth), &["false"],
        "Send clients away before they have shown credentials; the answer cannot be protected then."),

    key("admin.socket", Other("a path, auto or off", admin::socket), &["auto"],
        "The control socket of `hairpin status` and the like, for the server's user and root alone. auto: `control` in $RUNTIME_DIRECTORY, as systemd sets it, or in /run/hairpin, if there is that folder and it may be written to."),
    key("admin.metrics", Other("an address with a port, or a port after a colon", admin::metrics), &[""],
        "Where Prometheus fetches /metrics by HTTP, for whoever can reach it: 127.0.0.1:9641, or :9641 for every address. No metric names a client or a user. Empty: nowhere.")
        .coturn(&[how("prometheus", How::As(":9641")), how("prometheus-port", How::With(admin::at_port)),
                  how("prometheus-address", How::With(str::to_owned))]),

    key("log.level", Text(|d| &mut d.config.log.level, "error, warn, info, debug, trace or a filter"), &["info"],
        "error, warn, info, debug, trace, or a filter such as warn,hairpin::turn=debug.")
        .coturn(&[how("verbose", How::As("info")).short('v'), how("Verbose", How::As("debug")).short('V'),
                  how("log-min-level", How::With(warning_is_warn))]).common(),
    key("log.json", Flag(|d| &mut d.config.log.json), &["false"], "JSON lines instead of text."),
    key("log.file", Path(|d| &mut d.config.log.file), &[""],
        "A file. Empty: standard error, which systemd keeps in the journal.")
        .coturn(&[how("log-file", How::With(streams_are_none)).short('l')]),
];

/// Adds an item to a list.
pub(super) fn push<T>(list: &mut Vec<T>, item: Result<T, String>) -> Result<(), String> {
    list.push(item?);
    Ok(())
}

/// Stores a value.
fn put<T>(field: Field<T>, draft: &mut Draft, value: Result<T, String>) -> Result<(), String> {
    *field(draft) = value?;
    Ok(())
}

/// Accepts any text but the empty one.
fn not_empty(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("it is empty; give a long random text".to_owned()) } else { Ok(text.to_owned()) }
}

/// Accepts any path but the empty one.
fn path(text: &str) -> Result<std::path::PathBuf, String> {
    if text.is_empty() { Err("it is empty; name a PEM file".to_owned()) } else { Ok(text.into()) }
}

/// Reads a prefix of one of the lengths of RFC 6052.
fn nat64(text: &str) -> Result<ipnet::Ipv6Net, String> {
    let prefix: ipnet::Ipv6Net = value::parse(text, "a NAT64 prefix such as 64:ff9b:1::/48")?;
    if [32, 40, 48, 56, 64, 96].contains(&prefix.prefix_len()) {
        return Ok(prefix);
    }
    Err(format!("{text:?} is no NAT64 prefix; its length is 32, 40, 48, 56, 64 or 96"))
}

/// Adds cipher suites; `DEFAULT` is what OpenSSL calls those that there are.
fn suites(draft: &mut Draft, text: &str) -> Result<(), String> {
    for name in text.split([':', ',', ' ']).filter(|name| !name.is_empty() && text != "DEFAULT") {
        draft.config.tls.suites.push(name.parse()?);
    }
    Ok(())
}

/// Stores where challenges are redirected to: what goes into a header must stay in its line.
fn acme_redirect(draft: &mut Draft, text: &str) -> Result<(), String> {
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let plain = |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic());
    if !text.is_empty() && !host.is_some_and(plain) {
        return Err(format!("{text:?} is not a URL such as https://acme.example.org/.well-known/acme-challenge/"));
    }
    draft.config.http.redirect = Some(text.to_owned()).filter(|text| !text.is_empty());
    Ok(())
}

/// Stores the default family.
fn default_family(draft: &mut Draft, word: &str) -> Result<(), String> {
    draft.config.relay.default_family = match word {
        "ipv6" => DefaultFamily::Ipv6,
        "client" => DefaultFamily::Client,
        _ => DefaultFamily::Ipv4,
    };
    Ok(())
}

/// Stores the choice of the kernel path.
fn kernel_path(draft: &mut Draft, word: &str) -> Result<(), String> {
    draft.config.kernel_path = match word {
        "off" => KernelPath::Off,
        "native" => KernelPath::Native,
        "generic" => KernelPath::Generic,
        "tc" => KernelPath::Tc,
        _ => KernelPath::Auto,
    };
    Ok(())
}

/// In coturn, no relay thread means that the listening thread relays: one worker here.
fn at_least_one(text: &str) -> String {
    if text == "0" { "1".to_owned() } else { text.to_owned() }
}

/// In coturn, the family of the client is called `keep`.
fn keep_is_client(text: &str) -> String {
    if text == "keep" { "client".to_owned() } else { text.to_owned() }
}

/// In coturn, only the first character counts.
fn first_character(text: &str) -> String {
    text.chars().take(1).collect()
}

/// In coturn, only an address and perhaps a port stand there; an IPv6 address may be bare.
fn alternate_url(scheme: &str, text: &str, query: &str) -> String {
    match text.parse::<std::net::Ipv6Addr>() {
        Ok(ip) => format!("{scheme}:[{ip}]{query}"),
        Err(_) => format!("{scheme}:{text}{query}"),
    }
}

/// In coturn, such a server is for UDP and TCP.
fn plain_alternate(text: &str) -> String {
    alternate_url("turn", text, "")
}

/// In coturn, such a server is for TLS.
fn tls_alternate(text: &str) -> String {
    alternate_url("turns", text, "")
}

/// In coturn, such a server is for UDP alone.
fn udp_alternate(text: &str) -> String {
    alternate_url("turn", text, "?transport=udp")
}

/// In coturn, such a server is for TCP alone.
fn tcp_alternate(text: &str) -> String {
    alternate_url("turn", text, "?transport=tcp")
}

/// In coturn, the level is called `warning`.
fn warning_is_warn(text: &str) -> String {
    if text == "warning" { "warn".to_owned() } else { text.to_owned() }
}

/// In coturn, some file names are streams; here they are all standard error.
fn streams_are_none(text: &str) -> String {
    if matches!(text, "stdout" | "-" | "syslog") { String::new() } else { text.to_owned() }
}
