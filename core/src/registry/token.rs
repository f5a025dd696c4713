//! The `Authorization` of a request: what the registry's challenge asks for, and tokens, fetched once for all who need
//! them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

use super::answer::Sink;
use super::auth::{self, Credential, canonical_host};
use super::challenge::{self, Challenge};
use super::docker_config::DockerConfig;
use super::helper;
use super::limits::{self, bounded};
use super::realm;
use super::request::{Ask, Scope, clean, in_flight};
use super::retry::Resend;
use super::transport::{Transport, lock};
use crate::call::Call;
use crate::error::{Code, Error, Result};

/// What a host's last challenge asked for.
#[derive(Clone)]
pub(super) enum Asked {
    Basic,
    Bearer { realm: String, service: String },
}

#[derive(Clone)]
pub(super) struct Token {
    pub(super) value: Arc<Zeroizing<String>>,
    pub(super) ends: Instant,
}

/// The turn of those who want the same token or credential, and how it went for the last one who asked in vain.
pub(super) type Gate = tokio::sync::Mutex<Option<Failed>>;

pub(super) struct Failed {
    error: Error,
    scope: Scope,
    at: Instant,
}

/// An `Authorization` value, and whether it was made for this very request.
pub(super) struct Authorization {
    pub(super) value: Zeroizing<String>,
    pub(super) fresh: bool,
}

impl Transport {
    /// The challenge of a 401; Bearer wins when both are offered, as in go-containerregistry.
    pub(super) fn challenge(&self, ask: &Ask<'_>, response: &Response) -> Result<Asked> {
        let mut all: Vec<Challenge> = Vec::new();
        for value in response.headers().get_all(WWW_AUTHENTICATE).iter().take(8) {
            let text = value.to_str().ok().filter(|text| text.len() <= limits::HEADER_VALUE);
            all.extend(text.and_then(challenge::parse).unwrap_or_default());
        }
        let bearer =
            all.iter().find(|one| one.scheme == "bearer").and_then(|one| one.get("realm").map(|realm| (one, realm)));
        if let Some((one, realm)) = bearer {
            let service = one.get("service").unwrap_or_default().to_owned();
            return Ok(Asked::Bearer { realm: realm.to_owned(), service });
        }
        match all.iter().any(|one| one.scheme == "basic") {
            true => Ok(Asked::Basic),
            false => Err(ask
                .error(
                    Code::Auth,
                    "HTTP 401 without a Basic or Bearer challenge; nothing is known that it would accept",
                )
                .with("status", 401)),
        }
    }

    /// The credential for a repository: what was set for the host, then what the docker files hold or their helpers say,
    /// file by file.
    async fn credential(&self, ask: &Ask<'_>, host: &str, call: &Call) -> Result<Option<Credential>> {
        if self.options.anonymous {
            return Ok(None);
        }
        if let Some((_, credential)) = self.options.auth.iter().find(|(of, _)| of == host) {
            return Ok(Some(credential.clone()));
        }
        for config in &self.options.docker_configs {
            if self.options.credential_helpers {
                for name in config.helpers(host) {
                    if let Some(credential) = self.ask_helper(ask, name, host, call).await? {
                        return Ok(Some(credential));
                    }
                }
            } else if let Some(name) = config.keeper(host, ask.repository) {
                return Err(DockerConfig::helper_error(host, name));
            }
            if let Some(credential) = config.lookup(host, ask.repository) {
                return Ok(Some(credential));
            }
        }
        Ok(None)
    }

    /// Asks a helper once; its answer is kept until the registry refuses it.
    async fn ask_helper(&self, ask: &Ask<'_>, name: &str, host: &str, call: &Call) -> Result<Option<Credential>> {
        let known = |name: &str| lock(&self.state).helped.get(&(host.to_owned(), name.to_owned())).cloned();
        if let Some(known) = known(name) {
            return Ok(known);
        }
        let gate = lock(&self.state).gates.get_or_default(format!("{name} {host}")).clone();
        let late = || ask.late("no credential was found", limits::WHOLE_CALL);
        let _turn =
            bounded(call, limits::WHOLE_CALL, late, gate.lock()).await.map_err(|error| in_flight(ask, error))?;
        if let Some(known) = known(name) {
            return Ok(known);
        }
        let found = helper::get(name, host, call).await.map_err(|error| in_flight(ask, error))?;
        lock(&self.state).helped.insert((host.to_owned(), name.to_owned()), found.clone());
        Ok(found)
    }

