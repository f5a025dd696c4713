//! The one error type and the one table of error codes.
//!
//! Every face takes its codes from [`Code::TABLE`]: the C `#define`s, the Python exceptions and exit codes, the Go
//! constants and `docs/errors.md` are generated from it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// What kind of trouble a code stands for. Verdicts never mix: [`Class::Refused`] means evidence was read and rejected,
/// [`Class::Unknown`] means it could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The call was wrong: an argument, a reference, a policy.
    Usage,
    /// A key file, password or algorithm.
    Key,
    /// Evidence was read and does not satisfy the policy.
    Refused,
    /// The evidence could not be read; nothing is known about the signatures.
    Unknown,
    /// The caller, or a deadline, stopped the call.
    Stopped,
    /// A file could not be read or written.
    File,
    /// A defect in this library.
    Internal,
}

impl Class {
    /// The word used in JSON and docs.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Usage => "usage",
            Class::Key => "key",
            Class::Refused => "refused",
            Class::Unknown => "unknown",
            Class::Stopped => "stopped",
            Class::File => "file",
            Class::Internal => "internal",
        }
    }
}

/// One row of the table of error codes.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The code this row describes.
    pub code: Code,
    /// The stable number (C ABI).
    pub number: i32,
    /// The stable name; `COSIGN_ERR_<name>` in C and Go.
    pub name: &'static str,
    /// What kind of trouble it is.
    pub class: Class,
    /// The exit code of the command line.
    pub exit_code: u8,
    /// The Python exception class.
    pub python: &'static str,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// One line for the documentation.
    pub summary: &'static str,
}

macro_rules! codes {
    ($($variant:ident = $number:literal $name:literal $class:ident $exit:literal $python:literal $retry:literal $summary:literal;)*) => {
        /// A stable error code. Expect unknown ones in later versions and treat them by [`Code::class`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $summary] $variant = $number,)*
        }

        impl Code {
            /// Every code, in the order of its number.
            pub const TABLE: &'static [Row] = &[$(Row {
                code: Code::$variant, number: $number, name: $name, class: Class::$class,
                exit_code: $exit, python: $python, retryable: $retry, summary: $summary,
            },)*];

            /// The row of this code.
            pub const fn row(self) -> Row {
                match self {
                    $(Code::$variant => Row {
                        code: Code::$variant, number: $number, name: $name, class: Class::$class,
                        exit_code: $exit, python: $python, retryable: $retry, summary: $summary,
                    },)*
                }
            }
        }
    };
}

codes! {
    Argument = 100 "ARGUMENT" Usage 2 "ArgumentError" false "An argument is missing, empty or out of range.";
    Encoding = 101 "ENCODING" Usage 2 "ArgumentError" false "Text is not UTF-8, base64, hex or JSON where that is required.";
    Reference = 102 "REFERENCE" Usage 2 "InvalidReference" false "An image reference or digest cannot be parsed.";
    Unsupported = 103 "UNSUPPORTED" Usage 1 "UnsupportedError" false "This build or version does not do what was asked.";
    BlobTooLarge = 104 "BLOB_TOO_LARGE" Usage 1 "UnsupportedError" false "The blob is larger than what a key of this kind signs (Ed25519: 64 MiB).";
    KeyFormat = 200 "KEY_FORMAT" Key 3 "KeyFileError" false "A key is malformed or in a format that is not accepted.";
    KeyAlgorithm = 201 "KEY_ALGORITHM" Key 3 "UnsupportedKey" false "A key's algorithm, curve or size is not accepted.";
    PasswordRequired = 202 "PASSWORD_REQUIRED" Key 3 "PasswordRequired" false "The key is encrypted and no password was given.";
    PasswordWrong = 203 "PASSWORD_WRONG" Key 3 "WrongPassword" false "The password does not open the key, or the key file was changed.";
    NoSignatureMatches = 300 "NO_SIGNATURE_MATCHES" Refused 12 "NoMatchingSignatures" false "Signatures were read and none satisfies the policy.";
    NoSignatures = 301 "NO_SIGNATURES" Refused 10 "NoSignatures" false "The place answered and holds no signature.";
    SignatureInvalid = 302 "SIGNATURE_INVALID" Refused 12 "SignatureInvalid" false "A signature does not verify with the key.";
    PayloadMismatch = 303 "PAYLOAD_MISMATCH" Refused 12 "ClaimMismatch" false "The signed payload is malformed or names another image.";
    AnnotationMismatch = 304 "ANNOTATION_MISMATCH" Refused 12 "ClaimMismatch" false "A demanded annotation is missing or different.";
    Threshold = 305 "THRESHOLD" Refused 12 "ThresholdNotMet" false "Fewer distinct signers than the policy demands.";
    PolicyEmpty = 306 "POLICY_EMPTY" Usage 3 "InvalidPolicy" false "The policy demands nothing, demands the impossible or has an unknown field.";
    Network = 400 "NETWORK" Unknown 20 "RegistryUnavailable" true "The registry could not be reached or answered with a server error.";
    Auth = 401 "AUTH" Unknown 21 "AuthenticationError" false "The registry does not accept the credentials.";
    ImageNotFound = 402 "IMAGE_NOT_FOUND" Refused 11 "ImageNotFound" false "The image, tag or layout does not exist.";
    Denied = 403 "DENIED" Unknown 21 "AuthenticationError" false "The registry denies access.";
    Tls = 404 "TLS" Unknown 20 "RegistryUnavailable" false "The TLS connection could not be made or trusted.";
    TlsRoots = 405 "TLS_ROOTS" Unknown 20 "RegistryUnavailable" false "No trusted certificate authority was found.";
    RateLimited = 406 "RATE_LIMITED" Unknown 22 "RateLimited" true "The registry asks to slow down.";
    Protocol = 407 "PROTOCOL" Unknown 20 "RegistryError" false "The registry or layout answered with something that is not allowed.";
    TooLarge = 408 "TOO_LARGE" Unknown 20 "RegistryError" false "Something is larger, longer or deeper than its limit.";
    Conflict = 409 "CONFLICT" Unknown 20 "RegistryError" true "The registry refused to store it because of what is there already.";
    ServiceNotFound = 410 "SERVICE_NOT_FOUND" Unknown 20 "RegistryError" false "A server does not have the service that was asked for.";
    Content = 411 "CONTENT" Unknown 20 "RegistryError" false "Stored bytes are not what their digest or size says.";
    Cancelled = 500 "CANCELLED" Stopped 130 "Cancelled" true "The caller cancelled.";
    Timeout = 501 "TIMEOUT" Unknown 20 "RegistryTimeout" true "The deadline passed.";
    Callback = 502 "CALLBACK" Stopped 1 "CallbackError" false "A callback failed.";
    Forked = 503 "FORKED" Stopped 1 "ForkedError" false "The client was made before fork(); make a new one in the child.";
    Io = 600 "IO" File 1 "FileError" false "A file could not be read or written.";
    FileExists = 601 "FILE_EXISTS" File 1 "FileError" false "A file or image is there already and is not overwritten without consent.";
    Internal = 900 "INTERNAL" Internal 1 "InternalError" false "A defect in this library; please report it.";
}

