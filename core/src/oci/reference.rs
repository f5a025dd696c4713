//! Image references: parsed once at the door.
//!
//! Registry references follow go-containerregistry's `name` package (what cosign uses), because the name goes into the
//! signed payload. Layout references follow containers/image: `oci:PATH[:TAG][@DIGEST]`, split at the first `:`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::digest::Digest;
use crate::error::{Code, Error, Result};

/// Where an image is: in a registry or in an OCI image layout on disk.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ImageRef {
    /// `oci:PATH[:TAG][@DIGEST]`.
    Layout(LayoutRef),
    /// `registry/repository[:tag][@digest]`.
    Registry(RegistryRef),
}

/// An image in an OCI image layout.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LayoutRef {
    path: PathBuf,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// An image in a registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RegistryRef {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

fn bad(text: &str, why: &str) -> Error {
    let shown: String = text.chars().take(200).collect();
    Error::new(Code::Reference, format!("{shown:?} is not an image reference: {why}"))
}

impl ImageRef {
    /// Parses a reference: `oci:PATH[:TAG][@DIGEST]` for a layout, else a registry reference such as
    /// `ghcr.io/team/app:1.2` or `alpine@sha256:…`.
    pub fn parse(text: &str) -> Result<ImageRef> {
        match text.strip_prefix("oci:") {
            Some(rest) => LayoutRef::parse(rest).map(ImageRef::Layout),
            None => RegistryRef::parse(text).map(ImageRef::Registry),
        }
    }

    /// Whether the image is on disk: no network is touched for it.
    pub fn is_local(&self) -> bool {
        matches!(self, ImageRef::Layout(_))
    }

    /// The digest, if the reference names one.
    pub fn digest(&self) -> Option<&Digest> {
        match self {
            ImageRef::Layout(layout) => layout.digest(),
            ImageRef::Registry(registry) => registry.digest(),
        }
    }

    /// The same place, with this digest and no tag.
    pub fn pinned(&self, digest: &Digest) -> ImageRef {
        let digest = Some(digest.clone());
        match self {
            ImageRef::Layout(l) => ImageRef::Layout(LayoutRef { path: l.path.clone(), tag: None, digest }),
            ImageRef::Registry(r) => ImageRef::Registry(RegistryRef { tag: None, digest, ..r.clone() }),
        }
    }
}

impl FromStr for ImageRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<ImageRef> {
        ImageRef::parse(text)
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImageRef::Layout(layout) => layout.fmt(f),
            ImageRef::Registry(registry) => registry.fmt(f),
        }
    }
}

/// Splits `…@sha256:…` off the end.
fn split_digest<'a>(text: &'a str, whole: &str) -> Result<(&'a str, Option<Digest>)> {
    match text.rsplit_once('@') {
        Some((rest, digest)) if digest.starts_with("sha256:") || digest.starts_with("sha512:") => {
            Ok((rest, Some(Digest::parse(digest).map_err(|e| bad(whole, e.message()))?)))
        }
        _ => Ok((text, None)),
    }
}

fn is_tag(tag: &str) -> bool {
    let first = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let rest = |c: char| first(c) || c == '.' || c == '-';
    !tag.is_empty() && tag.len() <= 128 && tag.starts_with(first) && tag.chars().all(rest)
}

impl LayoutRef {
    /// Parses what stands after `oci:`.
    fn parse(text: &str) -> Result<LayoutRef> {
        if text.contains('\0') {
            return Err(bad(text, "it contains a NUL byte"));
        }
        let (rest, digest) = split_digest(text, text)?;
        let (path, tag) = match rest.split_once(':') {
            None => (rest, None),
            Some((path, tag)) => (path, Some(tag)),
        };
        if path.is_empty() {
            return Err(bad(text, "expected oci:PATH[:TAG][@DIGEST], found no path"));
        }
        // A layout's names are any annotation value: full references with '/' and ':' are common (containerd).
        if let Some(tag) = tag
            && (tag.is_empty() || tag.len() > 512 || tag.chars().any(char::is_control))
        {
            return Err(bad(text, "the tag after the path is empty or malformed"));
        }
        Ok(LayoutRef { path: PathBuf::from(path), tag: tag.map(str::to_owned), digest })
    }

