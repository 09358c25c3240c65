//! Users: what is known of each, and the keys of one user that are given apart.

use super::setting::{Remark, Site};
use crate::auth::key::{NotAllowed, Part, opaque_string};

/// A user and how its key is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user name.
    pub name: String,
    /// Its password or keys.
    pub secret: UserSecret,
}

/// What is known of a user's password.
#[derive(Clone, PartialEq, Eq)]
pub enum UserSecret {
    /// The password itself.
    Password(String),
    /// MD5(user:realm:password).
    Md5([u8; 16]),
    /// SHA-256(user:realm:password), for clients that speak RFC 8489.
    Sha256([u8; 32]),
    /// Both.
    Both([u8; 16], [u8; 32]),
}

impl std::fmt::Debug for UserSecret {
    /// Never shows the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UserSecret")
    }
}

/// Joins the MD5 and the SHA-256 key of one user; a user given twice otherwise is an error.
pub(super) fn join_users(given: impl Iterator<Item = (User, Site)>, errors: &mut Vec<Remark>) -> Vec<User> {
    let mut users: Vec<User> = Vec::new();
    let mut index = std::collections::HashMap::new();
    for (user, site) in given {
        if let Err(refused) = prepared(&user) {
            errors.push(site.remark(format!("{:?}: {refused}; use letters, digits and signs", user.name)));
        }
        let at = *index.entry(user.name.clone()).or_insert(users.len());
        let Some(known) = users.get_mut(at) else {
            users.push(user);
            continue;
        };
        match join_secrets(&known.secret, &user.secret) {
            Some(both) => known.secret = both,
            None => {
                let text = format!("{:?} is given twice; keep one password, or one MD5 and one SHA-256 key", user.name);
                errors.push(site.remark(text));
            }
        }
    }
    users
}

/// Checks that clients can send the name of a user and make a key of its password (RFC 8489 §9.2.2).
fn prepared(user: &User) -> Result<(), NotAllowed> {
    let of = |part| move |refused: NotAllowed| NotAllowed { part, ..refused };
    opaque_string(&user.name).map_err(of(Part::User))?;
    if let UserSecret::Password(password) = &user.secret {
        opaque_string(password).map(drop).map_err(of(Part::Password))?;
    }
    Ok(())
}

/// Joins two keys of different algorithms; the same one twice is itself.
fn join_secrets(a: &UserSecret, b: &UserSecret) -> Option<UserSecret> {
    match (a, b) {
        _ if a == b => Some(a.clone()),
        (UserSecret::Md5(md5), UserSecret::Sha256(sha)) | (UserSecret::Sha256(sha), UserSecret::Md5(md5)) => {
            Some(UserSecret::Both(*md5, *sha))
        }
        _ => None,
    }
}
