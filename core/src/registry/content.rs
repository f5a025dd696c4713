//! Manifests and blobs in and out; what arrives has the digest and size that were asked for.

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderName, LOCATION};
use reqwest::{Method, Response, StatusCode};

use super::answer::{header_text, media_type};
use super::limits;
use super::request::{Ask, Target};
use super::transport::Transport;
use crate::call::Call;
use crate::digest::Digest;
use crate::error::{Code, Result};

const MANIFEST_TYPES: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// A manifest or index as the registry served it.
#[derive(Debug, Clone)]
pub struct FetchedManifest {
    /// The exact bytes.
    pub bytes: Vec<u8>,
    /// The `Content-Type` without its parameters, lower case; empty when the registry sent none.
    pub media_type: String,
    /// The digest of `bytes`, computed here.
    pub digest: Digest,
}

impl Transport {
    /// The manifest or index behind a tag or digest; `None` only when the registry itself says that it is not there.
    ///
    /// Under a digest, bytes that do not hash to it are [`Code::Content`].
    pub async fn get_manifest(
        &self,
        host: &str,
        repository: &str,
        reference: &str,
        call: &Call,
    ) -> Result<Option<FetchedManifest>> {
        let call = &limits::with_deadline(call);
        let path = format!("manifests/{reference}");
        let ask = Ask::new(Method::GET, host, repository, path, format!("GET manifest {reference}"));
        let ask = ask.header(ACCEPT, MANIFEST_TYPES)?;
        let Some((headers, bytes)) = self.get(&ask, limits::MANIFEST, call).await? else { return Ok(None) };
        let media_type = media_type(&headers);
        if matches!(
            media_type.as_str(),
            "application/vnd.docker.distribution.manifest.v1+json"
                | "application/vnd.docker.distribution.manifest.v1+prettyjws"
        ) {
            return Err(
                ask.error(Code::Protocol, "it is an image of schema 1, which has no trustworthy digest; push it again")
            );
        }
        if media_type == "text/html" {
            return Err(ask.error(Code::Protocol, "the answer is a web page; a proxy or login page may be in the way"));
        }
        let digest = match Digest::parse(reference) {
            Ok(asked) if !asked.matches(&bytes) => {
                return Err(ask.error(Code::Content, "the bytes served do not have the digest that was asked for"));
            }
            Ok(asked) => asked,
            Err(_) => Digest::sha256(&bytes),
        };
        if let Some(claimed) = headers.get(CONTENT_DIGEST) {
            let claimed = claimed.to_str().ok().and_then(|text| Digest::parse(text.trim()).ok());
            if !claimed.is_some_and(|claimed| claimed.matches(&bytes)) {
                return Err(
                    ask.error(Code::Content, "the bytes served do not have the digest in Docker-Content-Digest")
                );
            }
        }
        Ok(Some(FetchedManifest { bytes, media_type, digest }))
    }

    /// A blob of exactly `size` bytes with exactly this digest; `None` only when the registry itself says that it is not
    /// there. The caller has compared `size` with its own cap.
    pub async fn get_blob(
        &self,
        host: &str,
        repository: &str,
        digest: &Digest,
        size: u64,
        call: &Call,
    ) -> Result<Option<Vec<u8>>> {
        let call = &limits::with_deadline(call);
        let ask = Ask::new(Method::GET, host, repository, format!("blobs/{digest}"), format!("GET blob {digest}"));
        let Some((_, bytes)) = self.get(&ask, size, call).await? else { return Ok(None) };
        if u64::try_from(bytes.len()).ok() != Some(size) {
            let why = format!("{} bytes were served where {size} were declared", bytes.len());
            return Err(ask.error(Code::Content, &why));
        }
        if !digest.matches(&bytes) {
            return Err(ask.error(Code::Content, "the bytes served do not have the digest that was asked for"));
        }
        Ok(Some(bytes))
    }

    /// Stores a blob: one request to open an upload, one to fill it. Storing what is there already is not an error.
    pub async fn put_blob(
        &self,
        host: &str,
        repository: &str,
        digest: &Digest,
        bytes: &[u8],
        call: &Call,
    ) -> Result<()> {
        let call = &limits::with_deadline(call);
        let what = format!("POST upload of {digest}");
        let mut ask = Ask::new(Method::POST, host, repository, "blobs/uploads/".to_owned(), what);
        ask.body = Some(&[]);
        let (response, at) = self.send(&ask, call).await?;
        if response.status() != StatusCode::ACCEPTED {
            return Err(self.refusal(&ask, response, call).await);
        }
        let location = header_text(&ask, &response, LOCATION)?
            .ok_or_else(|| ask.error(Code::Protocol, "the registry opened an upload without telling where"))?;
        let mut to = at.join(&location).map_err(|_| ask.error(Code::Protocol, "the upload's Location is not a URL"))?;
        self.check_hop(&ask, &at, &to)?;
        to.query_pairs_mut().append_pair("digest", &digest.to_string());

        let what = format!("PUT blob {digest}");
        let mut ask = Ask::new(Method::PUT, host, repository, String::new(), what);
        ask.target = Target::Url(to);
        ask.body = Some(bytes);
        let ask = ask.header(CONTENT_TYPE, "application/octet-stream")?;
        let (response, _) = self.send(&ask, call).await?;
        self.stored(&ask, response, bytes, call).await
    }

    /// Stores a manifest or index under a tag or digest.
    pub async fn put_manifest(
        &self,
        host: &str,
        repository: &str,
        reference: &str,
        media_type: &str,
        bytes: &[u8],
        call: &Call,
    ) -> Result<()> {
        let call = &limits::with_deadline(call);
        let path = format!("manifests/{reference}");
        let mut ask = Ask::new(Method::PUT, host, repository, path, format!("PUT manifest {reference}"));
        ask.body = Some(bytes);
        let ask = ask.header(CONTENT_TYPE, media_type)?;
        let (response, _) = self.send(&ask, call).await?;
        self.stored(&ask, response, bytes, call).await
    }

    /// The first page of what refers to `digest`; `None` when the registry has no referrers API.
    pub async fn referrers(
        &self,
        host: &str,
        repository: &str,
        digest: &Digest,
        call: &Call,
    ) -> Result<Option<Vec<u8>>> {
        let call = &limits::with_deadline(call);
        let what = format!("GET referrers of {digest}");
        let ask =
            Ask::new(Method::GET, host, repository, format!("referrers/{digest}"), what).header(ACCEPT, INDEX_TYPE)?;
        let (response, _) = self.send(&ask, call).await?;
        match response.status().as_u16() {
            200 if media_type(response.headers()) == INDEX_TYPE => {
                Ok(Some(self.body(&ask, response, limits::MANIFEST, call).await?))
            }
            // Registries without the API answer any of these, or their web page.
            200 | 400 | 404 | 405 | 406 | 501 => Ok(None),
            _ => Err(self.refusal(&ask, response, call).await),
        }
    }

    async fn stored(&self, ask: &Ask<'_>, response: Response, bytes: &[u8], call: &Call) -> Result<()> {
        match response.status().as_u16() {
            200 | 201 | 202 | 204 => {}
            _ => return Err(self.refusal(ask, response, call).await),
        }
        let claimed = response.headers().get(CONTENT_DIGEST).and_then(|value| value.to_str().ok());
        match claimed.and_then(|text| Digest::parse(text.trim()).ok()) {
            Some(claimed) if !claimed.matches(bytes) => Err(ask
                .error(Code::Content, "the registry stored something else: its digest is not that of the bytes sent")),
            _ => Ok(()),
        }
    }
}
