//! Who owns a C object, as traits, so that a mistake is a compile error.
//!
//! A C type is an opaque name; behind its pointer stands a `Slot` with a mark and the Rust value. [`Shared`] objects can
//! only be borrowed as `&T` and must be `Sync`: that is what `const T *` promises in C. [`Owned`] objects are builders
//! and may be borrowed as `&mut T` too. The mark tells objects of another type, and most freed ones, before their
//! content is looked at: they answer an error instead of undefined behaviour.

use std::ffi::{CStr, c_char, c_void};
use std::sync::atomic::{AtomicU64, Ordering};

use cosign_core::error::{Code, Error, Result};

#[repr(C)]
struct Slot<T> {
    mark: AtomicU64,
    value: T,
}

/// An opaque C type and what stands behind it.
pub(crate) trait Handle: Sized + 'static {
    type Inner: Sync + 'static;
    /// Different for each type.
    const MARK: u64;
    /// The C name of the type, for messages.
    const NAME: &'static str;
}

/// Immutable, usable from many threads at once.
pub(crate) trait Shared: Handle {}

/// A builder: one thread at a time while it is changed.
pub(crate) trait Owned: Handle {}

macro_rules! handle {
    ($(#[$attribute:meta])* $kind:ident $name:ident = $inner:ty, $mark:literal) => {
        impl $crate::handle::Handle for $name {
            type Inner = $inner;
            const MARK: u64 = u64::from_be_bytes(*$mark);
            const NAME: &'static str = stringify!($name);
        }
        impl $crate::handle::$kind for $name {}
    };
}
pub(crate) use handle;

/// Moves `value` behind a pointer that C owns.
pub(crate) fn new<H: Handle>(value: H::Inner) -> *mut H {
    Box::into_raw(Box::new(Slot { mark: AtomicU64::new(H::MARK), value })).cast()
}

/// Lends a value of this frame to C for the time of `body`.
pub(crate) fn lend<H: Handle, T>(value: H::Inner, body: impl FnOnce(*mut H) -> T) -> (T, H::Inner) {
    let mut slot = Slot { mark: AtomicU64::new(H::MARK), value };
    let result = body((&raw mut slot).cast());
    (result, slot.value)
}

fn stale<H: Handle>(name: &str) -> Error {
    Error::new(
        Code::Argument,
        format!("{name} is not a live {}: it was freed, or is an object of another type", H::NAME),
    )
}

fn missing(name: &str) -> Error {
    Error::new(Code::Argument, format!("{name} is NULL"))
}

fn is_live<H: Handle>(pointer: *const H) -> bool {
    if !pointer.cast::<Slot<H::Inner>>().is_aligned() {
        return false;
    }
    // SAFETY: not NULL, aligned, and C got the pointer from `new` or `lend`; the mark stands first in every slot.
    unsafe { (*pointer.cast::<AtomicU64>()).load(Ordering::Relaxed) == H::MARK }
}

/// Borrows an object that the caller may leave out.
///
/// # Safety
/// `pointer` is NULL or came from `new::<H>`, and the object is not freed or changed while `'a` lasts.
pub(crate) unsafe fn optional<'a, H: Handle>(pointer: *const H, name: &str) -> Result<Option<&'a H::Inner>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    unsafe { probe(pointer) }.map(Some).ok_or_else(|| stale::<H>(name))
}

/// Borrows an object without making an error, which would allocate: for a signal handler.
///
/// # Safety
/// As [`optional`].
pub(crate) unsafe fn probe<'a, H: Handle>(pointer: *const H) -> Option<&'a H::Inner> {
    if pointer.is_null() || !is_live(pointer) {
        return None;
    }
    // SAFETY: live by its mark, and borrowed as the caller promises.
    Some(unsafe { &(*pointer.cast::<Slot<H::Inner>>()).value })
}

/// Borrows a required object.
///
/// # Safety
/// As [`optional`].
pub(crate) unsafe fn get<'a, H: Handle>(pointer: *const H, name: &str) -> Result<&'a H::Inner> {
    // SAFETY: the caller's promise.
    unsafe { optional(pointer, name) }?.ok_or_else(|| missing(name))
}

/// Borrows a builder to change it; `None` when it is NULL or not live, and then there is no place to keep an error.
///
/// # Safety
/// As [`optional`], and no other thread uses the object.
pub(crate) unsafe fn get_mut<'a, H: Owned>(pointer: *mut H) -> Option<&'a mut H::Inner> {
    if pointer.is_null() || !is_live(pointer) {
        return None;
    }
    // SAFETY: live by its mark, and exclusive as the caller promises.
    Some(unsafe { &mut (*pointer.cast::<Slot<H::Inner>>()).value })
}

