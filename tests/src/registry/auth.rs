//! Who may come in: basic and bearer challenges, and the token server under `/token` of the same registry.
//!
//! A token carries the scopes it was asked for; a request must be within one of them. Deleting needs `delete`, writing
//! `push`, as in Distribution.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::log::Seen;
use super::state::State;

/// How the registry asks who is there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// Everybody may do everything.
    #[default]
    None,
    /// `Basic`, with this user and password.
    Basic(String, String),
    /// `Bearer`, with a token server under `/token` of the same registry.
    Token {
        /// Who gets a token; `None` for everybody.
        #[serde(default)]
        login: Option<(String, String)>,
        /// The refresh token that `POST /token` accepts.
        #[serde(default)]
        refresh: Option<String>,
        /// The realm to name instead of the registry's own `/token`.
        #[serde(default)]
        realm: Option<String>,
        /// `expires_in` of the tokens, seconds.
        expires_in: i64,
    },
}

impl Auth {
    /// A bearer registry whose token server wants this user and password.
    pub fn token(user: &str, password: &str) -> Auth {
        let login = Some((user.to_owned(), password.to_owned()));
        Auth::Token { login, refresh: None, realm: None, expires_in: 300 }
    }
}

/// How the token server behaves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tokens {
    /// What the token is called in the answer.
    pub field: Field,
    /// Whether `expires_in` is left out.
    pub no_expiry: bool,
    /// The status of every `POST` (404 or 405: such a server knows only GET).
    pub post_status: Option<u16>,
    /// The actions given out at most (`pull`), whatever was asked for.
    pub grant: Option<Vec<String>>,
    /// Whether only the first scope asked for is honoured.
    pub first_scope_only: bool,
    /// After so many requests a token is worth nothing.
    pub uses: Option<usize>,
}

/// What the token is called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// `token`.
    #[default]
    Token,
    /// `access_token`.
    AccessToken,
    /// Both, with the same value.
    Both,
}

/// What a token is good for.
pub(super) struct Grant {
    /// Repository and action.
    scopes: Vec<(String, String)>,
    uses: Option<usize>,
}

/// Every value of a query parameter.
pub(super) fn values(query: &str, name: &str) -> Vec<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).map(|(_, value)| unescape(value)).collect()
}

/// The first value of a query parameter.
pub(super) fn value(query: &str, name: &str) -> Option<String> {
    values(query, name).into_iter().next()
}

fn unescape(raw: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let hex: String = bytes.by_ref().take(2).map(char::from).collect();
                out.push(u8::from_str_radix(&hex, 16).unwrap_or(b'?'));
            }
            byte => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn login(seen: &Seen) -> Option<(String, String)> {
    let encoded = seen.authorization()?.strip_prefix("Basic ")?;
    let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// The token server.
pub(super) fn token(state: &mut State, seen: &Seen) -> Answer {
    let Auth::Token { login: wanted, refresh, expires_in, .. } = state.switches.auth.clone() else {
        return Answer::error(404, "NOT_FOUND");
    };
    let how = state.switches.tokens.clone();
    let form = String::from_utf8_lossy(&seen.body).into_owned();
    let (known, asked) = match (seen.method.as_str(), how.post_status) {
        ("POST", Some(status)) => return Answer::text(status, "only GET here"),
        ("POST", None) => (refresh.is_some() && value(&form, "refresh_token") == refresh, values(&form, "scope")),
        _ => (wanted.is_none() || login(seen) == wanted, values(seen.query(), "scope")),
    };
    if !known {
        return Answer::error(401, "UNAUTHORIZED");
    }
    // Several scopes come as several parameters, or as one with spaces (RFC 6749 3.3).
    let mut asked: Vec<String> = asked.iter().flat_map(|scope| scope.split(' ')).map(str::to_owned).collect();
    if how.first_scope_only {
        asked.truncate(1);
    }
    let mut scopes = Vec::new();
    for scope in &asked {
        let Some((repository, actions)) = scope.strip_prefix("repository:").and_then(|rest| rest.rsplit_once(':'))
        else {
            continue;
        };
        let allowed = |action: &&str| how.grant.as_ref().is_none_or(|grant| grant.iter().any(|one| one == action));
        scopes.extend(actions.split(',').filter(allowed).map(|action| (repository.to_owned(), action.to_owned())));
    }
    let value = format!("token-{}", state.next());
    state.tokens.insert(value.clone(), Grant { scopes, uses: how.uses });
    let mut body = serde_json::json!({});
    for (name, here) in [("token", how.field != Field::AccessToken), ("access_token", how.field != Field::Token)] {
        if here {
            body[name] = value.clone().into();
        }
    }
    if !how.no_expiry {
        body["expires_in"] = expires_in.into();
    }
    Answer::json(200, &body)
}

/// The 401 that this registry answers to those it does not know.
pub(super) fn challenge(state: &State, seen: &Seen, repository: &str, error: Option<&str>) -> Answer {
    let refusal = Answer::error(401, "UNAUTHORIZED");
    match &state.switches.auth {
        Auth::Token { realm, .. } => {
            let realm = realm.clone().unwrap_or_else(|| format!("{}/token", state.url));
            let actions = match action(seen) {
                "push" => "pull,push",
                action => action,
            };
            let scope = match repository {
                "" => String::new(),
                repository => format!(",scope=\"repository:{repository}:{actions}\""),
            };
            let error = error.map(|error| format!(",error=\"{error}\"")).unwrap_or_default();
            refusal.header("WWW-Authenticate", format!("Bearer realm=\"{realm}\",service=\"test\"{scope}{error}"))
        }
        _ => refusal.header("WWW-Authenticate", "Basic realm=\"test registry\""),
    }
}

fn action(seen: &Seen) -> &'static str {
    match seen.method.as_str() {
        "GET" | "HEAD" => "pull",
        "DELETE" => "delete",
        _ => "push",
    }
}

/// The refusal, if this request may not go on.
pub(super) fn refuse(state: &mut State, seen: &Seen, repository: &str) -> Option<Answer> {
    match &state.switches.auth {
        Auth::None => None,
        Auth::Basic(user, password) if login(seen) == Some((user.clone(), password.clone())) => None,
        Auth::Basic(..) => Some(challenge(state, seen, repository, None)),
        Auth::Token { .. } => {
            let Some(value) = seen.authorization().and_then(|value| value.strip_prefix("Bearer ")) else {
                return Some(challenge(state, seen, repository, None));
            };
            let granted = state.tokens.get_mut(value).filter(|grant| grant.uses != Some(0)).map(|grant| {
                grant.uses = grant.uses.map(|uses| uses - 1);
                grant.scopes.iter().any(|(of, what)| of == repository && what == action(seen))
            });
            match granted {
                // `/v2/` itself asks for a token, but for no scope.
                Some(within) if within || repository.is_empty() => None,
                Some(_) => Some(challenge(state, seen, repository, Some("insufficient_scope"))),
                None => Some(challenge(state, seen, repository, Some("invalid_token"))),
            }
        }
    }
}
