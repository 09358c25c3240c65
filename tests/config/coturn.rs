//! Files written for coturn.

use std::net::IpAddr;
use std::time::Duration;

use hairpin::config::{self, Certificate, DefaultFamily, External, ListenKey, Listener, User, UserSecret};
use hairpin::io::dtls::SERVED;

use crate::{assert_says, bad, good, lines, with_user};

/// The names that coturn has and had, one on each line.
const NAMES: &str = include_str!("../data/coturn-options.txt");

/// Returns the names of the list.
fn names() -> impl Iterator<Item = &'static str> {
    NAMES.lines().filter(|line| !line.starts_with('#'))
}

#[test]
fn the_file_of_a_deployment_means_what_it_says() {
    let loaded = good("turnserver.conf", include_str!("../data/deployment.conf"));
    let config = loaded.config;
    let addr: IpAddr = "192.168.0.186".parse().unwrap();
    assert_eq!(
        config.listen,
        [
            Listener {
                addr: (addr, 3478).into(),
                udp: true,
                tcp: true,
                tls: true,
                dtls: SERVED,
                proxied: false,
                key: ListenKey::Port
            },
            Listener {
                addr: (addr, 5349).into(),
                udp: false,
                tcp: true,
                tls: true,
                dtls: SERVED,
                proxied: false,
                key: ListenKey::TlsPort
            },
        ]
    );
    assert_eq!(config.relay.addresses, [addr]);
    assert_eq!(config.relay.device.as_deref(), Some("eth0"));
    assert_eq!(config.relay.ports, 49152..=65535);
    let public = "203.0.113.109".parse().unwrap();
    assert_eq!(config.relay.external, [External { public, local: None }]);
    assert_eq!(config.auth.realm, "turn.example.org");
    let secret = UserSecret::Password("123456".to_owned());
    assert_eq!(config.auth.users, [User { name: "jun".to_owned(), secret }]);
    assert!(config.protocol.fingerprint);
    assert_eq!(
        config.tls.certificates,
        [Certificate { chain: "/etc/turn_server_cert.pem".into(), key: "/etc/turn_server_pkey.pem".into() }]
    );
    assert_eq!(config.log.level, "info");
    let cores = std::thread::available_parallelism().unwrap().get();
    assert_eq!(config.workers, cores.min(50));
}

#[test]
fn the_file_of_a_deployment_warns_of_what_is_risky() {
    let warnings = lines(&good("turnserver.conf", include_str!("../data/deployment.conf")).warnings);
    assert_says(&warnings, "turnserver.conf:18: user: a password is short");
    assert_says(&warnings, "private peers");
    assert!(!warnings.iter().any(|w| w.contains("server-name") || w.contains("no-cli")), "{warnings:#?}");
}

#[test]
fn the_file_of_the_benchmark_is_read() {
    let text = "listening-port=3499\nlistening-ip=127.0.0.1\nrelay-ip=127.0.0.1\nmin-port=20000\nmax-port=59999\n\
        relay-threads=1\nlt-cred-mech\nuser=u:p\nrealm=bench.local\nallow-loopback-peers\nallowed-peer-ip=127.0.0.1\n\
        no-tls\nno-dtls\ncli-password=x\npidfile=/tmp/x/pid\nlog-file=/tmp/x/log\nsimple-log\nkernel-path=off\n";
    let config = good("server.conf", text).config;
    assert_eq!(config.listen.len(), 1);
    assert_eq!(config.relay.ports, 20000..=59999);
    assert_eq!(config.workers, 1);
    assert!(config.peers.allow_loopback);
    assert_eq!(config.peers.allow, ["127.0.0.1".parse().unwrap()]);
    assert_eq!(config.pidfile, Some("/tmp/x/pid".into()));
    assert_eq!(config.log.file, Some("/tmp/x/log".into()));
    assert_eq!(config.kernel_path, config::KernelPath::Off);
}

#[test]
fn the_list_of_names_is_complete() {
    let (present, past) = NAMES.split_once("# Those of earlier").unwrap();
    assert_eq!(present.lines().filter(|l| !l.starts_with('#')).count(), 143);
    assert_eq!(past.lines().skip(1).count(), 9);
}

#[test]
fn every_name_of_coturn_is_known_and_no_other() {
    let mut known: Vec<&str> = config::coturn_names().collect();
    let mut listed: Vec<&str> = names().collect();
    known.sort_unstable();
    listed.sort_unstable();
    assert_eq!(known, listed);
}

