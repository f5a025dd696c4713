//! `cosign_policy`: what an image must carry to be accepted.

use std::ffi::{c_char, c_void};

use cosign_core::error::Result;
use cosign_core::trust::TrustedRoot;
use cosign_core::verify::Policy;

use crate::boundary::boundary;
use crate::handle::{self, Sticky, handle};
use crate::key::cosign_public_key;

/// What an image must carry to be accepted: a builder for cosign_verify_image. Free with cosign_policy_free.
#[allow(non_camel_case_types)]
pub struct cosign_policy {
    _opaque: [u8; 0],
}

#[derive(Default)]
pub(crate) struct PolicyState {
    policy: Policy,
    sticky: Sticky,
}

handle!(Owned cosign_policy = PolicyState, b"cosignPo");

impl PolicyState {
    /// The policy, or the first error of its setters.
    pub(crate) fn checked(&self) -> Result<Policy> {
        self.sticky.check()?;
        Ok(self.policy.clone())
    }
}

/// # Safety
/// `policy` is NULL or live, and no other thread uses it.
unsafe fn set(policy: *mut cosign_policy, name: &str, body: impl FnOnce(&mut Policy) -> Result<()>) {
    // SAFETY: the caller's promise.
    if let Some(state) = unsafe { handle::get_mut(policy) } {
        let result = body(&mut state.policy);
        state.sticky.note(name, result);
    }
}

/// A policy that demands nothing yet, which verification refuses: add a key. Thread-safe.
/// @return the policy, never NULL; owned: cosign_policy_free. @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn cosign_policy_new() -> *mut cosign_policy {
    boundary!(std::ptr::null_mut(), { handle::new(PolicyState::default()) })
}

/// Accepts signatures of this key. Of several keys any one will do, unless cosign_policy_set_threshold demands more.
/// One thread at a time.
/// @param policy  required; NULL does nothing
/// @param key     required; copied. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_policy_add_key(policy: *mut cosign_policy, key: *const cosign_public_key) {
    boundary!((), {
        // SAFETY: rules 3 and 4 of the ABI.
        unsafe {
            set(policy, "cosign_policy_add_key", |policy| {
                policy.add_key(handle::get(key, "key")?.key.clone());
                Ok(())
            });
        }
    })
}

/// Demands that the signed annotations hold this pair. One thread at a time.
/// @param policy  required; NULL does nothing
/// @param key     required, not empty
/// @param value   required. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_policy_require_annotation(
    policy: *mut cosign_policy,
    key: *const c_char,
    value: *const c_char,
) {
    boundary!((), {
        // SAFETY: rules 1, 3 and 4 of the ABI.
        unsafe {
            set(policy, "cosign_policy_require_annotation", |policy| {
                policy.require_annotation(handle::text(key, "key")?, handle::text(value, "value")?)
            });
        }
    })
}

/// Demands acceptable signatures of this many distinct keys; 1 by default. One thread at a time.
/// @param policy     required; NULL does nothing
/// @param threshold  at least 1, and not more than the keys of the policy; else verification is
///                   COSIGN_ERR_POLICY_EMPTY. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_policy_set_threshold(policy: *mut cosign_policy, threshold: u32) {
    boundary!((), {
        // SAFETY: rules 3 and 4 of the ABI.
        unsafe {
            set(policy, "cosign_policy_set_threshold", |policy| {
                policy.set_threshold(threshold);
                Ok(())
            });
        }
    })
}

/// Whether each counted signature must have an entry in a transparency log that the policy trusts: beside the signature, or
/// found in the log of the client. A policy that demands one and trusts no log is COSIGN_ERR_POLICY_EMPTY. One thread at a
/// time.
/// @param policy  required; NULL does nothing
/// @param tlog    0 demands none (the default); anything else does. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_policy_set_tlog(policy: *mut cosign_policy, tlog: i32) {
    boundary!((), {
        // SAFETY: rules 3 and 4 of the ABI.
        unsafe {
            set(policy, "cosign_policy_set_tlog", |policy| {
                policy.require_tlog(tlog != 0);
                Ok(())
            });
        }
    })
}

/// Trusts the transparency log with this key; none is built in. An entry beside a signature is judged as soon as a log is
/// trusted, whether one is demanded or not. One thread at a time.
/// @param policy  required; NULL does nothing
/// @param key     the log's public key, required; copied. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_policy_add_log_key(policy: *mut cosign_policy, key: *const cosign_public_key) {
    boundary!((), {
        // SAFETY: rules 3 and 4 of the ABI.
        unsafe {
            set(policy, "cosign_policy_add_log_key", |policy| {
                policy.add_log_key(handle::get(key, "key")?.key.clone());
                Ok(())
            });
        }
    })
}

/// Trusts the transparency logs of a trusted root, beside those trusted before. One thread at a time.
/// @param policy  required; NULL does nothing
/// @param json    a trusted_root.json, required
/// @param len     how many bytes. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_policy_add_trusted_root(policy: *mut cosign_policy, json: *const c_void, len: usize) {
    boundary!((), {
        // SAFETY: rules 1, 3 and 4 of the ABI.
        unsafe {
            set(policy, "cosign_policy_add_trusted_root", |policy| {
                policy.trust(TrustedRoot::from_json(handle::bytes(json, len, "json")?)?);
                Ok(())
            });
        }
    })
}

/// Frees a policy. Any thread, once.
/// @param policy  the policy; NULL does nothing. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_policy_free(policy: *mut cosign_policy) {
    boundary!((), {
        // SAFETY: rule 3 of the ABI.
        unsafe { handle::free(policy) }
    })
}