/// Borrows an object for a getter that has a neutral answer instead of an error.
///
/// # Safety
/// As [`optional`].
pub(crate) unsafe fn peek<'a, H: Shared>(pointer: *const H) -> Option<&'a H::Inner> {
    // SAFETY: the caller's promise.
    unsafe { probe(pointer) }
}

/// Frees an object; NULL and objects that are not live are left alone.
///
/// # Safety
/// `pointer` is NULL or came from `new::<H>` and is not used after this.
pub(crate) unsafe fn free<H: Handle>(pointer: *mut H) {
    if pointer.is_null() || !is_live(pointer) {
        return;
    }
    // SAFETY: live by its mark, hence made by `new` and not freed before.
    let slot = unsafe { Box::from_raw(pointer.cast::<Slot<H::Inner>>()) };
    slot.mark.store(0, Ordering::Relaxed);
    drop(slot);
}

/// Reads a required text.
///
/// # Safety
/// `text` is NULL or ends with NUL and lives for `'a`.
pub(crate) unsafe fn text<'a>(text: *const c_char, name: &str) -> Result<&'a str> {
    // SAFETY: the caller's promise.
    unsafe { optional_text(text, name) }?.ok_or_else(|| missing(name))
}

/// Reads a text that the caller may leave out.
///
/// # Safety
/// As [`text`].
pub(crate) unsafe fn optional_text<'a>(text: *const c_char, name: &str) -> Result<Option<&'a str>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL, and terminated by the caller's promise.
    let bytes = unsafe { CStr::from_ptr(text) };
    bytes.to_str().map(Some).map_err(|_| Error::new(Code::Encoding, format!("{name} is not UTF-8")))
}

/// Reads bytes; NULL with length 0 is empty.
///
/// # Safety
/// `data` is NULL or points to `len` readable bytes that live for `'a`.
pub(crate) unsafe fn bytes<'a>(data: *const c_void, len: usize, name: &str) -> Result<&'a [u8]> {
    if len == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(Error::new(Code::Argument, format!("{name} is NULL but its length is {len}")));
    }
    if isize::try_from(len).is_err() {
        return Err(Error::new(Code::Argument, format!("the length of {name}, {len}, is more than memory can hold")));
    }
    // SAFETY: not NULL, of a possible length, and readable by the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(data.cast(), len) })
}

/// The first error of a builder: setters return nothing, so it waits for the function that consumes the builder.
#[derive(Default)]
pub(crate) struct Sticky(Option<Error>);

impl Sticky {
    /// Runs a setter's body, keeping its error under the setter's name unless one is kept already.
    pub(crate) fn note(&mut self, setter: &str, result: Result<()>) {
        if let (None, Err(error)) = (&self.0, result) {
            self.0 = Some(error.context(setter));
        }
    }

    /// The kept error, if any.
    pub(crate) fn check(&self) -> Result<()> {
        self.0.clone().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    struct First;
    handle!(Owned First = String, b"test-1st");
    struct Second;
    handle!(Shared Second = u32, b"test-2nd");

    #[test]
    fn an_object_of_another_type_is_refused() {
        let first = new::<First>("text".to_owned());
        unsafe {
            assert_eq!(get(first, "first").unwrap(), "text");
            let error = get(first.cast::<Second>(), "second").unwrap_err();
            assert_eq!(error.code(), Code::Argument);
            assert!(peek(first.cast::<Second>()).is_none());
            free(first.cast::<Second>());
            get_mut(first).unwrap().push('s');
            assert_eq!(get(first, "first").unwrap(), "texts");
            free(first);
            free(std::ptr::null_mut::<First>());
        }
    }

    #[test]
    fn bytes_accept_null_only_with_length_zero() {
        unsafe {
            assert_eq!(bytes(std::ptr::null(), 0, "pem").unwrap(), b"");
            assert_eq!(bytes(std::ptr::null(), 1, "pem").unwrap_err().code(), Code::Argument);
            assert_eq!(bytes(b"x".as_ptr().cast(), usize::MAX, "pem").unwrap_err().code(), Code::Argument);
            assert_eq!(bytes(b"x".as_ptr().cast(), 1, "pem").unwrap(), b"x");
        }
    }

    #[test]
    fn text_must_be_utf8() {
        unsafe {
            assert_eq!(text(c"ok".as_ptr(), "t").unwrap(), "ok");
            assert_eq!(text(c"\xff".as_ptr(), "t").unwrap_err().code(), Code::Encoding);
            assert_eq!(text(std::ptr::null(), "t").unwrap_err().code(), Code::Argument);
        }
    }

    #[test]
    fn a_builder_keeps_its_first_error() {
        let mut sticky = Sticky::default();
        sticky.check().unwrap();
        sticky.note("a", Err(Error::new(Code::Argument, "one")));
        sticky.note("b", Err(Error::new(Code::Encoding, "two")));
        sticky.note("c", Ok(()));
        assert_eq!(sticky.check().unwrap_err().message(), "a: one");
    }
}
