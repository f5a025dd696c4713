//! Blobs in and out, in as few requests as the registry allows.
//!
//! A registry may take a blob with the request that opens its upload (distribution-spec, "Single POST"). One that does
//! not answers 202 and where to continue, so trying costs no request, only the bytes a second time; and only once, since
//! the answer is remembered (`capabilities.rs`).
//!
//! An upload that was opened and came to nothing is given up with a DELETE, so that the registry need not keep it until it
//! expires. Nobody waits for what becomes of that.

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, LOCATION};
use url::Url;

use super::answer::{Answer, Whole, header_text};
use super::limits;
use super::manifests::{WEB_PAGE, check_stored, is_web_page};
use super::request::{Ask, Scope, Target};
use super::retry::{Failure, Resend};
use super::transport::Transport;
use crate::call::Call;
use crate::digest::Digest;
use crate::error::{Code, Result};

const OCTETS: &str = "application/octet-stream";

/// What came of the wish to take a blob over from another repository.
#[derive(Debug)]
pub enum Mount {
    /// It is there now.
    Mounted,
    /// The registry wants the bytes; this is where ([`Transport::fill_upload`]).
    Upload(Upload),
}

/// An upload that a registry opened.
#[derive(Debug)]
pub struct Upload {
    pub(super) to: Url,
}

