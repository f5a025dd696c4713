//! cosign.h: sign and verify container images.
//! SPDX-License-Identifier: Apache-2.0
//!
//! The ten rules of this interface
//!
//!  1. Types in signatures: int32_t, uint32_t, uint64_t, size_t; const char * is text, UTF-8 with a NUL at its end;
//!     const void * with a size_t is bytes, and NULL with 0 is empty; pointers to opaque types; function pointers.
//!     No struct, no enum, no bool, no varargs.
//!  2. A function that can fail returns a cosign_code; 0 is success. Its last parameter is cosign_error **err, which
//!     may be NULL. *err is NULL after success and an owned error otherwise; what was in *err before is overwritten
//!     without being read, so start with NULL and free after a failure. All other outs are set to NULL first and
//!     filled only on success.
//!  3. A T * that is returned or written to an out is owned: free it with cosign_T_free. const results are borrowed
//!     from the argument and live as long as it does. Every _free accepts NULL. Never free(3) our objects; all that
//!     you pass in is copied.
//!  4. const T * is safe on the same object from many threads at once; T * is for one thread at a time. Clients, keys,
//!     errors, buffers and results never change.
//!  5. Builders (options, policies, calls) have void setters. A bad value is kept as the builder's first error and
//!     returned, naming the setter, by the function that uses the builder. A builder can be used again.
//!  6. A callback's last parameter is void *user_data. It is registered with a finalizer (may be NULL) that runs
//!     exactly once. Callbacks run on the thread that made the call, never two at once for one call object. They may
//!     call libcosign, but not free the objects in use. The call they run for is neither changed (cosign_call_set_*)
//!     nor freed by them: that has no effect, and the function that asked returns COSIGN_ERR_CALLBACK. They must not
//!     throw or longjmp through us.
//!  7. No init, no shutdown, no global state. We read no environment variable and no file that you did not name (but
//!     the system's certificate authorities, at the first https request, and what cosign_client_options_from_env
//!     says), install no signal handler, change no locale, umask or working directory, and print nothing.
//!  8. After fork() a client made in the parent answers COSIGN_ERR_FORKED in the child: make a new one there. fork
//!     and exec is always fine. dlclose() keeps the library mapped.
//!  9. Within one soname things are only added, and codes never change their meaning: expect unknown codes and treat
//!     them by the "class" in cosign_error_json, one of usage, key, refused, unknown, stopped, file, internal. It is
//!     not the code's hundreds: of 4xx, 402 (no such image) is refused and the others unknown. Ask with
//!     #if COSIGN_VERSION_NUMBER >= 0x000100, cosign_version_number() and cosign_has_feature().
//! 10. Names with "dangerous" weaken security.
//!
//! Verification fails closed: COSIGN_OK is the only success, a result object exists only then, and a policy that
//! demands nothing is an error.

// The comments on exported functions become the C header's documentation, in its form.
#![allow(clippy::missing_safety_doc, rustdoc::broken_intra_doc_links, rustdoc::invalid_html_tags)]

mod boundary;
mod call;
mod client;
mod handle;
mod runtime;

pub mod attach;
pub mod batch;
pub mod blob;
pub mod buffer;
pub mod doctor;
pub mod download;
pub mod error;
pub mod generate;
pub mod key;
pub mod library;
pub mod maintain;
pub mod policy;
pub mod secret;
pub mod sign;
pub mod signed;
pub mod tree;
pub mod triangulate;
pub mod verification;
pub mod verify;

pub use call::*;
pub use client::*;
