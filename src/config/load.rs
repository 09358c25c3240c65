//! From sources to a configuration: the strongest source of each key wins.

use std::path::{Path, PathBuf};

use super::check::{NO_DTLS, NO_DTLS_13, Review};
use super::draft::{Draft, cores};
use super::key::Key;
use super::setting::{Reading, Remark, Setting, Site, Value};
use super::table::KEYS;
use super::{Config, coturn, environment, native, realm};
use crate::io;

/// Where the configuration comes from, so that it can be read again.
#[derive(Default)]
pub struct Sources {
    /// The file, TOML or coturn's.
    pub file: Option<PathBuf>,
    /// The environment.
    pub environment: Vec<(String, String)>,
    /// What the command line says.
    pub flags: Reading,
}

/// A configuration that may run, and what its operator should know.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What has no effect and what is risky.
    pub warnings: Vec<Remark>,
    /// Where each value of each key was set.
    sites: Vec<(&'static str, Site)>,
}

impl Loaded {
    /// Makes a remark about an item of a list, with its place.
    pub(crate) fn about(&self, path: &'static str, item: usize, text: impl Into<String>) -> Remark {
        let site = self.sites.iter().filter(|(of, _)| *of == path).nth(item).map(|(_, site)| site.clone());
        site.unwrap_or_else(|| Site::new("", path)).remark(text)
    }
}

/// Why nothing may run.
#[derive(Clone, Debug)]
pub struct Failed {
    /// What is wrong; never empty.
    pub errors: Vec<Remark>,
    /// What else an operator should know.
    pub warnings: Vec<Remark>,
}

impl Sources {
    /// Reads the file, the environment and the flags; flags are strongest, then the environment.
    ///
    /// # Errors
    /// Returns everything that is wrong, not only the first.
    pub fn load(&self) -> Result<Loaded, Failed> {
        let file = match &self.file {
            Some(path) => read_file(path),
            None => Reading::default(),
        };
        assemble(&[&defaults(), &file, &environment::read(&self.environment), &self.flags])
    }
}

/// Reads a configuration from a text; the name says its format, or else its content does.
///
/// # Errors
/// Returns everything that is wrong, not only the first.
pub fn from_text(name: &str, text: &str) -> Result<Loaded, Failed> {
    assemble(&[&defaults(), &read_text(name, text)])
}

/// Reads a file, TOML or coturn's.
fn read_file(path: &Path) -> Reading {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => read_text(&name, &text),
        Err(error) => {
            let text = format!("cannot be read: {error}; name a file with -c, or leave -c out to run on the defaults");
            Reading { errors: vec![Site::new(name, "").remark(text)], ..Reading::default() }
        }
    }
}

/// Reads a text, TOML or coturn's.
fn read_text(name: &str, text: &str) -> Reading {
    if coturn::recognises(name, text) { coturn::read(name, text) } else { native::read(name, text) }
}

/// Returns the defaults of the table as a source, the weakest.
fn defaults() -> Reading {
    let settings = KEYS.iter().flat_map(|key| {
        let text = |text: &&str| Value::Text((*text).to_owned());
        key.default.iter().map(move |t| Setting { key, value: text(t), site: Site::default() })
    });
    Reading { settings: settings.collect(), ..Reading::default() }
}

/// Returns the configuration of the defaults alone.
pub(crate) fn built_in() -> Config {
    let mut draft = Draft::blank();
    store(&defaults().settings, &mut draft, &mut Vec::new());
    draft.finish(&mut Vec::new())
}

/// Puts sources together, the weakest first.
fn assemble(readings: &[&Reading]) -> Result<Loaded, Failed> {
    let mut review = Review {
        errors: readings.iter().flat_map(|r| r.errors.clone()).collect(),
        risks: readings.iter().flat_map(|r| r.warnings.clone()).collect(),
    };
    let settings = strongest(readings);
    let mut draft = Draft::blank();
    store(&settings, &mut draft, &mut review.errors);
    review.risks.extend(surplus_workers(draft.workers));
    let mut config = draft.finish(&mut review.errors);
    review.add(config.validate());
    judge(readings, &settings, &config, &mut review);
    let mut review = review.placed(&settings);
    let told: Vec<_> = readings.iter().flat_map(|reading| &reading.realms).collect();
    realm::add(&mut config, &told, &settings, &mut review);
    let Review { errors, risks: warnings } = review.placed(&settings);
    let sites = settings.into_iter().map(|setting| (setting.key.path, setting.site)).collect();
    if errors.is_empty() { Ok(Loaded { config, warnings, sites }) } else { Err(Failed { errors, warnings }) }
}

