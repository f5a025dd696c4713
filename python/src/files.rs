//! Reading and writing key files.
//!
//! A file is written whole or not at all: a temporary file beside the target, created by us alone with its final mode,
//! is filled, synced and then moved to its name. When the call returns, the name is on the disk too.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use cosign_core::{Code, Error, Result};
use zeroize::Zeroizing;

/// Key, certificate and configuration files are small; more than this is something else.
const MAX_FILE: u64 = 1 << 20;

/// The whole file, as a secret.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    read_up_to(path, MAX_FILE)
}

/// A file to be read in pieces.
pub fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|error| io(path, "read", &error))
}

/// The whole file, of at most `limit` bytes.
pub fn read_up_to(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>> {
    let file = open(path)?;
    let mut content = Zeroizing::new(Vec::with_capacity(8192));
    file.take(limit.saturating_add(1)).read_to_end(&mut content).map_err(|error| io(path, "read", &error))?;
    if content.len() as u64 > limit {
        let message = format!("{}: larger than {limit} bytes; is this the right file?", path.display());
        return Err(Error::new(Code::Argument, message).with("path", path.display().to_string()));
    }
    Ok(content)
}

/// A file that has been written beside its target and waits for [`Staged::commit`]; dropped, it disappears.
pub struct Staged {
    temporary: PathBuf,
    target: PathBuf,
}

/// A name beside `target` that nobody has; the file at it is ours.
fn beside(target: &Path) -> Result<PathBuf> {
    let (Some(name), Some(folder)) = (target.file_name(), target.parent()) else {
        return Err(Error::new(Code::Argument, format!("{}: not the name of a file", target.display())));
    };
    let mut random = [0; 8];
    cosign_core::crypto::rng::fill(&mut random)?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{:016x}.tmp", u64::from_ne_bytes(random)));
    Ok(folder.join(hidden))
}

impl Staged {
    /// Writes `content` beside `target`.
    pub fn write(target: &Path, content: &[u8], mode: u32) -> Result<Staged> {
        let staged = Staged { temporary: beside(target)?, target: target.to_owned() };
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&staged.temporary)
            .map_err(|error| io(target, "write", &error))?;
        file.write_all(content).and_then(|()| file.sync_all()).map_err(|error| io(target, "write", &error))?;
        Ok(staged)
    }

    /// Gives the file its name. Without `overwrite`, a file that is there already stays and is an error.
    pub fn commit(self, overwrite: bool) -> Result<()> {
        if !overwrite {
            match fs::hard_link(&self.temporary, &self.target) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(exists(&self.target)),
                // No hard links here: take the name exclusively, then move the content over it.
                Err(_) => match OpenOptions::new().write(true).create_new(true).open(&self.target) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(exists(&self.target)),
                    Err(error) => return Err(io(&self.target, "write", &error)),
                },
            }
        }
        fs::rename(&self.temporary, &self.target).map_err(|error| {
            if !overwrite {
                let _ = fs::remove_file(&self.target);
            }
            io(&self.target, "write", &error)
        })
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.temporary);
    }
}

/// What stood at a name before it was overwritten; dropped, it is forgotten.
struct Before {
    target: PathBuf,
    kept: Option<PathBuf>,
}

impl Before {
    /// Keeps the file at `target`, if there is one, under a second name.
    fn keep(target: &Path) -> Result<Before> {
        let mut before = Before { target: target.to_owned(), kept: None };
        if target.symlink_metadata().is_ok() {
            let second = beside(target)?;
            // No hard links here, or none to a file of somebody else: a copy.
            let kept = fs::hard_link(target, &second).or_else(|_| fs::copy(target, &second).map(drop));
            // Known before the error is, so that half a copy disappears too.
            before.kept = Some(second);
            kept.map_err(|error| io(target, "keep", &error))?;
        }
        Ok(before)
    }

    fn restore(mut self) {
        let _ = match self.kept.take() {
            Some(kept) => fs::rename(kept, &self.target),
            None => fs::remove_file(&self.target),
        };
    }
}

impl Drop for Before {
    fn drop(&mut self) {
        if let Some(kept) = &self.kept {
            let _ = fs::remove_file(kept);
        }
    }
}

/// Writes one file.
pub fn write(target: &Path, content: &[u8], mode: u32, overwrite: bool) -> Result<()> {
    refuse_target(target, overwrite)?;
    Staged::write(target, content, mode)?.commit(overwrite)?;
    sync_folder(target)
}

/// Writes a private key (0600) and its public key (0644), which stand in one folder: both, or neither.
///
/// The private key's name changes last and in one step, so that at every moment it leads to a whole private key, the old
/// one or the new one. A public key that is lost on the way, when the power fails, can be made from it again.
pub fn write_pair(private: (&Path, &[u8]), public: (&Path, &[u8]), overwrite: bool) -> Result<()> {
    refuse_target(private.0, overwrite)?;
    refuse_target(public.0, overwrite)?;
    let staged_private = Staged::write(private.0, private.1, 0o600)?;
    let staged_public = Staged::write(public.0, public.1, 0o644)?;
    let before = Before::keep(public.0)?;
    staged_public.commit(overwrite)?;
    if let Err(error) = staged_private.commit(overwrite) {
        before.restore();
        return Err(error);
    }
    sync_folder(private.0)
}

/// Says early what `commit` would say late.
fn refuse_target(target: &Path, overwrite: bool) -> Result<()> {
    match target.symlink_metadata() {
        Ok(_) if !overwrite => Err(exists(target)),
        Ok(there) if there.is_dir() => Err(io(target, "write", &ErrorKind::IsADirectory.into())),
        _ => Ok(()),
    }
}

/// Waits until the new name is on the disk.
fn sync_folder(target: &Path) -> Result<()> {
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // A folder that may be written but not read, and file systems that do not sync folders.
        Err(error)
            if !matches!(
                error.kind(),
                ErrorKind::PermissionDenied | ErrorKind::InvalidInput | ErrorKind::Unsupported
            ) =>
        {
            Err(io(target, "sync", &error))
        }
        _ => Ok(()),
    }
}

fn exists(path: &Path) -> Error {
    let message = format!(
        "{}: this file exists and is not overwritten without consent: choose another name, or allow overwriting",
        path.display()
    );
    Error::new(Code::FileExists, message).with("path", path.display().to_string())
}

fn io(path: &Path, verb: &str, error: &std::io::Error) -> Error {
    let advice = match error.kind() {
        ErrorKind::NotFound => "expected a file that is there, in a folder that is there",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => "choose a place that this user may use",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free some space and try again",
        ErrorKind::FileTooLarge => "raise the limit on the size of files (ulimit -f) and try again",
        _ => "check the path",
    };
    let message = format!("{}: cannot {verb} the file: {error}: {advice}", path.display());
    let mut result = Error::new(Code::Io, message).with("path", path.display().to_string());
    if let Some(errno) = error.raw_os_error() {
        result = result.with("errno", errno);
    }
    result
}