    /// What to send along to the registry: nothing until it has asked once.
    pub(super) async fn authorization(
        &self,
        ask: &Ask<'_>,
        host: &str,
        base: &Url,
        asked: bool,
        call: &Call,
    ) -> Result<Option<Authorization>> {
        let challenge = lock(&self.state).challenges.get(host).cloned();
        let Some(challenge) = challenge else { return Ok(None) };
        let credential = self.credential(ask, host, call).await?;
        match (challenge, credential) {
            (Asked::Basic, Some(Credential::Basic { user, password })) => {
                Ok(Some(Authorization { value: auth::basic_value(&user, &password), fresh: true }))
            }
            (_, Some(Credential::Token(token))) => {
                Ok(Some(Authorization { value: Zeroizing::new(format!("Bearer {}", *token)), fresh: true }))
            }
            (Asked::Basic, None) if asked => Err(self.no_credentials(ask, host)),
            (Asked::Basic, None) => Ok(None),
            (Asked::Basic, Some(Credential::IdentityToken(_))) => Err(ask.error(
                Code::Auth,
                "the registry asks for a user and password, and only an identity token is configured for it",
            )),
            (Asked::Bearer { realm, service }, credential) => {
                let (value, fresh) = self.token(ask, host, base, &realm, &service, credential, call).await?;
                Ok(Some(Authorization { value: Zeroizing::new(format!("Bearer {}", **value)), fresh }))
            }
        }
    }

    pub(super) fn no_credentials(&self, ask: &Ask<'_>, host: &str) -> Error {
        let note = match self.options.docker_configs.iter().find_map(DockerConfig::store) {
            _ if self.options.credential_helpers => String::new(),
            Some(name) => format!(" (the docker config's credential store {:?} was not asked)", clean(name, 60)),
            None => String::new(),
        };
        let why = format!("HTTP 401: it wants a user and password; configure credentials for {host}{note}");
        ask.error(Code::Auth, &why).with("status", 401)
    }