    /// A layout by path, for paths that contain a `:`.
    pub fn new(path: impl Into<PathBuf>, tag: Option<String>, digest: Option<Digest>) -> LayoutRef {
        LayoutRef { path: path.into(), tag, digest }
    }

    /// The folder of the layout.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of the image (`org.opencontainers.image.ref.name`), if given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if given; it wins over the tag.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }
}

impl fmt::Display for LayoutRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oci:{}", self.path.display())?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// Docker Hub's name as cosign writes it into payloads.
const DOCKER_HUB: &str = "index.docker.io";

impl RegistryRef {
    /// Parses a registry reference by go-containerregistry's rules.
    pub fn parse(text: &str) -> Result<RegistryRef> {
        if text.is_empty() {
            return Err(bad(text, "it is empty"));
        }
        if text.len() > 1024 {
            return Err(bad(text, "it is longer than 1024 bytes"));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(Digest::parse(digest).map_err(|e| bad(text, e.message()))?)),
            None => (text, None),
        };
        // A ':' after the last '/' begins the tag; before it, a port.
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        if let Some(tag) = tag
            && !is_tag(tag)
        {
            return Err(bad(text, "a tag is 1 to 128 letters, digits, '_', '.' or '-'"));
        }
        let (registry, repository) = match name.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
            _ => (DOCKER_HUB, name),
        };
        let registry = if registry == "docker.io" { DOCKER_HUB } else { registry };
        if !is_registry(registry) {
            return Err(bad(text, "the registry must be a host with an optional port"));
        }
        let repository = match repository {
            short if registry == DOCKER_HUB && !short.contains('/') => format!("library/{short}"),
            full => full.to_owned(),
        };
        let in_repository = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '.');
        let component_ok = |c: &str| !c.is_empty() && c != "." && c != ".." && c.chars().all(in_repository);
        if repository.len() < 2 || repository.len() > 255 || !repository.split('/').all(component_ok) {
            return Err(bad(text, "a repository is 2 to 255 lower-case letters, digits, '_', '-', '.', '/'"));
        }
        let tag = match (tag, &digest) {
            (_, Some(_)) => None,
            (Some(tag), None) => Some(tag.to_owned()),
            (None, None) => Some("latest".to_owned()),
        };
        Ok(RegistryRef { registry: registry.to_owned(), repository, tag, digest })
    }

    /// Parses the name of a repository, without tag or digest.
    pub fn parse_repository(text: &str) -> Result<RegistryRef> {
        let parsed = RegistryRef::parse(text)?;
        let last = text.rsplit('/').next().unwrap_or_default();
        if parsed.digest.is_some() || last.contains(':') {
            return Err(bad(text, "expected a repository such as registry.example/team/app, without tag or digest"));
        }
        Ok(RegistryRef { tag: None, ..parsed })
    }

    /// `host[:port]`; Docker Hub is `index.docker.io`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository, such as `library/alpine`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `latest` when the reference has neither tag nor digest, none when it has a digest.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if given.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// `registry/repository`: the `docker-reference` that cosign signs.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }
}

fn is_registry(registry: &str) -> bool {
    let (host, port) = match registry.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, "")) => (host, None),
            Some((host, port)) => match port.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None => return false,
            },
            None => return false,
        },
        None => match registry.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (registry, None),
        },
    };
    let v6 = registry.starts_with('[');
    let host_ok = if v6 {
        host.parse::<std::net::Ipv6Addr>().is_ok()
    } else {
        host.starts_with(|c: char| c.is_ascii_alphanumeric())
            && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
    };
    // No host is longer (RFC 1035), and any reference stays below the limit when it is written out with a digest.
    let host_ok = host_ok && host.len() <= 253;
    // Rust's numbers may begin with '+'.
    let port_ok = |port: &str| port.starts_with(|c: char| c.is_ascii_digit()) && port.parse::<u16>().is_ok();
    host_ok && port.is_none_or(port_ok)
}