#[test]
fn no_name_of_coturn_is_an_unknown_option() {
    for name in names() {
        let all = match config::from_text("t.conf", &with_user(&format!("{name}=1"))) {
            Ok(loaded) => lines(&loaded.warnings),
            Err(failed) => lines(&failed.errors),
        };
        assert!(!all.iter().any(|line| line.contains("unknown")), "{name}: {all:?}");
    }
}

#[test]
fn the_options_of_an_installed_coturn_are_known() {
    let Ok(output) = std::process::Command::new("turnserver").arg("--help").output() else {
        assert!(std::env::var_os("REQUIRE_ALL").is_none(), "turnserver is not installed; install coturn");
        eprintln!("skipped: turnserver is not installed");
        return;
    };
    let help = [output.stdout, output.stderr].concat();
    let help = String::from_utf8_lossy(&help);
    let options = help.lines().filter(|l| l.starts_with(" -")).flat_map(long_names).collect::<Vec<_>>();
    assert!(options.len() > 80, "{options:?}");
    for name in options {
        assert!(config::coturn_names().any(|known| known == name), "{name} is unknown");
    }
}

/// Returns the long names at the start of a line of coturn's help.
fn long_names(line: &str) -> Vec<String> {
    let names = line.split("\t").next().unwrap().split([' ', ',']).filter_map(|word| word.strip_prefix("--"));
    let ends = |c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_';
    names.map(|name| name.split(ends).next().unwrap().to_owned()).collect()
}

#[test]
fn names_and_values_are_separated_as_in_coturn() {
    let config =
        good("t.conf", "# comment\n\n  realm \t = a.b \nuser alice:se cret#1\nserver-name\t\"x\"\nfingerprint\n")
            .config;
    assert_eq!(config.auth.realm, "a.b");
    assert_eq!(config.auth.users[0].secret, UserSecret::Password("se cret#1".to_owned()));
    assert!(config.protocol.fingerprint);
}

#[test]
fn quotes_around_a_value_are_taken_off() {
    let config = good("t.conf", "user=\"alice:pass word\"\nrealm=\"a.b\"\r\n").config;
    assert_eq!(config.auth.realm, "a.b");
    assert_eq!(config.auth.users[0].secret, UserSecret::Password("pass word".to_owned()));
}

#[test]
fn a_flag_that_says_no_is_off() {
    for word in ["0", "off", "no", "false", "f", "FALSE"] {
        let loaded = good("t.conf", &with_user(&format!("prometheus={word}\nfingerprint={word}\nno-udp={word}")));
        assert!(!loaded.config.protocol.fingerprint);
        assert!(loaded.config.listen[0].udp);
        assert!(!lines(&loaded.warnings).iter().any(|w| w.contains("prometheus")));
    }
}

#[test]
fn a_flag_that_says_yes_is_on() {
    for word in ["", "=1", "=on", "=yes", "=true", "=t", " On"] {
        assert!(good("t.conf", &with_user(&format!("fingerprint{word}"))).config.protocol.fingerprint, "{word}");
    }
}

#[test]
fn planned_options_warn_with_their_name_and_start() {
    let text = "userdb=/var/lib/turn/turndb\nredis-statsdb=\"ip=127.0.0.1\"\n\
        prometheus-tls\nweb-admin\ncli\nproc-user=turn\ndaemon";
    let warnings = lines(&good("t.conf", &with_user(text)).warnings);
    for name in text.lines().map(|line| line.split('=').next().unwrap()) {
        assert_says(&warnings, &format!(": {name}: has no effect"));
    }
}

#[test]
fn implied_options_are_quiet() {
    let text = "lt-cred-mech\nno-cli\nno-dtls\nno-multicast-peers\nsimple-log\nudp-recvmmsg\n\
        no-sslv2\nno-sslv3\nno-tlsv1\nno-tlsv1_1\nstateless-nonce\nno-rfc5780\nnew-log-timestamp\n\
        no-loopback-peers\nrespond-http-unsupported\nno-stun-backward-compatibility\nprod\nne=1\npeers.allow-private=true";
    let warnings = lines(&good("t.conf", &with_user(text)).warnings);
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert_says(&warnings, "clients may reach private networks");
}

#[test]
fn refused_options_say_why_and_what_to_do() {
    for name in ["server-relay", "tlsv1", "tlsv1_1", "dh566", "dh1066", "pkey-pwd=x"] {
        let errors = bad("t.conf", &with_user(name));
        assert_says(&errors, "t.conf:2: ");
        assert_says(&errors, "refused: ");
        assert_says(&errors, "remove the line");
    }
    good("t.conf", &with_user("server-relay=no\ntlsv1=off"));
}