/// Says that more workers are asked for than there are cores.
fn surplus_workers(asked: u32) -> Option<Remark> {
    let cores = cores();
    let text = || format!("{asked} asked for; one for each of the {cores} cores runs, more would only wait");
    (asked as usize > cores).then(|| Remark::about("workers", text()))
}

/// Returns the settings that count: of each key those of the strongest source that has any.
fn strongest(readings: &[&Reading]) -> Vec<Setting> {
    let of = |key: &'static Key| {
        let reading = readings.iter().rev().find(|r| r.of(key).next().is_some());
        reading.into_iter().flat_map(|r| r.of(key)).cloned()
    };
    KEYS.iter().flat_map(of).collect()
}

/// Stores settings in a draft; those that are wrong become errors.
pub(crate) fn store(settings: &[Setting], draft: &mut Draft, errors: &mut Vec<Remark>) {
    for setting in settings {
        match &setting.value {
            Value::Nothing => {}
            Value::User(user) => {
                draft.config.auth.users.push(user.clone());
                draft.users_stand_at(&setting.site);
            }
            Value::Text(text) => {
                if let Err(text) = setting.key.kind.set(draft, text) {
                    errors.push(setting.site.remark(text));
                    fall_back(setting.key, draft);
                }
                draft.users_stand_at(&setting.site);
            }
        }
    }
}

/// Stores the default of a key whose value is wrong, so that what is said of the rest makes sense.
fn fall_back(key: &Key, draft: &mut Draft) {
    for text in key.default.iter().filter(|_| !key.kind.is_list()) {
        let stored = key.kind.set(draft, text);
        debug_assert!(stored.is_ok(), "the default of {} is wrong", key.path);
    }
}

/// Adds what depends on where a setting comes from, not on its value alone.
fn judge(readings: &[&Reading], settings: &[Setting], config: &Config, review: &mut Review) {
    let coturn = readings.iter().any(|r| r.coturn);
    let given: Vec<&Setting> = settings.iter().filter(|s| !s.site.place.is_empty()).collect();
    let is_given = |path: &str| given.iter().any(|s| s.key.path == path);
    let no_certificate = config.tls.certificates.is_empty();
    let private_peers = config.protocol.turn && !config.peers.allow_private;
    review.error(coturn && config.wants_fresh_user(), "", NO_CREDENTIALS);
    review.risk(coturn && private_peers, "peers.allow-private", PRIVATE_PEERS);
    review.risk(no_certificate && is_given("listen.tls-port"), "listen.tls-port", NO_CERTIFICATE);
    let dtls =
        given.iter().any(|s| s.key.path == "listen.dtls" && matches!(&s.value, Value::Text(text) if text == "true"));
    // Without a certificate there is none in any build.
    review.error(dtls && !no_certificate && !io::dtls::SERVED, "listen.dtls", NO_DTLS);
    review.error(dtls && config.tls.only_13, "listen.dtls", NO_DTLS_13);
    review.risk(stored_keys(config) && !is_given("auth.realm"), "auth.realm", NO_REALM);
    review.errors.extend(contradiction(readings, config));
}

/// Says that credentials are both asked for and not: in coturn that is an error as well.
fn contradiction(readings: &[&Reading], config: &Config) -> Option<Remark> {
    let mut implied = readings.iter().flat_map(|r| &r.implied).filter(|_| config.auth.anonymous);
    let asked = implied.find(|r| r.is_about("lt-cred-mech") || r.is_about("use-auth-secret"))?;
    Some(asked.clone().saying("it asks for credentials and no-auth serves anybody; remove one of them"))
}

/// Returns whether some user is known by a key rather than a password.
fn stored_keys(config: &Config) -> bool {
    config.auth.users.iter().any(|u| !matches!(u.secret, super::UserSecret::Password(_)))
}

/// Why a coturn file without credentials is refused: coturn serves anybody then.
const NO_CREDENTIALS: &str = "no credentials are configured, and coturn would relay for anybody; \
    add lt-cred-mech with user=name:password, or static-auth-secret=SECRET, \
    or, for an open relay on a closed network, no-auth";

/// What a coturn file used to allow without saying so.
const PRIVATE_PEERS: &str = "private peers (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, \
    fc00::/7) are denied, though coturn allows most of them; \
    allow some with allowed-peer-ip, or all with peers.allow-private=true";

/// Why a port for TLS alone is not enough.
const NO_CERTIFICATE: &str = "no TLS is served without a certificate; \
    give tls.certificate and tls.key (coturn: cert and pkey)";

/// Why stored keys need a realm.
const NO_REALM: &str = "not given, and stored keys hold a realm; give the one with which the keys were made";