impl Transport {
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
        #[cfg(feature = "oci-client")]
        if let Some(client) = &self.through {
            return client.get_blob(host, repository, digest, size, call).await;
        }
        let ask = Ask::new(Method::GET, host, repository, format!("blobs/{digest}"), format!("GET blob {digest}"));
        let mut body = Whole::exact(size);
        if self.get(&ask, &mut body, call).await?.is_none() {
            return Ok(None);
        }
        let bytes = body.bytes;
        if u64::try_from(bytes.len()).ok() != Some(size) {
            let why = format!("{} bytes were served where {size} were declared", bytes.len());
            return Err(ask.error(Code::Content, &why));
        }
        if !digest.matches(&bytes) {
            let error = ask.error(Code::Content, "the bytes served do not have the digest that was asked for");
            return Err(error.with("evidence", "content"));
        }
        Ok(Some(bytes))
    }

    /// Stores a blob, in one request where the registry takes it so, else in two. Storing what is there already is not an
    /// error. An upload that fails on the way is begun anew.
    pub async fn put_blob(
        &self,
        host: &str,
        repository: &str,
        digest: &Digest,
        bytes: &[u8],
        call: &Call,
    ) -> Result<()> {
        let call = &limits::with_deadline(call);
        #[cfg(feature = "oci-client")]
        if let Some(client) = &self.through {
            return client.put_blob(host, repository, digest, bytes, call).await;
        }
        let what = format!("POST upload of {digest}");
        let ask = Ask::new(Method::POST, host, repository, "blobs/uploads/".to_owned(), what);
        let mut backoff = self.backoff();
        loop {
            let failure = match self.upload(host, repository, digest, bytes, call).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            if !failure.may_resend(Resend::Always) {
                return Err(failure.error);
            }
            self.pause(&ask, &mut backoff, failure, call).await.map_err(|failure| failure.error)?;
        }
    }

    async fn upload(
        &self,
        host: &str,
        repository: &str,
        digest: &Digest,
        bytes: &[u8],
        call: &Call,
    ) -> std::result::Result<(), Failure> {
        let what = format!("POST upload of {digest}");
        let mut open = Ask::new(Method::POST, host, repository, "blobs/uploads/".to_owned(), what.clone());
        (open.body, open.resend) = (Some(&[][..]), Resend::Never);
        let mut nothing = Whole::new(0);
        let known = self.capabilities(&open).single_post;
        if known.unwrap_or(bytes.len() <= limits::SINGLE_POST) {
            let path = "blobs/uploads/".to_owned();
            let mut whole = Ask::new(Method::POST, host, repository, path, what).header(CONTENT_TYPE, OCTETS)?;
            (whole.body, whole.resend) = (Some(bytes), Resend::Never);
            whole.query.push(("digest", digest.to_string()));
            let answer = self.answer(&whole, &mut nothing, call).await?;
            match answer.status.as_u16() {
                201 => {
                    self.learn(&whole, |known| known.single_post = Some(true));
                    return Ok(check_stored(&whole, &answer, bytes)?);
                }
                202 => {
                    self.learn(&whole, |known| known.single_post = Some(false));
                    let upload = self.opened(&whole, &answer)?;
                    return self.fill(host, repository, upload, digest, bytes, call).await;
                }
                // Not understood in this form.
                400 | 405 | 411 | 415 | 501 => self.learn(&whole, |known| known.single_post = Some(false)),
                _ => return Err(answer.error(&whole).into()),
            }
        }
        let answer = self.answer(&open, &mut nothing, call).await?;
        match answer.status.as_u16() {
            202 => {
                let upload = self.opened(&open, &answer)?;
                self.fill(host, repository, upload, digest, bytes, call).await
            }
            _ => Err(answer.error(&open).into()),
        }
    }

    /// Opens an upload.
    pub(super) async fn open_upload(
        &self,
        host: &str,
        repository: &str,
        digest: &Digest,
        call: &Call,
    ) -> Result<Upload> {
        let call = &limits::with_deadline(call);
        let what = format!("POST upload of {digest}");
        let mut ask = Ask::new(Method::POST, host, repository, "blobs/uploads/".to_owned(), what);
        ask.body = Some(&[][..]);
        let mut nothing = Whole::new(0);
        let answer = self.answer(&ask, &mut nothing, call).await.map_err(|failure| failure.error)?;
        match answer.status.as_u16() {
            202 => self.opened(&ask, &answer),
            _ => Err(answer.error(&ask)),
        }
    }

    /// Where the registry wants the bytes.
    fn opened(&self, ask: &Ask<'_>, answer: &Answer) -> Result<Upload> {
        let location = header_text(ask, &answer.headers, LOCATION)?
            .ok_or_else(|| ask.error(Code::Protocol, "the registry opened an upload without telling where"))?;
        let at = &answer.url;
        let to = at.join(&location).map_err(|_| ask.error(Code::Protocol, "the upload's Location is not a URL"))?;
        self.check_hop(ask, at, &to)?;
        Ok(Upload { to })
    }

    async fn fill(
        &self,
        host: &str,
        repository: &str,
        upload: Upload,
        digest: &Digest,
        bytes: &[u8],
        call: &Call,
    ) -> std::result::Result<(), Failure> {
        let filled = self.put_into(host, repository, &upload, digest, bytes, call).await;
        // Where the session is gone there is nothing to give up.
        if filled.as_ref().is_err_and(|failure| !matches!(failure.error.status(), Some(404 | 416))) {
            self.abandon_upload(host, repository, upload).await;
        }
        filled
    }

    /// Gives up an upload that will not be filled: tells the registry, as far as that can be said in a moment. The call it
    /// belonged to may have been cancelled, so this has a bound of its own; whether it succeeds changes nothing. As every
    /// request it carries credentials only to the registry's own origin.
    pub async fn abandon_upload(&self, host: &str, repository: &str, upload: Upload) {
        let call = Call::new().with_timeout(limits::ABANDON);
        let mut ask = Ask::new(Method::DELETE, host, repository, String::new(), "DELETE upload".to_owned());
        // The token that opened it; another one would have to be asked for.
        (ask.target, ask.scope, ask.resend) = (Target::Url(upload.to), Scope::PullPush, Resend::Never);
        let mut nothing = Whole::new(0);
        let _ = self.answer(&ask, &mut nothing, &call).await;
    }

    async fn put_into(
        &self,
        host: &str,
        repository: &str,
        upload: &Upload,
        digest: &Digest,
        bytes: &[u8],
        call: &Call,
    ) -> std::result::Result<(), Failure> {
        let mut to = upload.to.clone();
        to.query_pairs_mut().append_pair("digest", &digest.to_string());
        let mut ask = Ask::new(Method::PUT, host, repository, String::new(), format!("PUT blob {digest}"));
        (ask.target, ask.body, ask.resend) = (Target::Url(to), Some(bytes), Resend::Never);
        let ask = ask.header(CONTENT_TYPE, OCTETS)?;
        let mut nothing = Whole::new(0);
        let answer = self.answer(&ask, &mut nothing, call).await?;
        match answer.status.as_u16() {
            200 | 201 | 202 | 204 if is_web_page(&answer) => Err(ask.error(Code::Protocol, WEB_PAGE).into()),
            200 | 201 | 202 | 204 => Ok(check_stored(&ask, &answer, bytes)?),
            // The session is gone: another one may live longer.
            404 | 416 => Err(Failure::unsent(answer.error(&ask))),
            _ => Err(answer.error(&ask).into()),
        }
    }

    /// Asks the registry to take a blob over from its repository `from`; where it does not, it opens an upload instead.
    pub async fn mount_blob(
        &self,
        host: &str,
        repository: &str,
        digest: &Digest,
        from: &str,
        call: &Call,
    ) -> Result<Mount> {
        let call = &limits::with_deadline(call);
        let what = format!("POST mount of {digest} from {from}");
        let mut ask = Ask::new(Method::POST, host, repository, "blobs/uploads/".to_owned(), what);
        (ask.body, ask.source) = (Some(&[][..]), Some(from));
        ask.query = vec![("mount", digest.to_string()), ("from", from.to_owned())];
        let mut nothing = Whole::new(0);
        let answer = self.answer(&ask, &mut nothing, call).await.map_err(|failure| failure.error)?;
        match answer.status.as_u16() {
            201 => Ok(Mount::Mounted),
            202 => Ok(Mount::Upload(self.opened(&ask, &answer)?)),
            _ => Err(answer.error(&ask)),
        }
    }

    /// Sends the bytes that a mount did not spare; an upload that fails on the way is begun anew.
    pub async fn fill_upload(
        &self,
        host: &str,
        repository: &str,
        upload: Upload,
        digest: &Digest,
        bytes: &[u8],
        call: &Call,
    ) -> Result<()> {
        let call = &limits::with_deadline(call);
        match self.fill(host, repository, upload, digest, bytes, call).await {
            Ok(()) => Ok(()),
            Err(failure) if failure.may_resend(Resend::Always) => {
                self.put_blob(host, repository, digest, bytes, call).await
            }
            Err(failure) => Err(failure.error),
        }
    }
}
