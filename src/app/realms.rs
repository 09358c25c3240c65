//! Who is known in each realm, and how they prove it.

use super::hosts::Hosts;
use super::options::rules;
use super::random;
use crate::auth::key::Algorithm;
use crate::auth::nonce::{BitOrder, Features, Nonces};
use crate::auth::peers::Policy;
use crate::auth::token::Tokens;
use crate::auth::{Credentials, Secret, rest};
use crate::config::{self, Config, UserSecret};
use crate::turn::realm::{Doors, Realm};
use anyhow::{Result, anyhow};
use std::sync::Arc;

/// The realms beside the default one.
pub(super) fn realms(config: &Config, hosts: &Hosts) -> Result<Arc<[Realm]>> {
    config.realms.iter().map(|realm| domain(realm, config, hosts)).collect()
}

/// A realm.
fn domain(realm: &config::Realm, whole: &Config, hosts: &Hosts) -> Result<Realm> {
    let config = realm.applied_to(whole);
    let doors = Doors {
        origins: realm.origins.clone(),
        server_names: realm.server_names.clone(),
        listeners: realm.listeners.clone(),
    };
    Ok(Realm {
        credentials: Arc::new(credentials(&config)?),
        nonces: Arc::new(nonces(&config)?),
        policy: Arc::new(Policy::new(&rules(&config, hosts))),
        bandwidth: config.limits.bandwidth,
        doors,
    })
}

/// The password algorithms that are offered, best first.
pub(super) fn algorithms(config: &Config) -> Vec<Algorithm> {
    if config.auth.sha256_only { vec![Algorithm::Sha256] } else { vec![Algorithm::Sha256, Algorithm::Md5] }
}

/// Who is known.
pub(super) fn credentials(config: &Config) -> Result<Credentials> {
    let auth = &config.auth;
    let mut credentials = Credentials::new(&auth.realm, random()?);
    credentials.rest(rest::Rules { separator: auth.rest_separator, max_ttl: auth.rest_max_ttl, ..Default::default() });
    for user in &auth.users {
        let secret = match &user.secret {
            UserSecret::Password(password) => Secret::Password(password.clone()),
            UserSecret::Md5(key) => Secret::Md5(*key),
            UserSecret::Sha256(key) => Secret::Sha256(*key),
            UserSecret::Both(md5, sha256) => Secret::Both(*md5, *sha256),
        };
        credentials.add_user(&user.name, &secret).map_err(|error| anyhow!("auth.users: {}: {error}", user.name))?;
    }
    for secret in &auth.secrets {
        credentials.add_secret(secret);
    }
    if config.oauth.enabled {
        credentials.accept_tokens(tokens(config)?);
    }
    Ok(credentials)
}

/// What opens access tokens.
fn tokens(config: &Config) -> Result<Tokens> {
    let oauth = &config.oauth;
    let mut tokens = Tokens::new(oauth.name(&config.auth.realm));
    for key in &oauth.keys {
        let added = tokens.add(&key.kid, key.cipher, &key.key, key.end);
        added.map_err(|_| anyhow!("oauth.keys: {}: the key is too short", key.kid))?;
        tokens.assign(&key.kid, &key.group);
    }
    Ok(tokens)
}

/// Nonces, with a key of this process or of a fleet.
pub(super) fn nonces(config: &Config) -> Result<Nonces> {
    let key = match &config.auth.nonce_secret {
        None => random()?,
        Some(secret) => {
            let mut key = [0; 32];
            key.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, secret.as_bytes()).as_ref());
            key
        }
    };
    // A time-limited name is made by somebody else, so its hash tells nobody whose it is: where there are such
    // names, clients must not be invited to hide theirs. The same goes for the keys of third parties.
    let anonymity = config.auth.secrets.is_empty() && !config.oauth.enabled;
    let features = Features { password_algorithms: algorithms(config), anonymity, order: BitOrder::Both };
    Ok(Nonces::new(key, &config.auth.realm, config.auth.nonce_lifetime, &features))
}
