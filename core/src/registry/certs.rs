//! Folders of certificates per registry, as docker and podman keep them: `<folder>/<host:port>/` holds authorities
//! (`*.crt`) and a client's certificate with its key (`<name>.cert`, `<name>.key`).

use std::io::Read;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::limits;
use super::tls::ClientCertificate;
use crate::error::{Code, Error, Result};

/// What a folder holds for one registry.
#[derive(Clone, Default)]
pub(super) struct HostCertificates {
    pub(super) authorities: Vec<Vec<u8>>,
    pub(super) client: Option<ClientCertificate>,
}

impl HostCertificates {
    pub(super) fn is_empty(&self) -> bool {
        self.authorities.is_empty() && self.client.is_none()
    }

    /// Reads the first of `folders` that has one for `host`; a file in it that cannot be used is an error.
    pub(super) fn read(folders: &[PathBuf], host: &str) -> Result<HostCertificates> {
        // The name becomes a path: a host has no separator, and nothing here makes it one.
        if host.is_empty() || host.contains(['/', '\\']) || host.starts_with('.') {
            return Ok(HostCertificates::default());
        }
        let hub = (host == "index.docker.io").then_some("docker.io");
        let names = [Some(host), hub].into_iter().flatten();
        let candidates = names.flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
        let Some(folder) = candidates.into_iter().find(|folder| folder.is_dir()) else {
            return Ok(HostCertificates::default());
        };
        let fail = |path: &Path, why: &dyn std::fmt::Display| {
            Error::new(Code::Io, format!("cannot read {}: {why}", path.display()))
        };
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(|error| fail(&folder, &error))?.take(limits::CERTIFICATE_FILES)
        {
            paths.push(entry.map_err(|error| fail(&folder, &error))?.path());
        }
        paths.sort();
        let mut found = HostCertificates::default();
        let has = |path: &Path, extension: &str| path.extension().is_some_and(|end| end == extension);
        for path in &paths {
            if has(path, "crt") {
                let pem = read_capped(path, limits::ROOTS_FILE).map_err(|error| fail(path, &error))?;
                super::tls::check_ca(&pem).map_err(|error| error.context(path.display()))?;
                found.authorities.push(pem.to_vec());
            } else if has(path, "cert") && found.client.is_none() {
                let key = path.with_extension("key");
                let certificate = read_capped(path, limits::CLIENT_FILE).map_err(|error| fail(path, &error))?;
                let secret = read_capped(&key, limits::CLIENT_FILE).map_err(|error| fail(&key, &error))?;
                let client = ClientCertificate::parse(&certificate, &secret);
                found.client = Some(client.map_err(|error| error.context(path.display()))?);
            }
        }
        Ok(found)
    }
}

fn read_capped(path: &Path, cap: u64) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    if length > cap {
        return Err(std::io::Error::other(format!("it is larger than {cap} bytes")));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or(0).saturating_add(1)));
    file.take(cap).read_to_end(&mut bytes)?;
    Ok(bytes)
}
