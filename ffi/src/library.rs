//! What this build of the library is: its version, its features, its codes.

use std::ffi::{CString, c_char};
use std::sync::LazyLock;

use cosign_core::error::Code;

use crate::boundary::boundary;
use crate::error::cosign_code;
use crate::handle;

/// The version that runs, as 0xMMmmpp: compare with COSIGN_VERSION_NUMBER, the version that was compiled against.
/// Thread-safe.
/// @return the number. @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn cosign_version_number() -> u32 {
    const fn number(text: &str) -> u32 {
        let bytes = text.as_bytes();
        let (mut at, mut value) = (0, 0);
        #[allow(clippy::indexing_slicing)]
        while at < bytes.len() {
            value = value * 10 + (bytes[at] - b'0') as u32;
            at += 1;
        }
        value
    }
    const NUMBER: u32 = (number(env!("CARGO_PKG_VERSION_MAJOR")) << 16)
        | (number(env!("CARGO_PKG_VERSION_MINOR")) << 8)
        | number(env!("CARGO_PKG_VERSION_PATCH"));
    NUMBER
}

/// The version that runs, as text: "0.1.0". Thread-safe.
/// @return the text, never NULL; borrowed from the library for good. @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn cosign_version_string() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// What this build can do. Every function exists in every build; without its feature it answers
/// COSIGN_ERR_UNSUPPORTED.
const FEATURES: &[&str] = &["layout", "registry", "legacy-signatures"];

/// Whether this build has a feature: "layout", "registry", "legacy-signatures". Thread-safe.
/// @param name  the feature; NULL and unknown names give 0
/// @return 1 or 0. @since 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cosign_has_feature(name: *const c_char) -> i32 {
    boundary!(0, {
        // SAFETY: rule 1 of the ABI.
        unsafe { handle::text(name, "name") }.map_or(0, |name| i32::from(FEATURES.contains(&name)))
    })
}

/// The stable name of a code: "NO_SIGNATURES" for COSIGN_ERR_NO_SIGNATURES, "OK" for 0, "UNKNOWN" for a number that
/// this version does not know. Thread-safe.
/// @param code  the code
/// @return the text, never NULL; borrowed from the library for good. @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn cosign_code_name(code: cosign_code) -> *const c_char {
    static NAMES: LazyLock<Vec<(i32, CString)>> = LazyLock::new(|| {
        Code::TABLE.iter().map(|row| (row.number, CString::new(row.name).unwrap_or_default())).collect()
    });
    boundary!(c"UNKNOWN".as_ptr(), {
        match code {
            0 => c"OK".as_ptr(),
            1 => c"PASSTHROUGH".as_ptr(),
            _ => {
                NAMES.iter().find(|(number, _)| *number == code).map_or(c"UNKNOWN".as_ptr(), |(_, name)| name.as_ptr())
            }
        }
    })
}