#[test]
fn something_must_be_left_to_relay() {
    assert!(!good("t.conf", &with_user("no-tcp-relay")).config.relay.tcp);
    assert!(!good("t.conf", &with_user("no-udp-relay")).config.relay.udp);
    assert_says(&bad("t.conf", &with_user("no-udp-relay\nno-tcp-relay")), "nothing would be relayed");
}

#[test]
fn dtls_is_asked_for_where_this_build_has_it() {
    let with_certificate = |text: &str| with_user(&format!("cert=/c.pem\npkey=/k.pem\n{text}"));
    let serves = |text: &str| good("t.conf", &with_certificate(text)).config.listen.iter().any(|at| at.dtls);
    assert_eq!(serves(""), SERVED);
    assert!(!serves("no-dtls") && !serves("no-udp") && !serves("no-tlsv1_2"));
    if SERVED {
        assert!(serves("dtls") && serves("aux-server=dtls://192.0.2.1:443"));
        assert_says(&bad("t.conf", &with_certificate("dtls\nno-tlsv1_2")), "DTLS is served in version 1.2");
    } else {
        assert_says(&bad("t.conf", &with_certificate("dtls")), "t.conf:4: dtls: this build serves no DTLS");
        assert_says(&bad("t.conf", &with_certificate("aux-server=dtls://192.0.2.1:443")), "--features dtls");
    }
}

#[test]
fn a_file_without_credentials_is_refused() {
    for text in ["listening-port=3478\n", "lt-cred-mech\n", "use-auth-secret\n", "lt-cred-mech\nuserdb=/x\n", ""] {
        let errors = bad("t.conf", text);
        assert_says(&errors, "user=name:password");
        assert_says(&errors, "static-auth-secret");
        assert_says(&errors, "no-auth");
    }
    good("t.conf", "stun-only\n");
}

#[test]
fn an_open_relay_must_be_asked_for_and_is_warned_of() {
    let loaded = good("t.conf", "no-auth\n");
    assert!(loaded.config.auth.anonymous);
    assert_says(&lines(&loaded.warnings), "open relay");
    assert_says(&bad("t.conf", "no-auth\nlt-cred-mech\n"), "remove one");
    assert_says(&bad("t.conf", "no-auth\nuser=a:bbbbbbbb\n"), "users and secrets mean nothing");
}

#[test]
fn users_are_passwords_or_stored_keys() {
    let md5 = "7da2270ccfa49786e0115366d3a3d14d";
    let sha = md5.repeat(2);
    let config =
        good("t.conf", &format!("user=a:0x{md5}\nuser=b:0x{sha}\nuser=c:0xhello\nuser=d:x:y\nuser=a:0x{sha}\nrealm=r"))
            .config;
    let secrets: Vec<_> = config.auth.users.iter().map(|u| (u.name.as_str(), &u.secret)).collect();
    assert!(matches!(secrets[0], ("a", UserSecret::Both(..))));
    assert!(matches!(secrets[1], ("b", UserSecret::Sha256(_))));
    assert_eq!(secrets[2], ("c", &UserSecret::Password("0xhello".to_owned())));
    assert_eq!(secrets[3], ("d", &UserSecret::Password("x:y".to_owned())));
}

#[test]
fn errors_about_users_do_not_repeat_their_secrets() {
    for user in ["user=alice", "user=:secret-word", "user=alice:0x1234abcd", "user=alice:0xabcdabcd0\nuser=alice:1"] {
        let errors = bad("t.conf", user).concat();
        assert!(!errors.contains("secret-word") && !errors.contains("abcd"), "{errors}");
    }
}

#[test]
fn external_addresses_come_alone_or_with_their_local_one() {
    let config = good(
        "t.conf",
        &with_user("external-ip=203.0.113.1/10.0.0.1\nexternal-ip=2001:db8::1\nexternal-ip=203.0.113.2"),
    )
    .config;
    let text: Vec<String> = config.relay.external.iter().map(|e| format!("{}/{:?}", e.public, e.local)).collect();
    assert_eq!(text, ["203.0.113.1/Some(10.0.0.1)", "2001:db8::1/None", "203.0.113.2/None"]);
}

