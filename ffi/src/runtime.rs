//! The threads of a client: one `cosign-io`, made when a registry is first touched, deaf to the host's signals.
//!
//! The threads inherit a mask that blocks every signal but those a crash raises, so that a handler of the host never
//! runs on them and a broken connection answers EPIPE instead of killing the process by SIGPIPE. Threads do not survive
//! `fork`, so everything here belongs to the process that made the client: in a child it answers FORKED and is leaked,
//! because waiting for a thread that does not exist would never end.

use std::io;
use std::mem::MaybeUninit;
use std::sync::{Mutex, PoisonError};

use cosign_core::error::{Code, Error, Result};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::boundary::adopt_thread;

/// A runtime that is built on first use, in the process that made it.
pub(crate) struct LazyRuntime {
    pid: u32,
    runtime: Mutex<Option<Runtime>>,
}

impl LazyRuntime {
    pub(crate) fn new() -> LazyRuntime {
        LazyRuntime { pid: std::process::id(), runtime: Mutex::new(None) }
    }

    /// Whether this process is a fork of the one that made the client.
    pub(crate) fn is_forked(&self) -> bool {
        self.pid != std::process::id()
    }

    /// An error in a forked child. Asked before any lock is touched: the parent may have held it while forking.
    pub(crate) fn check_process(&self) -> Result<()> {
        if self.is_forked() {
            return Err(Error::new(
                Code::Forked,
                format!("the client was made in process {} before fork(): make a new one in the child", self.pid),
            ));
        }
        Ok(())
    }

    pub(crate) fn handle(&self) -> Result<Handle> {
        self.check_process()?;
        let mut slot = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = slot.as_ref() {
            return Ok(runtime.handle().clone());
        }
        let runtime = build()
            .map_err(|error| Error::new(Code::Io, format!("the thread for network work cannot be made: {error}")))?;
        Ok(slot.insert(runtime).handle().clone())
    }
}

impl Drop for LazyRuntime {
    fn drop(&mut self) {
        let forked = self.is_forked();
        let slot = self.runtime.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = slot.take() {
            if forked {
                std::mem::forget(runtime);
            } else {
                // A name look-up that hangs cannot be interrupted: it is left behind, not waited for.
                runtime.shutdown_background();
            }
        }
    }
}

fn build() -> io::Result<Runtime> {
    // The mask is inherited when a thread is made: no moment remains in which a worker could take a signal.
    let _masked = Masked::new()?;
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("cosign-io")
        .enable_all()
        .on_thread_start(adopt_thread)
        .build()
}

/// Blocks signals on this thread until dropped.
struct Masked(libc::sigset_t);

impl Masked {
    fn new() -> io::Result<Masked> {
        // Left open: what the processor raises on the thread itself, which crash reporters need.
        const CRASHES: [libc::c_int; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP];
        let mut block = MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigfillset initialises the set it is given; pthread_sigmask reads it and writes `before`.
        unsafe {
            libc::sigfillset(block.as_mut_ptr());
            for signal in CRASHES {
                libc::sigdelset(block.as_mut_ptr(), signal);
            }
            match libc::pthread_sigmask(libc::SIG_SETMASK, block.as_ptr(), before.as_mut_ptr()) {
                0 => Ok(Masked(before.assume_init())),
                error => Err(io::Error::from_raw_os_error(error)),
            }
        }
    }
}

impl Drop for Masked {
    fn drop(&mut self) {
        // SAFETY: the set came from pthread_sigmask.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut()) };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn blocks(signal: libc::c_int) -> bool {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, std::ptr::null(), set.as_mut_ptr());
            libc::sigismember(set.as_ptr(), signal) == 1
        }
    }

    #[test]
    fn the_worker_is_named_masked_and_alone_while_the_caller_keeps_its_mask() {
        let lazy = LazyRuntime::new();
        let (name, pipe, alarm, segv) = lazy
            .handle()
            .unwrap()
            .block_on(async {
                tokio::spawn(async {
                    let name = std::thread::current().name().unwrap().to_owned();
                    (name, blocks(libc::SIGPIPE), blocks(libc::SIGALRM), blocks(libc::SIGSEGV))
                })
                .await
            })
            .unwrap();
        assert_eq!((name.as_str(), pipe, alarm, segv), ("cosign-io", true, true, false));
        assert!(!blocks(libc::SIGALRM));
    }

    #[test]
    fn another_process_is_told_to_make_its_own() {
        let mut lazy = LazyRuntime::new();
        lazy.handle().unwrap();
        lazy.pid = lazy.pid.wrapping_add(1);
        assert_eq!(lazy.handle().unwrap_err().code(), Code::Forked);
    }
}