    /// A token for the repository, from the cache or from the token server, and whether it is new.
    #[allow(clippy::too_many_arguments)]
    pub(super) async fn token(
        &self,
        ask: &Ask<'_>,
        host: &str,
        base: &Url,
        realm: &str,
        service: &str,
        credential: Option<Credential>,
        call: &Call,
    ) -> Result<(Arc<Zeroizing<String>>, bool)> {
        // No repository has a space in its name.
        let repositories = match ask.source {
            Some(source) => format!("{} {source}", ask.repository),
            None => ask.repository.to_owned(),
        };
        let cached = || {
            let mut state = lock(&self.state);
            [Scope::Delete, Scope::PullPush, Scope::Pull].into_iter().filter(|scope| *scope >= ask.scope).find_map(
                |scope| {
                    let token = state.tokens.get(&(host.to_owned(), repositories.clone(), scope))?;
                    (token.ends > Instant::now()).then(|| token.value.clone())
                },
            )
        };
        if let Some(value) = cached() {
            return Ok((value, false));
        }
        let gate = lock(&self.state).gates.get_or_default(format!("{host} {repositories}")).clone();
        let late = || ask.late("no token was fetched", limits::WHOLE_CALL);
        let since = Instant::now();
        let mut turn =
            bounded(call, limits::WHOLE_CALL, late, gate.lock()).await.map_err(|error| in_flight(ask, error))?;
        if let Some(value) = cached() {
            return Ok((value, false));
        }
        let (scope, other) = {
            let mut state = lock(&self.state);
            let key = |repository: &str| (host.to_owned(), repository.to_owned());
            let other = state.together.get(&key(ask.repository)).cloned().filter(|_| ask.source.is_none());
            let mut wanted = |repository: &str, least: Scope| {
                state.pushing.get(&key(repository)).map_or(least, |scope| least.max(*scope))
            };
            let other = other.map(|other| {
                let scope = wanted(&other, Scope::Pull);
                (other, scope)
            });
            (wanted(ask.repository, ask.scope), other)
        };
        // What waited here while somebody asked in vain for the same has its answer, too: in a batch hundreds wait.
        match turn.as_ref() {
            Some(failed) if failed.at >= since && failed.scope == scope => return Err(failed.error.clone()),
            _ => {}
        }
        let fetched = self.fetch_token(ask, host, base, realm, service, scope, other.as_ref(), credential, call).await;
        let (value, life) = fetched.inspect_err(|error| {
            // That this call was stopped says nothing to the others.
            if call.check().is_ok() {
                *turn = Some(Failed { error: error.clone(), scope, at: Instant::now() });
            }
        })?;
        let value = Arc::new(value);
        if let Some(ends) = Instant::now().checked_add(life.saturating_sub(limits::TOKEN_MARGIN)) {
            let token = Token { value: value.clone(), ends };
            let mut state = lock(&self.state);
            // A registry that looked at the first scope only refuses it for the other, which then asks for its own.
            if let Some((other, scope)) = other {
                state.tokens.insert((host.to_owned(), other, scope), token.clone());
            }
            state.tokens.insert((host.to_owned(), repositories, scope), token);
        }
        Ok((value, true))
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) async fn fetch_token(
        &self,
        ask: &Ask<'_>,
        host: &str,
        base: &Url,
        realm: &str,
        service: &str,
        scope: Scope,
        other: Option<&(String, Scope)>,
        credential: Option<Credential>,
        call: &Call,
    ) -> Result<(Zeroizing<String>, Duration)> {
        let permitted = |server: &str| {
            let known = &self.options.token_servers;
            known.iter().any(|(of, to)| canonical_host(of) == host && to.eq_ignore_ascii_case(server))
        };
        let with_credentials = credential.is_some();
        let url = realm::check_realm(base, realm, |url| self.plain_allowed(url), with_credentials, permitted)?;
        // The repository that is written to comes first: some registries look no further.
        let mut scopes = vec![format!("repository:{}:{}", ask.repository, scope.actions())];
        scopes.extend(ask.source.map(|source| format!("repository:{source}:pull")));
        scopes.extend(other.map(|(other, scope)| format!("repository:{other}:{}", scope.actions())));
        let mut refused = None;
        if let Some(Credential::IdentityToken(refresh)) = &credential {
            let scope = scopes.join(" ");
            let fields = [
                ("grant_type", "refresh_token"),
                ("service", service),
                ("scope", &scope),
                ("client_id", "libcosign"),
                ("refresh_token", refresh),
            ];
            let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
            let form = Zeroizing::new(form);
            let mut post = Ask::new(Method::POST, ask.host, ask.repository, String::new(), "POST token".to_owned());
            (post.reads, post.body) = (true, Some(form.as_bytes()));
            let post = post.header(CONTENT_TYPE, "application/x-www-form-urlencoded")?;
            match self.ask_token_server(&post, base, &url, None, with_credentials, call).await {
                // Servers of before OAuth know only GET, without the refresh token.
                Err(error) if matches!(error.status(), Some(404 | 405)) => refused = Some(error),
                other => return other,
            }
        }
        let mut url = url;
        if !service.is_empty() {
            url.query_pairs_mut().append_pair("service", service);
        }
        for scope in &scopes {
            url.query_pairs_mut().append_pair("scope", scope);
        }
        let get = Ask::new(Method::GET, ask.host, ask.repository, String::new(), "GET token".to_owned());
        let authorization = match &credential {
            Some(Credential::Basic { user, password }) => {
                Some(Authorization { value: auth::basic_value(user, password), fresh: true })
            }
            _ => None,
        };
        let fetched = self.ask_token_server(&get, base, &url, authorization.as_ref(), with_credentials, call).await;
        match (fetched, refused) {
            // The first refusal is the one that speaks of the identity token.
            (Err(_), Some(refused)) => Err(refused),
            (fetched, _) => fetched,
        }
    }