#[test]
fn peers_may_be_ranges_or_networks() {
    let config = good(
        "t.conf",
        &with_user("allowed-peer-ip=10.0.0.1-10.0.0.9\ndenied-peer-ip=192.0.2.0/24\ndenied-peer-ip=::1"),
    )
    .config;
    assert_eq!((config.peers.allow.len(), config.peers.deny.len()), (1, 2));
    assert_says(&bad("t.conf", &with_user("denied-peer-ip=10.0.0.9-10.0.0.1")), "t.conf:2: denied-peer-ip: ");
}

#[test]
fn aux_servers_are_further_listeners() {
    let config = good("t.conf", &with_user("aux-server=192.0.2.1:443\naux-server=[::]:80\nno-tcp")).config;
    let extra = config.listen.iter().find(|l| l.addr.port() == 443).unwrap();
    assert!(extra.udp && !extra.tcp && !extra.tls);
    assert!(config.listen.iter().any(|l| l.addr.port() == 80));
}

#[test]
fn suites_and_authorities_of_clients_are_taken_over() {
    let text = "CA-file=/etc/clients.pem\ncipher-list=\"ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256\"";
    let tls = good("t.conf", &with_user(text)).config.tls;
    assert_eq!(tls.suites.len(), 2);
    assert_eq!(tls.client_authorities.as_deref(), Some(std::path::Path::new("/etc/clients.pem")));
    assert_eq!(good("t.conf", &with_user("cipher-list=DEFAULT")).config.tls.suites, []);
    assert_says(
        &bad("t.conf", &with_user("cipher-list=HIGH:!aNULL")),
        "t.conf:2: cipher-list: \"HIGH\" is not a cipher suite",
    );
}

#[test]
fn challenges_may_be_redirected() {
    let config = good("t.conf", &with_user("acme-redirect=http://example.org/acme/")).config;
    assert_eq!(config.http.redirect.as_deref(), Some("http://example.org/acme/"));
    assert_says(&bad("t.conf", &with_user("acme-redirect=example.org")), "acme-redirect: \"example.org\" is not a URL");
}

#[test]
fn the_port_of_proxies_is_a_listener_behind_them() {
    let text = with_user("tcp-proxy-port=8443\nproxy.from=10.0.0.7\nproxy.from=10.1.0.0/16");
    let config = good("t.conf", &text).config;
    let behind = config.listen.iter().find(|l| l.addr.port() == 8443).unwrap();
    assert!(behind.proxied && behind.tcp && !behind.udp);
    assert_eq!(config.proxy.from.len(), 2);
    assert_says(&bad("t.conf", &with_user("tcp-proxy-port=8443")), "proxy.from: nobody could connect");
}

#[test]
fn an_option_with_a_value_is_stronger_than_a_flag_that_stands_for_one() {
    for lines in ["verbose\nlog-min-level=warning", "log-min-level=warning\nverbose"] {
        assert_eq!(good("t.conf", &with_user(lines)).config.log.level, "warn");
    }
    for lines in
        ["unauthorized-ratelimit\nunauthorized-ratelimit-rps=3", "unauthorized-ratelimit-rps=3\nunauthorized-ratelimit"]
    {
        assert_eq!(good("t.conf", &with_user(lines)).config.limits.unauthenticated, 3);
    }
}

#[test]
fn the_rest_of_the_options_reach_their_keys() {
    let text = with_user(
        "user-quota=3\ntotal-quota=9\nmax-bps=64000\nbps-capacity=640000\nmax-allocate-lifetime=1800\n\
        channel-lifetime=900\npermission-lifetime=400\nsock-buf-size=65536\nstale-nonce\nsecure-stun\n\
        rest-api-separator=|\nstatic-auth-secret=0123456789abcdef\nstatic-auth-secret=fedcba9876543210\n\
        keep-address-family\nsoftware-attribute\ninclude-reason-string\nrfc3489-compatibility\n\
        stun-backward-compatibility\nrfc5766-channel-numbers\nmobility\nno-tlsv1_2\nstateless-nonce-secret=fleet\nrelay-threads=0",
    );
    let config = good("t.conf", &text).config;
    let limits = &config.limits;
    assert_eq!((limits.user_allocations, limits.allocations), (3, 9));
    assert_eq!((limits.bandwidth, limits.total_bandwidth), (64000, 640_000));
    assert_eq!(limits.lifetime, Duration::from_secs(1800));
    assert_eq!(limits.channel_lifetime, Duration::from_secs(900));
    assert_eq!(limits.permission_lifetime, Duration::from_secs(400));
    assert_eq!(limits.socket_buffer, 65536);
    assert_eq!(config.auth.nonce_lifetime, Duration::from_secs(600));
    assert_eq!(config.auth.nonce_secret.as_deref(), Some("fleet"));
    assert_eq!(config.auth.rest_separator, '|');
    assert_eq!(config.auth.secrets.len(), 2);
    assert!(config.auth.binding && config.tls.only_13);
    assert_eq!(config.relay.default_family, DefaultFamily::Client);
    let protocol = &config.protocol;
    assert_eq!(protocol.software.as_deref(), Some("hairpin"));
    assert!(protocol.reasons && protocol.classic && protocol.mapped_address && protocol.legacy_channels);
    assert!(protocol.mobility);
    assert_eq!(config.workers, 1);
}

