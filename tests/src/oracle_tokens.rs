//! The token server that Distribution's documentation describes (`auth: token`), over plain HTTP on 127.0.0.1: it gives
//! whoever shows [`USER`] and [`PASSWORD`] an ES256 token for the scopes asked for, everybody else none.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use cosign_core::PrivateKey;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::oracle_registries::{PASSWORD, USER};

const SERVICE: &str = "distribution";
const ISSUER: &str = "the tests";

/// A running token server; it ends with the value.
#[derive(Debug)]
pub struct TokenServer {
    port: u16,
    root: String,
    given: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TokenServer {
    /// Starts one with a key of its own.
    ///
    /// # Panics
    /// When there is no port, or no key.
    pub fn start() -> TokenServer {
        let pair = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(Vec::new()).expect("a certificate");
        let root = params.self_signed(&pair).expect("a certificate").pem();
        let key = PrivateKey::import_pem(pair.serialize_pem().as_bytes()).expect("the key of the certificate");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its number").port();
        let (given, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let thread = {
            let (given, stop, spki) = (given.clone(), stop.clone(), key.public_key().to_der().to_vec());
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    if stop.load(Ordering::Acquire) {
                        return;
                    }
                    given.fetch_add(usize::from(answer(&stream, &key, &spki).unwrap_or(false)), Ordering::Relaxed);
                }
            })
        };
        TokenServer { port, root, given, stop, thread: Some(thread) }
    }

    /// The section `auth` for a registry that believes it, given the path of a file with [`TokenServer::root`].
    pub fn section(&self, root: &str) -> String {
        format!(
            "auth:\n  token:\n    realm: http://127.0.0.1:{}/token\n    service: {SERVICE}\n    issuer: {ISSUER}\n    \
             rootcertbundle: {root}\n",
            self.port
        )
    }

    /// The certificate of its key, PEM.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// How many tokens it has given.
    pub fn given(&self) -> usize {
        self.given.load(Ordering::Relaxed)
    }
}

impl Drop for TokenServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Answers one request; whether with a token.
fn answer(mut stream: &TcpStream, key: &PrivateKey, spki: &[u8]) -> std::io::Result<bool> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let mut authorized = false;
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        let expected = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
        let (name, value) = line.split_once(": ").unwrap_or_default();
        authorized |= name.eq_ignore_ascii_case("authorization") && value == expected;
    }
    let target = request.split(' ').nth(1).unwrap_or_default();
    let url = url::Url::parse("http://127.0.0.1").and_then(|base| base.join(target));
    let scopes: Vec<String> = url
        .map(|url| url.query_pairs().filter(|(name, _)| name == "scope").map(|(_, scope)| scope.into_owned()).collect())
        .unwrap_or_default();
    let (status, body) = match authorized {
        true => ("200 OK", json!({"token": token(key, spki, &scopes), "expires_in": 300})),
        false => ("401 Unauthorized", json!({"details": "incorrect username or password"})),
    };
    let body = body.to_string();
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n");
    stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes())?;
    Ok(authorized)
}

/// A token for these scopes (`repository:NAME:ACTION,…`).
fn token(key: &PrivateKey, spki: &[u8], scopes: &[String]) -> String {
    let access: Vec<Value> = scopes
        .iter()
        .flat_map(|scopes| scopes.split(' '))
        .filter_map(|scope| {
            let (kind, rest) = scope.split_once(':')?;
            let (name, actions) = rest.rsplit_once(':')?;
            Some(json!({"type": kind, "name": name, "actions": actions.split(',').collect::<Vec<_>>()}))
        })
        .collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let header = json!({"typ": "JWT", "alg": "ES256", "kid": key_id(spki)});
    let claims = json!({
        "iss": ISSUER, "sub": USER, "aud": SERVICE, "exp": now + 300, "nbf": now - 10, "iat": now, "jti": now.to_string(),
        "access": access,
    });
    let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = bare(&key.sign(signed.as_bytes()).expect("a signature"));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// How libtrust names a key: base32 of 30 bytes of the hash of its SPKI, in groups of four.
fn key_id(spki: &[u8]) -> String {
    let hash = Sha256::digest(spki);
    let bits: Vec<u8> = hash[..30].iter().flat_map(|byte| (0..8).rev().map(move |n| byte >> n & 1)).collect();
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let letter = |five: &[u8]| char::from(alphabet[usize::from(five.iter().fold(0, |n, bit| n << 1 | bit))]);
    let letters: Vec<char> = bits.chunks(5).map(letter).collect();
    letters.chunks(4).map(|four| four.iter().collect::<String>()).collect::<Vec<_>>().join(":")
}

/// Two numbers of 32 bytes each, as JWTs have them, of a P-256 signature in DER.
fn bare(der: &[u8]) -> Vec<u8> {
    let body = &der[2..];
    let first = usize::from(body[1]);
    let mut out = Vec::new();
    for number in [&body[2..2 + first], &body[2 + first + 2..]] {
        let digits = &number[usize::from(number[0] == 0)..];
        out.extend(std::iter::repeat_n(0, 32 - digits.len()));
        out.extend(digits);
    }
    out
}