impl Code {
    /// The stable number.
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// The stable name.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// What kind of trouble it is.
    pub const fn class(self) -> Class {
        self.row().class
    }

    /// The row of a number, or `None` for a number that no code has.
    pub fn from_number(number: i32) -> Option<Code> {
        Code::TABLE.iter().find(|row| row.number == number).map(|row| row.code)
    }
}

/// What a fallible function of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed: a stable [`Code`], one line for people, and facts as data.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    code: Code,
    message: String,
    details: serde_json::Map<String, serde_json::Value>,
    // A floor above (the verification report); erased here because the ground floor knows nothing of it.
    attachment: Option<Arc<dyn Any + Send + Sync>>,
}

impl Error {
    /// An error with a message of one line that says what was expected, what was found and what to do.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Error(Box::new(Inner { code, message: message.into(), details: serde_json::Map::new(), attachment: None }))
    }

    /// Adds a fact to [`Error::json`]; never a secret.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<serde_json::Value>) -> Self {
        self.0.details.insert(key.to_owned(), value.into());
        self
    }

    /// Puts `context: ` in front of the message.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.0.message = format!("{context}: {}", self.0.message);
        self
    }

    pub(crate) fn attach<T: Any + Send + Sync>(mut self, attachment: Arc<T>) -> Self {
        self.0.attachment = Some(attachment);
        self
    }

    pub(crate) fn attachment<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.0.attachment.as_deref().and_then(|any| any.downcast_ref())
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// One line of English.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.0.code.row().retryable
    }

    /// The fact `key`, if it was recorded.
    pub fn detail(&self, key: &str) -> Option<&serde_json::Value> {
        self.0.details.get(key)
    }

    /// The HTTP status of the answer that this error is about.
    #[cfg(feature = "client")]
    pub(crate) fn status(&self) -> Option<u64> {
        self.detail("status").and_then(serde_json::Value::as_u64)
    }

    /// The error as JSON: `{"code", "name", "class", "message", …facts}`.
    pub fn json(&self) -> String {
        let mut object = serde_json::Map::new();
        object.insert("code".into(), self.code().number().into());
        object.insert("name".into(), self.code().name().into());
        object.insert("class".into(), self.code().class().name().into());
        object.insert("message".into(), self.message().into());
        for (key, value) in &self.0.details {
            object.insert(key.clone(), value.clone());
        }
        serde_json::Value::Object(object).to_string()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({} {}: {:?})", self.0.code.number(), self.0.code.name(), self.0.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_names_each_code_once() {
        for pair in Code::TABLE.windows(2) {
            assert!(pair[0].number < pair[1].number);
        }
        let mut names: Vec<_> = Code::TABLE.iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::TABLE.len());
        for row in Code::TABLE {
            assert_eq!(Code::from_number(row.number), Some(row.code));
            assert_eq!(row.code.row().name, row.name);
        }
    }

    #[test]
    fn refused_and_unknown_have_different_exit_codes() {
        for row in Code::TABLE {
            match row.class {
                Class::Refused => assert!((10..=13).contains(&row.exit_code), "{}", row.name),
                Class::Unknown => assert!((20..=22).contains(&row.exit_code), "{}", row.name),
                _ => {}
            }
        }
    }
}