    async fn ask_token_server(
        &self,
        ask: &Ask<'_>,
        base: &Url,
        url: &Url,
        authorization: Option<&Authorization>,
        with_credentials: bool,
        call: &Call,
    ) -> Result<(Zeroizing<String>, Duration)> {
        let mut backoff = self.backoff();
        let (answer, body) = loop {
            let mut sink = Secret(Zeroizing::new(Vec::new()));
            let tried = match self.exchange(ask, base, url, authorization, call).await {
                Ok(response) => self.read(ask, response, url.clone(), &mut sink, call).await,
                Err(failure) => Err(failure),
            };
            let failure = match tried {
                Ok(answer) => break (answer, sink.0),
                Err(failure) => failure,
            };
            let paused = match failure.may_resend(Resend::Always) {
                true => self.pause(ask, &mut backoff, failure, call).await,
                false => Err(failure),
            };
            paused.map_err(|failure| failure.error.context("token server"))?;
        };
        let status = answer.status;
        if status != StatusCode::OK {
            let with = if with_credentials { "the configured credentials" } else { "an anonymous request" };
            let error = match status.as_u16() {
                300..=399 => {
                    ask.error(Code::Protocol, &format!("HTTP {status}: redirects of token requests are not followed"))
                }
                400 | 401 | 403 | 404 | 405 => {
                    ask.error(Code::Auth, &format!("HTTP {}: the token server refuses {with}", status.as_u16()))
                }
                _ => answer.error(ask).context("token server"),
            };
            return Err(error.with("status", status.as_u16()));
        }
        parse_token(&body).ok_or_else(|| ask.error(Code::Auth, "the token server's answer holds no usable token"))
    }
}

/// A body that is wiped: it holds a token.
struct Secret(Zeroizing<Vec<u8>>);

impl Sink for Secret {
    fn begin(&mut self, _: Option<u64>) {
        // Once and for all, so that no copy stays behind where it grew.
        *self.0 = Vec::with_capacity(usize::try_from(limits::TOKEN).unwrap_or(0));
    }

    fn cap(&self) -> u64 {
        limits::TOKEN
    }

    fn take(&mut self, piece: &[u8]) -> std::result::Result<(), (Code, &'static str)> {
        self.0.extend_from_slice(piece);
        Ok(())
    }
}

/// The token of a token server's answer and how long it lives. `access_token` wins over `token`, as in
/// go-containerregistry; lifetimes that make no sense mean "use once" or are cut.
pub(super) fn parse_token(body: &[u8]) -> Option<(Zeroizing<String>, Duration)> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
        expires_in: Option<serde_json::Number>,
    }
    // A derived reader would take a list for the object.
    if !body.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let (token, access_token) = (answer.token.map(Zeroizing::new), answer.access_token.map(Zeroizing::new));
    let value = access_token.filter(|text| !text.is_empty()).or(token).filter(|text| !text.is_empty())?;
    if !value.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let life = match answer.expires_in {
        None => limits::TOKEN_LIFE,
        Some(number) => match number.as_u64() {
            Some(seconds) => Duration::from_secs(seconds).min(limits::TOKEN_LIFE_MAX),
            None => Duration::ZERO,
        },
    };
    Some((value, life))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_strictly() {
        let read = |json: &str| parse_token(json.as_bytes()).map(|(value, life)| (value.to_string(), life.as_secs()));
        assert_eq!(read(r#"{"token":"a"}"#), Some(("a".to_owned(), 60)));
        assert_eq!(read(r#"{"token":"a","access_token":"b","expires_in":300}"#), Some(("b".to_owned(), 300)));
        assert_eq!(read(r#"{"token":"a","expires_in":-1}"#), Some(("a".to_owned(), 0)));
        assert_eq!(read(r#"{"token":"a","expires_in":9223372036854775808}"#), Some(("a".to_owned(), 3600)));
        for bad in [
            "{}",
            r#"{"token":""}"#,
            r#"{"token":"a b"}"#,
            r#"{"token":"a\r\nX: y"}"#,
            "[]",
            r#"["a","b",1]"#,
            "<html>",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
