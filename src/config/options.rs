//! The options of coturn that are no key here, and what becomes of each.

/// An option of coturn that is no key here.
pub(crate) struct Other {
    /// The long name.
    pub(crate) name: &'static str,
    /// The short one.
    pub(crate) short: Option<char>,
    /// Whether it takes a value; a flag that is off is not set.
    pub(crate) valued: bool,
    /// What becomes of it.
    pub(crate) fate: Fate,
}

/// What becomes of an option that is no key.
#[derive(Clone, Copy)]
pub(crate) enum Fate {
    /// It is accepted, has no effect yet, and a warning says so.
    Planned(&'static str),
    /// It is accepted, has no effect, and a warning says why.
    Ignored(&'static str),
    /// It is always so, or there is nothing to do. The text is for the curious.
    Implied(&'static str),
    /// It is an error; the text says why and what to do instead.
    Refused(&'static str),
    /// It is the opposite of another option.
    Opposite(&'static str),
}

use Fate::{Ignored, Implied, Opposite, Planned, Refused};

/// Makes a flag.
const fn flag(name: &'static str, fate: Fate) -> Other {
    Other { name, short: None, valued: false, fate }
}

/// Makes an option with a value.
const fn valued(name: &'static str, fate: Fate) -> Other {
    Other { name, short: None, valued: true, fate }
}

impl Other {
    /// Gives an option its short letter.
    const fn short(mut self, letter: char) -> Self {
        self.short = Some(letter);
        self
    }
}

/// Looks up an option by its long name.
pub(crate) fn find(name: &str) -> Option<&'static Other> {
    OTHERS.iter().find(|other| other.name == name)
}

const DATABASE: Fate = Planned("databases are not read; users and secrets stand in the configuration");
const PLAIN_METRICS: Fate = Planned("metrics are served without TLS; where others can listen, put a proxy before them");
const CONTROL: Fate = Ignored("there is no telnet; `hairpin status` and the like ask a running server by admin.socket");
const WEB: Fate = Planned("there is no web page");
const SHARED_RELAY: Fate = Planned("each allocation has a relay port of its own");
const STAYS: Fate = Ignored("the process stays the present user; let systemd change it with User= and Group=");
const OWN_STAMP: Fate = Implied("log lines begin with an ISO 8601 time");
const OLD_TLS: Fate = Refused("TLS before 1.2 is broken and not spoken; remove the line (clients need TLS 1.2 or 1.3)");
const NO_OLD_TLS: Fate = Implied("TLS before 1.2 is never spoken");
const DH: Fate = Ignored("keys are exchanged over elliptic curves, without Diffie-Hellman groups");
const SMALL_DH: Fate = Refused("a group so small is broken; remove the line (keys are exchanged over elliptic curves)");
const BATCH_LOG: Fate = Planned("there are no statistics of batches");
const BATCHED: Fate = Implied("packets are read and sent in batches wherever the system can");

/// Every option of coturn, present and past, that is no key here.
#[rustfmt::skip] // a table: a line for each option
pub(crate) static OTHERS: &[Other] = &[
    // Listeners and relays.
    valued("alt-tls-listening-port", Implied("discovery is served over UDP and TCP alone")),
    flag("response-origin-only-with-rfc5780", Implied("RESPONSE-ORIGIN belongs to NAT behaviour discovery alone")),
    valued("listening-device", Planned("clients are served whatever the device; listening-ip narrows it")).short('d'),
    flag("udp-self-balance", Planned("clients are not spread over listeners; the kernel spreads them over workers")),
    valued("cpus", Implied("the cores are those that the system lets the process use")),
    flag("server-relay", Refused("it lets any peer reach a client without a permission; remove the line")),
    flag("multiplex-peer", SHARED_RELAY),
    valued("multiplex-peer-port", SHARED_RELAY),
    valued("multiplex-peer-max-peers", SHARED_RELAY),
    flag("udp-recvmmsg", BATCHED),
    flag("udp-gso", BATCHED),
    flag("udp-recvmmsg-log", BATCH_LOG),
    flag("udp-sendmmsg-log", BATCH_LOG),

    // Users.
    flag("lt-cred-mech", Implied("credentials are asked for unless no-auth is set")).short('a'),
    flag("use-auth-secret", Implied("shared secrets work wherever one is given")),
    flag("stateless-nonce", Implied("nonces hold no state")),
    flag("no-auth-pings", Implied("no database is asked")),
    flag("no-dynamic-ip-list", Implied("peer lists stand in the configuration alone")),
    flag("no-dynamic-realms", Implied("the realm stands in the configuration alone")),
    valued("secret-ts-exp-time", Ignored("coturn dropped it as well; auth.rest-max-ttl bounds how far ahead an expiry may lie")),
    valued("userdb", DATABASE).short('b'),
    valued("db", DATABASE),
    valued("psql-userdb", DATABASE).short('e'),
    valued("sql-userdb", DATABASE),
    valued("mysql-userdb", DATABASE).short('M'),
    valued("mongo-userdb", DATABASE).short('J'),
    valued("redis-userdb", DATABASE).short('N'),
    valued("redis-statsdb", Planned("no statistics are published")).short('O'),
    valued("secret-key-file", DATABASE),

    // Limits and safety.
    valued("max-allocate-timeout", Implied("a client without an allocation takes no state")),
    flag("drop-invalid-packets", Implied("what is neither STUN nor ChannelData is dropped without state")),
    flag("drop-invalid-packets-log", Planned("dropped packets are not logged")),
    valued("proc-user", STAYS),
    valued("proc-group", STAYS),

    // TLS.
    valued("pkey-pwd", Refused("an encrypted private key is not read; decrypt it (openssl pkey -in KEY -out PLAIN), protect the file with its mode and remove the line")),
    valued("ec-curve-name", Ignored("the TLS library offers X25519, P-256 and P-384")),
    valued("dh-file", DH),
    flag("dh566", SMALL_DH),
    flag("dh1066", SMALL_DH),
    flag("tlsv1", OLD_TLS),
    flag("tlsv1_1", OLD_TLS),
    flag("no-sslv2", NO_OLD_TLS),
    flag("no-sslv3", NO_OLD_TLS),
    flag("no-tlsv1", NO_OLD_TLS),
    flag("no-tlsv1_1", NO_OLD_TLS),
    flag("raw-public-keys", Planned("raw public keys (RFC 7250) are not offered")),

    // Operators.
    flag("cli", CONTROL),
    flag("no-cli", Opposite("cli")),
    valued("cli-ip", CONTROL),
    valued("cli-port", CONTROL),
    valued("cli-password", CONTROL),
    valued("cli-max-output-sessions", CONTROL),
    flag("web-admin", WEB),
    valued("web-admin-ip", WEB),
    valued("web-admin-port", WEB),
    flag("web-admin-listen-on-workers", WEB),
    valued("prometheus-path", Ignored("metrics are at /metrics")),
    flag("prometheus-username-labels", Ignored("no metric names a user, of whom there is no end; `hairpin sessions` does")),
    flag("prometheus-tls", PLAIN_METRICS),
    valued("prometheus-cert", PLAIN_METRICS),
    valued("prometheus-key", PLAIN_METRICS),
    flag("no-stdout-log", Implied("standard output is never logged to")),
    flag("syslog", Ignored("logs go to standard error, which systemd keeps in the journal")),
    valued("syslog-facility", Ignored("logs go to standard error, which systemd keeps in the journal")),
    flag("simple-log", Implied("the name of the log file is taken as it is")),
    flag("new-log-timestamp", OWN_STAMP),
    valued("new-log-timestamp-format", OWN_STAMP),
    flag("log-binding", Planned("Binding requests are not logged")),
    flag("daemon", Ignored("the process stays in the foreground; let systemd run it (Type=exec)")).short('o'),
    valued("drain-min-allocations", Planned("there is no draining")),
    flag("version", Ignored("it belongs on the command line")),
    valued("ne", Implied("there is one engine")),

    // HTTP.
    flag("respond-http-unsupported", Implied("a request of HTTP is always told that it is none for this port")),
];
