//! Files below one folder that may be hostile: each step is opened without following a symbolic link, only regular files
//! are read, sizes are looked at first, and what is written appears whole or not at all.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};

/// Why a file of the layout was not read.
pub(super) enum FileError {
    /// The system's reason.
    Io(rustix::io::Errno),
    /// A symbolic link, a device, a folder.
    NotRegular,
    /// Its size, and the cap.
    TooLarge(u64, u64),
}

/// An open folder; every path below it is opened step by step.
pub(super) struct Folder {
    pub(super) fd: OwnedFd,
}

const NAME_OF_TEMPORARY: &str = ".cosign-writing";

impl Folder {
    pub(super) fn open_folder(&self, path: &[&str]) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut fd = rustix::fs::openat(&self.fd, ".", flags, Mode::empty())?;
        for step in path {
            fd = rustix::fs::openat(&fd, *step, flags, Mode::empty())?;
        }
        Ok(fd)
    }

    /// Reads a regular file of at most `cap` bytes; `None` when it is not there.
    pub(super) fn read(&self, path: &[&str], cap: u64) -> Result<Option<Vec<u8>>, FileError> {
        self.read_if(path, cap, b"")
    }

    /// The same for a file that begins with `start`; also `None` when it does not, which costs no more than a look.
    pub(super) fn read_if(&self, path: &[&str], cap: u64, start: &[u8]) -> Result<Option<Vec<u8>>, FileError> {
        let Some((fd, size)) = self.open_file(path)? else { return Ok(None) };
        if size > cap {
            return Err(FileError::TooLarge(size, cap));
        }
        use rustix::io::Errno;
        let failed = |e: std::io::Error| FileError::Io(Errno::from_io_error(&e).unwrap_or(Errno::IO));
        // One byte more than allowed, so that a file that grows meanwhile is noticed.
        let mut limited = fd.take(cap.saturating_add(1));
        let mut bytes = Vec::new();
        limited.by_ref().take(start.len() as u64).read_to_end(&mut bytes).map_err(failed)?;
        if bytes != start {
            return Ok(None);
        }
        bytes.reserve_exact(usize::try_from(size).unwrap_or(0).saturating_sub(bytes.len()));
        limited.read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > cap {
            return Err(FileError::TooLarge(bytes.len() as u64, cap));
        }
        Ok(Some(bytes))
    }

    /// Opens a regular file, with its size; `None` when it is not there.
    pub(super) fn open_file(&self, path: &[&str]) -> Result<Option<(File, u64)>, FileError> {
        use rustix::io::Errno;
        let classify = |e: Errno| match e {
            Errno::NOENT => Ok(None),
            Errno::LOOP | Errno::NOTDIR | Errno::MLINK | Errno::NXIO => Err(FileError::NotRegular),
            e => Err(FileError::Io(e)),
        };
        let Some((name, folders)) = path.split_last() else { return Ok(None) };
        let folder = match self.open_folder(folders) {
            Ok(folder) => folder,
            Err(e) => return classify(e),
        };
        // NONBLOCK: opening a FIFO must not wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let fd = match rustix::fs::openat(&folder, *name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(e) => return classify(e),
        };
        let stat = rustix::fs::fstat(&fd).map_err(FileError::Io)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(FileError::NotRegular);
        }
        Ok(Some((File::from(fd), u64::try_from(stat.st_size).unwrap_or(u64::MAX))))
    }

    /// Begins a file that comes in pieces and appears whole or not at all. Only called with the lock held.
    pub(super) fn begin(&self, folders: &[&str]) -> std::io::Result<Writing> {
        let folder = self.open_folder(folders)?;
        // What a killed writer left behind.
        match rustix::fs::unlinkat(&folder, NAME_OF_TEMPORARY, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(e) => return Err(e.into()),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
        let file = File::from(rustix::fs::openat(&folder, NAME_OF_TEMPORARY, flags, mode)?);
        Ok(Writing { folder, file, placed: false })
    }

    /// Puts a file in place whole: written beside it, synced, renamed; [`Folder::sync`] makes the name last. On failure
    /// nothing of it stays. Only called with the lock held, so one temporary name serves all, and what killed writers
    /// leave behind never adds up.
    pub(super) fn replace(&self, folders: &[&str], name: &str, bytes: &[u8]) -> std::io::Result<()> {
        let folder = self.open_folder(folders)?;
        // What a killed writer left behind.
        match rustix::fs::unlinkat(&folder, NAME_OF_TEMPORARY, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(e) => return Err(e.into()),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
        let mut file = File::from(rustix::fs::openat(&folder, NAME_OF_TEMPORARY, flags, mode)?);
        // A file that was there keeps its permissions.
        let permitted = match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {
                rustix::fs::fchmod(&file, Mode::from_raw_mode(stat.st_mode)).map_err(std::io::Error::from)
            }
            _ => Ok(()),
        };
        let written = permitted
            .and_then(|()| file.write_all(bytes))
            .and_then(|()| file.sync_all())
            .and_then(|()| rustix::fs::renameat(&folder, NAME_OF_TEMPORARY, &folder, name).map_err(Into::into));
        if let Err(e) = written {
            let _ = rustix::fs::unlinkat(&folder, NAME_OF_TEMPORARY, AtFlags::empty());
            return Err(e);
        }
        Ok(())
    }

    /// Waits until the names in a folder are on the disk.
    pub(super) fn sync(&self, folders: &[&str]) -> rustix::io::Result<()> {
        rustix::fs::fsync(self.open_folder(folders)?)
    }

    /// Takes a file away if that is possible.
    pub(super) fn remove(&self, folders: &[&str], name: &str) {
        if let Ok(folder) = self.open_folder(folders) {
            let _ = rustix::fs::unlinkat(&folder, name, AtFlags::empty());
        }
    }
}

/// A file that is being written; it goes unless it is placed.
pub(super) struct Writing {
    folder: OwnedFd,
    file: File,
    placed: bool,
}

impl Writing {
    pub(super) fn write(&mut self, piece: &[u8]) -> std::io::Result<()> {
        self.file.write_all(piece)
    }

    /// Gives it its name.
    pub(super) fn place(mut self, name: &str) -> std::io::Result<()> {
        self.file.sync_all()?;
        rustix::fs::renameat(&self.folder, NAME_OF_TEMPORARY, &self.folder, name)?;
        self.placed = true;
        Ok(())
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if !self.placed {
            let _ = rustix::fs::unlinkat(&self.folder, NAME_OF_TEMPORARY, AtFlags::empty());
        }
    }
}