#[test]
fn a_converted_file_means_the_same() {
    let text = with_user(
        "realm=a.b\nuser=q:pa\"ss\\word\nlistening-ip=192.0.2.1\nlistening-port=03478\nno-tcp\nexternal-ip=203.0.113.1/192.0.2.1\n\
        relay-ip=192.0.2.1\nstatic-auth-secret=0123456789abcdef\nallowed-peer-ip=10.0.0.0/8\nstale-nonce=0\nverbose\nlog-min-level=error\n\
        fingerprint=yes\nkeep-address-family\nmax-bps=1000\nmin-port=20000\nweb-admin\nserver-relay\nrest-api-separator=;\npidfile=/run/x",
    );
    let toml = config::convert("t.conf", &text).unwrap();
    assert!(toml.contains("# t.conf:18: web-admin: has no effect yet"), "{toml}");
    assert!(toml.contains("# t.conf:19: server-relay: refused"), "{toml}");
    let without_refused = text.replace("server-relay\n", "");
    assert_eq!(good("t.toml", &toml).config, good("t.conf", &without_refused).config);
}

#[test]
fn a_file_with_wrong_values_is_not_converted() {
    let errors = config::convert("t.conf", &with_user("listening-port=70000\nfoo-bar-baz")).unwrap_err();
    assert_eq!(errors.len(), 2);
}

#[test]
fn alternate_servers_are_those_of_each_transport() {
    let text = "alternate-server=192.0.2.1\nalternate-server=2001:db8::1\nudp-alternate-server=192.0.2.2:3479\n\
        tcp-alternate-server=[2001:db8::2]:3480\ntls-alternate-server=192.0.2.3";
    let servers = good("t.conf", &with_user(text)).config.redirect.servers;
    let seen: Vec<_> = servers.iter().map(|s| (s.addr.to_string(), s.udp, s.tcp, s.tls)).collect();
    let wanted = [
        ("192.0.2.1:3478", true, true, false),
        ("[2001:db8::1]:3478", true, true, false),
        ("192.0.2.2:3479", true, false, false),
        ("[2001:db8::2]:3480", false, true, false),
        ("192.0.2.3:5349", false, false, true),
    ];
    assert_eq!(seen, wanted.map(|(at, udp, tcp, tls)| (at.to_owned(), udp, tcp, tls)));
    assert_says(&bad("t.conf", &with_user("alternate-server=turn.example.org")), "write it in numbers");
}

#[test]
fn metrics_are_served_where_three_options_say() {
    let at = |text: &str| {
        let text = with_user(text);
        let metrics = good("t.conf", &text).config.admin.metrics;
        let toml = config::convert("t.conf", &text).unwrap();
        assert_eq!(good("t.toml", &toml).config.admin.metrics, metrics, "{toml}");
        metrics.map(|addr| addr.to_string())
    };
    assert_eq!(at("prometheus").as_deref(), Some("[::]:9641"));
    assert_eq!(at("prometheus-port=9700\nprometheus").as_deref(), Some("[::]:9700"));
    assert_eq!(at("prometheus\nprometheus-address=127.0.0.1").as_deref(), Some("127.0.0.1:9641"));
    let all = "prometheus\nprometheus-address=::1\nprometheus-port=9700";
    assert_eq!(at(all).as_deref(), Some("[::1]:9700"));
    // In coturn the others mean nothing without the first.
    assert_eq!(at("prometheus-port=9700\nprometheus-address=127.0.0.1"), None);
    assert_eq!(at("prometheus=no\nprometheus-port=9700"), None);
    assert_eq!(at("admin.metrics=127.0.0.1:9642").as_deref(), Some("127.0.0.1:9642"));
    for wrong in ["prometheus-port=70000", "prometheus-address=here"] {
        let errors = bad("t.conf", &with_user(&format!("prometheus\n{wrong}")));
        assert_says(&errors, "prometheus: ");
        assert_says(&errors, "127.0.0.1:9641");
    }
}