impl fmt::Display for RegistryRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn names_are_what_cosign_signs() {
        for (text, name, tag) in [
            ("alpine", "index.docker.io/library/alpine", Some("latest")),
            ("docker.io/alpine:3", "index.docker.io/library/alpine", Some("3")),
            ("team/app", "index.docker.io/team/app", Some("latest")),
            ("localhost:5000/a/b:x", "localhost:5000/a/b", Some("x")),
            ("localhost/app", "localhost/app", Some("latest")),
            ("127.0.0.1:5056/demo", "127.0.0.1:5056/demo", Some("latest")),
            ("[::1]:5000/app", "[::1]:5000/app", Some("latest")),
        ] {
            let parsed = RegistryRef::parse(text).unwrap();
            assert_eq!((parsed.name().as_str(), parsed.tag()), (name, tag), "{text}");
        }
        let both = RegistryRef::parse(&format!("ghcr.io/a/b:1@{D}")).unwrap();
        assert_eq!(both.to_string(), format!("ghcr.io/a/b@{D}"));
    }

    #[test]
    fn a_repository_has_neither_tag_nor_digest() {
        for (text, name) in [("ghcr.io/a/b", "ghcr.io/a/b"), ("alpine", "index.docker.io/library/alpine")] {
            let parsed = RegistryRef::parse_repository(text).unwrap();
            assert_eq!((parsed.name().as_str(), parsed.tag(), parsed.to_string().as_str()), (name, None, name));
        }
        for text in ["", "a/b:1", "localhost:5000", "https://a.io/b", "a/../b", &format!("a/b@{D}"), "a/b:"] {
            assert_eq!(RegistryRef::parse_repository(text).unwrap_err().code(), Code::Reference, "{text}");
        }
    }

    #[test]
    fn refuses_what_could_become_another_path_or_host() {
        for text in [
            "",
            "a/../b",
            "./a/b",
            "ghcr.io/",
            "ghcr.io/A/b",
            "ghcr.io/a//b",
            "ghcr.io/a b",
            "ghcr.io/a:b:c",
            "user@ghcr.io/a/b",
            "ghcr.io:99999/a/b",
            "ghcr.io:x/a/b",
            "ghcr.io:+80/a/b",
            "[::1]evil:80/a/b",
            "[::1]\\/app",
            "[::1]?x/app",
            "ghcr.io/a@sha256:../..",
            "ghcr.io/a@md5:aa",
            "https://ghcr.io/a/b",
            "ghcr.io/a:",
            "ghcr.io/a%2f..",
            "ghcr.io/a?x=y",
            "ghcr.io/a#b",
        ] {
            assert_eq!(ImageRef::parse(text).unwrap_err().code(), Code::Reference, "{text}");
        }
        for long in [format!("ghcr.io/{}", "a/".repeat(200)), format!("{}.io/a/b", "a".repeat(251))] {
            assert!(ImageRef::parse(&long).is_err(), "{long}");
        }
        let longest = format!("{}.io:65535/{}:{}", "a".repeat(250), "b".repeat(255), "c".repeat(128));
        let pinned = ImageRef::parse(&longest).unwrap().pinned(&Digest::parse(D).unwrap());
        assert_eq!(ImageRef::parse(&pinned.to_string()).unwrap(), pinned);
    }

    #[test]
    fn layouts_split_at_the_first_colon() {
        let parse = |text: &str| match ImageRef::parse(text).unwrap() {
            ImageRef::Layout(layout) => layout,
            other => panic!("{other}"),
        };
        let layout = parse("oci:/tmp/x:ghcr.io/a/b:1");
        assert_eq!((layout.path(), layout.tag()), (Path::new("/tmp/x"), Some("ghcr.io/a/b:1")));
        let layout = parse(&format!("oci:x@{D}"));
        assert_eq!((layout.path(), layout.tag(), layout.digest().is_some()), (Path::new("x"), None, true));
        assert_eq!(parse(&format!("oci:x:v1@{D}")).to_string(), format!("oci:x:v1@{D}"));
        for text in ["oci:", "oci:x:", "oci::v1", "oci:x@sha256:zz", "oci:x\0y"] {
            assert!(ImageRef::parse(text).is_err(), "{text:?}");
        }
    }
}
