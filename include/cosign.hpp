// cosign.hpp: libcosign for C++17, header-only over cosign.h.
// SPDX-License-Identifier: Apache-2.0
//
//     cosign::private_key key = cosign::private_key::generate();
//     cosign::client client;
//     client.sign("oci:image:v1", key);
//     cosign::verification v = client.verify("oci:image:v1", cosign::policy().add_key(key.public_key()));
//     std::cout << v.digest() << '\n';                        // act on this digest, not on the tag
//
// Ownership: each class owns one C object through a unique_ptr: it moves, it does not copy, and it costs one pointer.
// get() lends the C object for functions of cosign.h that have no method here.
// Errors: every failure is thrown as cosign::error. A verification object exists only when the policy was met.
// Threads: const methods may run on the same object from many threads at once (rule 4 of cosign.h).
#ifndef COSIGN_HPP
#define COSIGN_HPP

#include "cosign.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cosign {

/// Why a call failed. code() is one of COSIGN_ERR_…; expect codes that this header does not know yet.
class error : public std::runtime_error {
 public:
  error(cosign_code code, const char *message, const char *json, bool retryable)
      : std::runtime_error(message), code_(code), json_(json), retryable_(retryable) {}

  /// The stable number, COSIGN_ERR_….
  [[nodiscard]] cosign_code code() const noexcept { return code_; }
  /// The stable name, such as "NO_SIGNATURES".
  [[nodiscard]] const char *name() const noexcept { return cosign_code_name(code_); }
  /// The error as JSON: code, name, class, message and the facts; for a refused verification also its report.
  [[nodiscard]] const std::string &json() const noexcept { return json_; }
  /// Whether the same call may succeed later.
  [[nodiscard]] bool retryable() const noexcept { return retryable_; }

 private:
  cosign_code code_;
  std::string json_;
  bool retryable_;
};

namespace detail {

template <auto Free>
struct deleter {
  template <class T>
  void operator()(T *object) const noexcept {
    Free(object);
  }
};

template <class T, auto Free>
using handle = std::unique_ptr<T, deleter<Free>>;

using error_handle = handle<cosign_error, cosign_error_free>;
using buffer_handle = handle<cosign_buffer, cosign_buffer_free>;

// What a callback threw. A C++ exception must not cross the library's frames, so the trampoline parks it here and
// check() throws it on. Callbacks run on the thread that made the call, hence one slot per thread is enough even when
// several threads share a call object.
inline thread_local std::exception_ptr thrown_by_callback;

inline void check(cosign_code code, error_handle err) {
  std::exception_ptr thrown = std::exchange(thrown_by_callback, nullptr);
  if (code == COSIGN_OK) return;
  if (thrown) std::rethrow_exception(thrown);
  const cosign_error *e = err.get();
  throw error(code, cosign_error_message(e), cosign_error_json(e), cosign_error_is_retryable(e) != 0);
}

// Runs a function that ends in `cosign_error **`.
template <class Function>
void run(Function &&function) {
  cosign_error *err = nullptr;
  cosign_code code = function(&err);
  check(code, error_handle(err));
}

// Runs a function that ends in `T **out, cosign_error **`, and owns what it made.
template <class Handle, class Function>
Handle make(Function &&function) {
  typename Handle::pointer out = nullptr;
  cosign_error *err = nullptr;
  cosign_code code = function(&out, &err);
  Handle owned(out);
  check(code, error_handle(err));
  return owned;
}

// A constructor that returns NULL has no error object: memory is out.
template <class T>
T *required(T *object) {
  if (object == nullptr) throw std::bad_alloc();
  return object;
}

// C would silently end the text at a zero byte, and something else would be signed, verified or trusted.
inline const char *c_text(const std::string &value) {
  if (value.find('\0') != std::string::npos) throw error(COSIGN_ERR_ENCODING, "text with a zero byte", "{}", false);
  return value.c_str();
}

inline std::string text(const buffer_handle &buffer) {
  return std::string(cosign_buffer_data(buffer.get()), cosign_buffer_len(buffer.get()));
}

}  // namespace detail

/// Answers a request for a password; nullopt means "I have none". `attempt` is 1 first and grows while the answer is
/// wrong; 0 asks for the new password of a key that is being written.
using password_function = std::function<std::optional<std::string>(const char *prompt, std::uint32_t attempt)>;

/// What one call, or several, may take and ask: a time limit, a password, and the switch to stop it.
class call {
 public:
  call() : handle_(detail::required(cosign_call_new())) {}

  /// Total time for each operation that uses this call, from its start.
  call &timeout(std::chrono::milliseconds limit) {
    // To C, 0 means "no limit"; here a remaining time of zero or less means that it is over.
    cosign_call_set_timeout_ms(handle_.get(), limit.count() < 1 ? 1 : static_cast<std::uint64_t>(limit.count()));
    return *this;
  }

  /// Where passwords come from. What `function` throws stops the operation and is thrown on by it.
  call &password(password_function function) {
    auto owned = std::make_unique<password_function>(std::move(function));
    cosign_call_set_password_cb(handle_.get(), &call::ask, owned.release(), &call::forget);
    return *this;
  }

  /// The same password for every question of the first attempt; a second attempt means that it was wrong.
  call &password(std::string fixed) {
    return password([fixed = std::move(fixed)](const char *, std::uint32_t attempt) -> std::optional<std::string> {
      if (attempt > 1) return std::nullopt;
      return fixed;
    });
  }

  /// Stops every operation that uses this call, now and later. Safe from any thread and from a signal handler.
  void cancel() const noexcept { cosign_call_cancel(handle_.get()); }

  [[nodiscard]] const cosign_call *get() const noexcept { return handle_.get(); }

 private:
  static cosign_code ask(cosign_secret *out, const char *prompt, std::uint32_t attempt, void *user_data) noexcept {
    try {
      std::optional<std::string> answer = (*static_cast<password_function *>(user_data))(prompt, attempt);
      if (!answer) return COSIGN_PASSTHROUGH;
      cosign_secret_set(out, answer->data(), answer->size());
      return COSIGN_OK;
    } catch (...) {
      detail::thrown_by_callback = std::current_exception();
      return COSIGN_ERR_CANCELLED;
    }
  }

  static void forget(void *user_data) noexcept { delete static_cast<password_function *>(user_data); }

  detail::handle<cosign_call, cosign_call_free> handle_;
};

/// A public key.
class public_key {
 public:
  /// Reads a PEM block "PUBLIC KEY".
  [[nodiscard]] static public_key from_pem(std::string_view pem) {
    return public_key(detail::make<handle>(
        [&](auto out, auto err) { return cosign_public_key_from_pem(pem.data(), pem.size(), out, err); }));
  }

  /// The key as a PEM block "PUBLIC KEY".
  [[nodiscard]] std::string to_pem() const {
    return detail::text(detail::make<detail::buffer_handle>(
        [&](auto out, auto err) { return cosign_public_key_to_pem(get(), out, err); }));
  }

  /// SHA-256 of the key's SubjectPublicKeyInfo, in lower-case hex.
  [[nodiscard]] std::string fingerprint() const { return cosign_public_key_fingerprint(get()); }

  [[nodiscard]] const cosign_public_key *get() const noexcept { return handle_.get(); }

 private:
  friend class private_key;
  using handle = detail::handle<cosign_public_key, cosign_public_key_free>;
  explicit public_key(handle owned) : handle_(std::move(owned)) {}
  handle handle_;
};

/// A decrypted private key: decrypt once, sign many times. Its memory is wiped at the end.
class private_key {
 public:
  /// A new key; `algorithm` is "ecdsa-p256" (nullptr), "ecdsa-p384", "ecdsa-p521", "ed25519", "rsa-2048", "rsa-3072" or
  /// "rsa-4096".
  [[nodiscard]] static private_key generate(const char *algorithm = nullptr) {
    return private_key(detail::make<handle>(
        [&](auto out, auto err) { return cosign_private_key_generate(algorithm, out, err); }));
  }

  /// Opens an encrypted key file; the password comes from `options`.
  [[nodiscard]] static private_key from_pem(std::string_view pem, const call &options) {
    return private_key(detail::make<handle>([&](auto out, auto err) {
      return cosign_private_key_from_pem(pem.data(), pem.size(), options.get(), out, err);
    }));
  }

  /// Imports an unencrypted PKCS#8, SEC 1 or PKCS#1 key made by another program.
  [[nodiscard]] static private_key import_pem(std::string_view pem) {
    return private_key(detail::make<handle>(
        [&](auto out, auto err) { return cosign_private_key_import_pem(pem.data(), pem.size(), out, err); }));
  }

  /// The key as an encrypted key file under the password that `options` answers with attempt 0; `format` is
  /// "sigstore" (nullptr) or "cosign", the form of 2021.
  [[nodiscard]] std::string to_pem(const call &options, const char *format = nullptr) const {
    return detail::text(detail::make<detail::buffer_handle>(
        [&](auto out, auto err) { return cosign_private_key_to_pem(get(), format, options.get(), out, err); }));
  }

  [[nodiscard]] cosign::public_key public_key() const {
    return cosign::public_key(detail::make<cosign::public_key::handle>(
        [&](auto out, auto err) { return cosign_private_key_public(get(), out, err); }));
  }

  [[nodiscard]] const cosign_private_key *get() const noexcept { return handle_.get(); }

 private:
  using handle = detail::handle<cosign_private_key, cosign_private_key_free>;
  explicit private_key(handle owned) : handle_(std::move(owned)) {}
  handle handle_;
};

/// What an image must carry to be accepted. A bad value is reported by the verification that uses the policy, and a
/// policy without a key is an error, never a pass.
class policy {
 public:
  policy() : handle_(detail::required(cosign_policy_new())) {}

  /// Accepts signatures of this key. Of several keys any one will do, unless threshold() demands more.
  policy &add_key(const public_key &key) & {
    cosign_policy_add_key(handle_.get(), key.get());
    return *this;
  }
  policy &&add_key(const public_key &key) && { return std::move(add_key(key)); }

  /// Demands that the signed annotations hold this pair.
  policy &require_annotation(const std::string &key, const std::string &value) & {
    cosign_policy_require_annotation(handle_.get(), detail::c_text(key), detail::c_text(value));
    return *this;
  }
  policy &&require_annotation(const std::string &key, const std::string &value) && {
    return std::move(require_annotation(key, value));
  }

  /// Demands acceptable signatures of this many distinct keys; the default is 1.
  policy &threshold(std::uint32_t distinct_keys) & {
    cosign_policy_set_threshold(handle_.get(), distinct_keys);
    return *this;
  }
  policy &&threshold(std::uint32_t distinct_keys) && { return std::move(threshold(distinct_keys)); }

  /// Whether each counted signature must have an entry in a transparency log that the policy trusts; the default is false.
  policy &tlog(bool demanded) & {
    cosign_policy_set_tlog(handle_.get(), demanded ? 1 : 0);
    return *this;
  }
  policy &&tlog(bool demanded) && { return std::move(tlog(demanded)); }

  /// Trusts the transparency log with this key; none is built in.
  policy &add_log_key(const public_key &key) & {
    cosign_policy_add_log_key(handle_.get(), key.get());
    return *this;
  }
  policy &&add_log_key(const public_key &key) && { return std::move(add_log_key(key)); }

  /// Trusts the transparency logs of a trusted_root.json.
  policy &add_trusted_root(std::string_view json) & {
    cosign_policy_add_trusted_root(handle_.get(), json.data(), json.size());
    return *this;
  }
  policy &&add_trusted_root(std::string_view json) && { return std::move(add_trusted_root(json)); }

  [[nodiscard]] const cosign_policy *get() const noexcept { return handle_.get(); }

 private:
  detail::handle<cosign_policy, cosign_policy_free> handle_;
};

/// How to sign. A bad value is reported by the signing that uses the options.
class sign_options {
 public:
  sign_options() : handle_(detail::required(cosign_sign_options_new())) {}

  /// Signs this pair along with the image's digest.
  sign_options &add_annotation(const std::string &key, const std::string &value) & {
    cosign_sign_options_add_annotation(handle_.get(), detail::c_text(key), detail::c_text(value));
    return *this;
  }
  sign_options &&add_annotation(const std::string &key, const std::string &value) && {
    return std::move(add_annotation(key, value));
  }

  /// "legacy" (the default), "bundle" or "both".
  sign_options &format(const std::string &name) & {
    cosign_sign_options_set_format(handle_.get(), detail::c_text(name));
    return *this;
  }
  sign_options &&format(const std::string &name) && { return std::move(format(name)); }

  /// Whether a journal protects the signature from others who sign at the same time; the default is true.
  sign_options &journal(bool on) & {
    cosign_sign_options_set_journal(handle_.get(), on ? 1 : 0);
    return *this;
  }
  sign_options &&journal(bool on) && { return std::move(journal(on)); }

  /// What the legacy payload calls the image instead of its repository.
  sign_options &identity(const std::string &name) & {
    cosign_sign_options_set_identity(handle_.get(), detail::c_text(name));
    return *this;
  }
  sign_options &&identity(const std::string &name) && { return std::move(identity(name)); }

  /// Whether a new legacy signature image has Docker's media types; the default is false.
  sign_options &docker_media_types(bool on) & {
    cosign_sign_options_set_docker_media_types(handle_.get(), on ? 1 : 0);
    return *this;
  }
  sign_options &&docker_media_types(bool on) && { return std::move(docker_media_types(on)); }

  /// Names the image's entry in its layout.
  sign_options &layout_tag(const std::string &tag) & {
    cosign_sign_options_set_layout_tag(handle_.get(), detail::c_text(tag));
    return *this;
  }
  sign_options &&layout_tag(const std::string &tag) && { return std::move(layout_tag(tag)); }

  /// The suffix of the legacy signature's tag: ".sig" (the default), or ".cosign" as in 2021.
  sign_options &tag_suffix(const std::string &suffix) & {
    cosign_sign_options_set_tag_suffix(handle_.get(), detail::c_text(suffix));
    return *this;
  }
  sign_options &&tag_suffix(const std::string &suffix) && { return std::move(tag_suffix(suffix)); }

  /// Whether everything that an index leads to is signed as well, each image for itself.
  sign_options &recursive(bool on) & {
    cosign_sign_options_set_recursive(handle_.get(), on ? 1 : 0);
    return *this;
  }
  sign_options &&recursive(bool on) && { return std::move(recursive(on)); }

  /// Whether the signature goes to the transparency log: "never" (the default), "public" (if everybody may read the image)
  /// or "always".
  sign_options &tlog(const std::string &when) & {
    cosign_sign_options_set_tlog(handle_.get(), detail::c_text(when));
    return *this;
  }
  sign_options &&tlog(const std::string &when) && { return std::move(tlog(when)); }

  /// The spelling of the legacy payload: "today" (the default), or "2021" as cosign wrote it then.
  sign_options &payload_form(const std::string &form) & {
    cosign_sign_options_set_payload_form(handle_.get(), detail::c_text(form));
    return *this;
  }
  sign_options &&payload_form(const std::string &form) && { return std::move(payload_form(form)); }

  /// The exact bytes to sign or to attach, in any format, instead of a payload of our own; the legacy format only.
  sign_options &payload(std::string_view bytes) & {
    cosign_sign_options_set_payload(handle_.get(), bytes.data(), bytes.size());
    return *this;
  }
  sign_options &&payload(std::string_view bytes) && { return std::move(payload(bytes)); }

  [[nodiscard]] const cosign_sign_options *get() const noexcept { return handle_.get(); }

 private:
  detail::handle<cosign_sign_options, cosign_sign_options_free> handle_;
};

/// Where and how strictly to look for signatures. A bad value is reported by the verification that uses the options.
class verify_options {
 public:
  verify_options() : handle_(detail::required(cosign_verify_options_new())) {}

  /// The only format that counts: "legacy" or "bundle"; the default is "both".
  verify_options &format(const std::string &name) & {
    cosign_verify_options_set_format(handle_.get(), detail::c_text(name));
    return *this;
  }
  verify_options &&format(const std::string &name) && { return std::move(format(name)); }

  /// Whether the journal is read when the standard places hold nothing acceptable; the default is true.
  verify_options &journal(bool on) & {
    cosign_verify_options_set_journal(handle_.get(), on ? 1 : 0);
    return *this;
  }
  verify_options &&journal(bool on) && { return std::move(journal(on)); }

  /// The suffix of the legacy signature's tag: ".sig" (the default), or ".cosign" as in 2021.
  verify_options &tag_suffix(const std::string &suffix) & {
    cosign_verify_options_set_tag_suffix(handle_.get(), detail::c_text(suffix));
    return *this;
  }
  verify_options &&tag_suffix(const std::string &suffix) && { return std::move(tag_suffix(suffix)); }

  /// Reads this signature image, of the legacy format, instead of looking for signatures of the image.
  verify_options &signature_reference(const std::string &reference) & {
    cosign_verify_options_set_signature_reference(handle_.get(), detail::c_text(reference));
    return *this;
  }
  verify_options &&signature_reference(const std::string &reference) && {
    return std::move(signature_reference(reference));
  }

  /// Whether no transparency log is asked; the default is false.
  verify_options &offline(bool on) & {
    cosign_verify_options_set_offline(handle_.get(), on ? 1 : 0);
    return *this;
  }
  verify_options &&offline(bool on) && { return std::move(offline(on)); }

  /// Accepts legacy payloads of any type: a signature that was made for something else may count.
  verify_options &dangerous_any_payload_type() & {
    cosign_verify_options_dangerous_any_payload_type(handle_.get());
    return *this;
  }
  verify_options &&dangerous_any_payload_type() && { return std::move(dangerous_any_payload_type()); }

  /// Counts attestations by an accepted key as signatures too, as cosign 3.1 does.
  verify_options &dangerous_any_predicate_type() & {
    cosign_verify_options_dangerous_any_predicate_type(handle_.get());
    return *this;
  }
  verify_options &&dangerous_any_predicate_type() && { return std::move(dangerous_any_predicate_type()); }

  /// Does not check what the payload says: a signature of another image counts.
  verify_options &dangerous_ignore_claims() & {
    cosign_verify_options_dangerous_ignore_claims(handle_.get());
    return *this;
  }
  verify_options &&dangerous_ignore_claims() && { return std::move(dangerous_ignore_claims()); }

  [[nodiscard]] const cosign_verify_options *get() const noexcept { return handle_.get(); }

 private:
  detail::handle<cosign_verify_options, cosign_verify_options_free> handle_;
};

/// How much a batch does at once. A bad value is reported by the batch that uses the options.
class batch_options {
 public:
  batch_options() : handle_(detail::required(cosign_batch_options_new())) {}

  /// Images verified at once, on all hosts together; 256 by default.
  batch_options &at_once(std::uint32_t images) & {
    cosign_batch_options_set_at_once(handle_.get(), images);
    return *this;
  }
  batch_options &&at_once(std::uint32_t images) && { return std::move(at_once(images)); }

  /// Images verified at once on one registry host; 100 by default.
  batch_options &per_host(std::uint32_t images) & {
    cosign_batch_options_set_per_host(handle_.get(), images);
    return *this;
  }
  batch_options &&per_host(std::uint32_t images) && { return std::move(per_host(images)); }

  /// What each image may take, from its first request.
  batch_options &image_timeout(std::chrono::milliseconds limit) & {
    // To C, 0 means "no limit"; here a time of zero or less means that it is over.
    cosign_batch_options_set_image_timeout_ms(handle_.get(),
                                              limit.count() < 1 ? 1 : static_cast<std::uint64_t>(limit.count()));
    return *this;
  }
  batch_options &&image_timeout(std::chrono::milliseconds limit) && { return std::move(image_timeout(limit)); }

  [[nodiscard]] const cosign_batch_options *get() const noexcept { return handle_.get(); }

 private:
  detail::handle<cosign_batch_options, cosign_batch_options_free> handle_;
};

/// Where and how a client finds images. A bad value is reported by the client that is made from the options.
class client_options {
 public:
  client_options() : handle_(detail::required(cosign_client_options_new())) {}

  /// What a user of the command line expects: credentials, certificate authorities and proxies from the environment.
  [[nodiscard]] static client_options from_env() {
    return client_options(detail::required(cosign_client_options_from_env()));
  }

  client_options &user_agent(const std::string &value) {
    cosign_client_options_set_user_agent(handle_.get(), detail::c_text(value));
    return *this;
  }
  /// The transparency log to which signatures go and in which they are looked for; Rekor's public one by default.
  client_options &rekor_url(const std::string &url) {
    cosign_client_options_set_rekor_url(handle_.get(), detail::c_text(url));
    return *this;
  }
  /// Trusts these certificate authorities beside the system's.
  client_options &add_ca_pem(std::string_view pem) {
    cosign_client_options_add_ca_pem(handle_.get(), pem.data(), pem.size());
    return *this;
  }
  /// Trusts these certificate authorities instead of the system's, and instead of those added before.
  client_options &ca_pem(std::string_view pem) {
    cosign_client_options_set_ca_pem(handle_.get(), pem.data(), pem.size());
    return *this;
  }
  /// Shows this certificate, with its unencrypted key, to registries that ask for one.
  client_options &client_certificate(std::string_view certificate_pem, std::string_view key_pem) {
    cosign_client_options_set_client_certificate(handle_.get(), certificate_pem.data(), certificate_pem.size(),
                                                 key_pem.data(), key_pem.size());
    return *this;
  }
  /// Reads certificates for each registry below this folder, as docker and podman keep them (certs.d).
  client_options &add_certs_dir(const std::string &folder) {
    cosign_client_options_add_certs_dir(handle_.get(), detail::c_text(folder));
    return *this;
  }
  /// Whether the credential helpers that a docker config names may be started; the default is false.
  client_options &allow_credential_helpers(bool allowed) {
    cosign_client_options_allow_credential_helpers(handle_.get(), allowed ? 1 : 0);
    return *this;
  }
  /// Lets a registry's credentials go to this token server although it belongs to another domain.
  client_options &allow_token_server(const std::string &registry, const std::string &server) {
    cosign_client_options_allow_token_server(handle_.get(), detail::c_text(registry), detail::c_text(server));
    return *this;
  }
  /// Sends requests through these proxies; the values are those of HTTPS_PROXY, HTTP_PROXY and NO_PROXY, "" for none.
  client_options &proxy(const std::string &https, const std::string &http, const std::string &no_proxy) {
    cosign_client_options_set_proxy(handle_.get(), detail::c_text(https), detail::c_text(http),
                                    detail::c_text(no_proxy));
    return *this;
  }
  client_options &auth_basic(const std::string &host, const std::string &user, const std::string &password) {
    cosign_client_options_set_auth_basic(handle_.get(), detail::c_text(host), detail::c_text(user),
                                         detail::c_text(password));
    return *this;
  }
  client_options &auth_token(const std::string &host, const std::string &token) {
    cosign_client_options_set_auth_token(handle_.get(), detail::c_text(host), detail::c_text(token));
    return *this;
  }
  /// Takes credentials from the text of a docker config.json; no file is read.
  client_options &docker_config(std::string_view json) {
    cosign_client_options_set_docker_config(handle_.get(), json.data(), json.size());
    return *this;
  }
  /// Talks plain HTTP to this host, where everyone on the way can read credentials and change answers.
  client_options &dangerous_allow_http(const std::string &host) {
    cosign_client_options_dangerous_allow_http(handle_.get(), detail::c_text(host));
    return *this;
  }
  /// Whether "oci:PATH" names a folder on disk. Switch it off in a service that takes references from strangers.
  client_options &layouts(bool on) {
    cosign_client_options_set_layouts(handle_.get(), on ? 1 : 0);
    return *this;
  }

  /// Keeps signatures in this repository instead of the images' own, as COSIGN_REPOSITORY does for cosign.
  client_options &signature_repository(const std::string &repository) {
    cosign_client_options_set_signature_repository(handle_.get(), detail::c_text(repository));
    return *this;
  }

  [[nodiscard]] const cosign_client_options *get() const noexcept { return handle_.get(); }

 private:
  explicit client_options(cosign_client_options *owned) : handle_(owned) {}
  detail::handle<cosign_client_options, cosign_client_options_free> handle_;
};

/// What signing an image did: only client::sign makes one.
class signed_image {
 public:
  /// The digest that was signed.
  [[nodiscard]] std::string digest() const { return cosign_signed_digest(get()); }
  /// The image pinned to that digest.
  [[nodiscard]] std::string reference() const { return cosign_signed_reference(get()); }
  /// How the least protected signature is stored: "stored", "stored_unprotected" (a signer at the same time may have
  /// overwritten it) or "journal_only" (other tools do not find it).
  [[nodiscard]] std::string status() const { return cosign_signed_status(get()); }
  /// Why that is not "stored".
  [[nodiscard]] std::string reason() const { return cosign_signed_reason(get()); }
  /// Whether anything new was stored.
  [[nodiscard]] bool added() const noexcept { return cosign_signed_added(get()) != 0; }
  /// Whether the image's entry in its layout has no name, which some tools need beside a signature.
  [[nodiscard]] bool layout_needs_name() const noexcept { return cosign_signed_layout_needs_name(get()) != 0; }

  /// How many signatures there are: one for each format; signed recursively, for each image, the index's first. An index
  /// that is not below throws std::out_of_range.
  [[nodiscard]] std::size_t count() const noexcept { return cosign_signed_count(get()); }
  /// The image that it is of, pinned.
  [[nodiscard]] std::string reference(std::size_t index) const { return cosign_signed_reference_at(get(), at(index)); }
  /// "legacy" or "bundle".
  [[nodiscard]] std::string format(std::size_t index) const { return cosign_signed_format_at(get(), at(index)); }
  /// Where it is.
  [[nodiscard]] std::string place(std::size_t index) const { return cosign_signed_place_at(get(), at(index)); }
  [[nodiscard]] std::string status(std::size_t index) const { return cosign_signed_status_at(get(), at(index)); }
  [[nodiscard]] std::string reason(std::size_t index) const { return cosign_signed_reason_at(get(), at(index)); }
  [[nodiscard]] bool added(std::size_t index) const { return cosign_signed_added_at(get(), at(index)) != 0; }

  /// All of it as JSON.
  [[nodiscard]] std::string json() const { return cosign_signed_json(get()); }

  [[nodiscard]] const cosign_signed *get() const noexcept { return handle_.get(); }

 private:
  friend class client;
  using handle = detail::handle<cosign_signed, cosign_signed_free>;
  explicit signed_image(handle owned) : handle_(std::move(owned)) {}
  std::size_t at(std::size_t index) const {
    if (index >= count()) throw std::out_of_range("cosign::signed_image");
    return index;
  }
  handle handle_;
};

/// A signature that was made and not stored.
struct detached_signature {
  /// The raw signature; cosign prints its base64.
  std::string signature;
  /// The exact bytes that it signs.
  std::string payload;
};

/// Proof that an image or blob met a policy: only client::verify and verify_blob make one. Of a blob the digest is the hash
/// of what was read, the reference its name, and the payloads are empty.
class verification {
 public:
  /// The digest that was verified. Act on it, not on the tag.
  [[nodiscard]] std::string digest() const { return cosign_verification_digest(get()); }
  /// The image pinned to that digest.
  [[nodiscard]] std::string reference() const { return cosign_verification_reference(get()); }
  /// How many signatures the policy accepted; at least 1.
  [[nodiscard]] std::size_t count() const noexcept { return cosign_verification_count(get()); }
  /// The format of accepted signature `index`, "legacy" or "bundle"; throws std::out_of_range.
  [[nodiscard]] std::string format(std::size_t index) const {
    if (index >= count()) throw std::out_of_range("cosign::verification::format");
    return cosign_verification_format_at(get(), index);
  }
  /// The exact bytes that accepted signature `index` signed; throws std::out_of_range.
  [[nodiscard]] std::string payload(std::size_t index) const {
    if (index >= count()) throw std::out_of_range("cosign::verification::payload");
    std::size_t len = 0;
    const char *data = cosign_verification_payload(get(), index, &len);
    return std::string(data, len);
  }
  /// Every signature and every check of it: passed, failed or skipped, and why.
  [[nodiscard]] std::string json() const { return cosign_verification_json(get()); }

  [[nodiscard]] const cosign_verification *get() const noexcept { return handle_.get(); }

 private:
  friend class client;
  friend class blob_signatures;
  using handle = detail::handle<cosign_verification, cosign_verification_free>;
  explicit verification(handle owned) : handle_(std::move(owned)) {}
  handle handle_;
};

/// One result of a batch: the proof or the error, and the other is NULL. Both live until the function that receives it
/// returns.
struct batch_result {
  /// The reference's number, from 0.
  std::uint64_t index;
  /// The reference as it was given.
  const char *reference;
  /// The proof that this image met the policy.
  const verification *proof;
  /// Why there is none.
  const error *why;
};

/// Gives the next reference of a batch; nullopt when there are no more.
using reference_function = std::function<std::optional<std::string>()>;
/// Receives one result of a batch; false stops the batch, which then throws COSIGN_ERR_CANCELLED. What it throws stops
/// the batch and is thrown on by it.
using result_function = std::function<bool(const batch_result &)>;

/// Signs and verifies images: "registry/repository:tag", "registry/repository@sha256:…" or "oci:PATH:tag". Share one
/// client among all threads; each call blocks its thread.
class client {
 public:
  client() : handle_(create(nullptr)) {}
  explicit client(const client_options &options) : handle_(create(options.get())) {}

  /// The reference pinned to the digest that it names now.
  [[nodiscard]] std::string resolve(const std::string &image) const { return resolve(image, nullptr); }
  [[nodiscard]] std::string resolve(const std::string &image, const call &with) const {
    return resolve(image, with.get());
  }

  /// Signs what `image` names now and stores the signature beside it.
  signed_image sign(const std::string &image, const private_key &key) const {
    return sign(image, key, nullptr, nullptr);
  }
  signed_image sign(const std::string &image, const private_key &key, const call &with) const {
    return sign(image, key, nullptr, with.get());
  }
  signed_image sign(const std::string &image, const private_key &key, const sign_options &options) const {
    return sign(image, key, options.get(), nullptr);
  }
  signed_image sign(const std::string &image, const private_key &key, const sign_options &options,
                    const call &with) const {
    return sign(image, key, options.get(), with.get());
  }

  /// The payload that sign() signs with the same options, for attach_signature() after another program has signed it.
  [[nodiscard]] std::string generate(const std::string &image, const sign_options &options = sign_options()) const {
    return text([&](auto out, auto err) {
      return cosign_generate(get(), detail::c_text(image), options.get(), nullptr, out, err);
    });
  }

  /// Signs what sign() would sign, and stores nothing.
  [[nodiscard]] detached_signature sign_detached(const std::string &image, const private_key &key,
                                                 const sign_options &options = sign_options()) const {
    cosign_buffer *payload = nullptr;
    detail::buffer_handle signature = detail::make<detail::buffer_handle>([&](auto out, auto err) {
      return cosign_sign_detached(get(), detail::c_text(image), key.get(), options.get(), nullptr, out, &payload, err);
    });
    return {detail::text(signature), detail::text(detail::buffer_handle(payload))};
  }

  /// Stores a raw signature that was made elsewhere; it is not verified.
  signed_image attach_signature(const std::string &image, std::string_view signature,
                                const sign_options &options = sign_options()) const {
    return signed_image(detail::make<signed_image::handle>([&](auto out, auto err) {
      return cosign_attach_signature(get(), detail::c_text(image), signature.data(), signature.size(), options.get(),
                                     nullptr, out, err);
    }));
  }

  /// The signatures that are stored, one line of JSON each; none of them is verified.
  [[nodiscard]] std::string download(const std::string &image, const std::string &format = "both",
                                     const std::string &suffix = ".sig", bool lines_2021 = false) const {
    return text([&](auto out, auto err) {
      return cosign_download(get(), detail::c_text(image), detail::c_text(format), detail::c_text(suffix),
                             lines_2021 ? 1 : 0, nullptr, out, err);
    });
  }

  /// The name of the place that holds the signatures.
  [[nodiscard]] std::string triangulate(const std::string &image, const std::string &suffix = ".sig") const {
    return text([&](auto out, auto err) {
      return cosign_triangulate(get(), detail::c_text(image), detail::c_text(suffix), nullptr, out, err);
    });
  }

  /// Everything that hangs on an image, as JSON; nothing is verified.
  [[nodiscard]] std::string tree(const std::string &image) const {
    return text([&](auto out, auto err) { return cosign_tree(get(), detail::c_text(image), nullptr, out, err); });
  }

  /// Which tools can read the signatures of an image, as JSON; nothing is verified.
  [[nodiscard]] std::string doctor(const std::string &image) const {
    return text([&](auto out, auto err) { return cosign_doctor(get(), detail::c_text(image), nullptr, out, err); });
  }

  /// Returns only when the policy is met; otherwise throws the reason.
  [[nodiscard]] verification verify(const std::string &image, const policy &demands) const {
    return verify(image, demands, nullptr, nullptr);
  }
  [[nodiscard]] verification verify(const std::string &image, const policy &demands, const call &with) const {
    return verify(image, demands, nullptr, with.get());
  }
  [[nodiscard]] verification verify(const std::string &image, const policy &demands,
                                    const verify_options &options) const {
    return verify(image, demands, options.get(), nullptr);
  }
  [[nodiscard]] verification verify(const std::string &image, const policy &demands, const verify_options &options,
                                    const call &with) const {
    return verify(image, demands, options.get(), with.get());
  }

  /// Removes what hangs on an image ("signature", "attestation", "referrer", "sbom" or "all"); what was done, as JSON.
  std::string clean(const std::string &image, const std::string &kind = "all") const {
    return detail::text(detail::make<detail::buffer_handle>([&](auto out, auto err) {
      return cosign_clean_image(get(), detail::c_text(image), detail::c_text(kind), nullptr, out, err);
    }));
  }

  /// Removes journal entries that no signer needs any more; what was done, as JSON.
  std::string gc(const std::string &image, bool repair = false, bool whole_repository = false) const {
    return detail::text(detail::make<detail::buffer_handle>([&](auto out, auto err) {
      return cosign_gc(get(), detail::c_text(image), repair ? 1 : 0, whole_repository ? 1 : 0, nullptr, out, err);
    }));
  }

  /// Copies an image with all that hangs on it; `only` is "" or of "sig", "att", "sbom" those to copy, with commas. What
  /// was done, as JSON.
  std::string copy(const std::string &source, const std::string &destination, const std::string &only = "",
                   const std::string &platform = "", bool force = false) const {
    return detail::text(detail::make<detail::buffer_handle>([&](auto out, auto err) {
      return cosign_copy_image(get(), detail::c_text(source), detail::c_text(destination),
                               only.empty() ? nullptr : detail::c_text(only),
                               platform.empty() ? nullptr : detail::c_text(platform), force ? 1 : 0, nullptr, out, err);
    }));
  }

  /// Verifies many images over shared connections and hands out each result as soon as it is known, on this thread.
  /// Returns when every image has had its result, whatever its verdict.
  void verify_images(const std::vector<std::string> &images, const policy &demands, const result_function &on_result,
                     const verify_options &options = {}, const batch_options &limits = {},
                     const call &with = {}) const {
    std::vector<const char *> references;
    references.reserve(images.size());
    for (const std::string &image : images) references.push_back(detail::c_text(image));
    batch state{nullptr, &on_result, {}};
    detail::run([&](auto err) {
      return cosign_verify_images(get(), references.data(), references.size(), demands.get(), options.get(),
                                  limits.get(), with.get(), &client::give, &state, err);
    });
  }
  /// The same for images that `next` gives, at most eight times at_once ahead of the results.
  void verify_images(const reference_function &next, const policy &demands, const result_function &on_result,
                     const verify_options &options = {}, const batch_options &limits = {},
                     const call &with = {}) const {
    batch state{&next, &on_result, {}};
    detail::run([&](auto err) {
      return cosign_verify_images_from(get(), &client::ask, demands.get(), options.get(), limits.get(), with.get(),
                                       &client::give, &state, err);
    });
  }

  [[nodiscard]] const cosign_client *get() const noexcept { return handle_.get(); }

 private:
  using handle = detail::handle<cosign_client, cosign_client_free>;

  struct batch {
    const reference_function *next;
    const result_function *on_result;
    std::string reference;
  };

  // An exception must not cross the library's frames: detail::check throws it on.
  template <class Function>
  static cosign_code parked(Function &&function) noexcept {
    try {
      return function();
    } catch (...) {
      detail::thrown_by_callback = std::current_exception();
      return COSIGN_ERR_CANCELLED;
    }
  }
  static cosign_code ask(const char **reference, void *user_data) noexcept {
    return parked([&] {
      batch &state = *static_cast<batch *>(user_data);
      std::optional<std::string> next = (*state.next)();
      if (!next) return COSIGN_OK;
      state.reference = *std::move(next);
      *reference = detail::c_text(state.reference);
      return COSIGN_OK;
    });
  }
  static cosign_code give(std::uint64_t index, const char *reference, const cosign_verification *proof,
                          const cosign_error *why, void *user_data) noexcept {
    return parked([&] {
      const result_function &on_result = *static_cast<batch *>(user_data)->on_result;
      bool go_on;
      if (proof != nullptr) {
        // Borrowed, so it is given back before it could be freed.
        struct lent {
          verification object;
          ~lent() { (void)object.handle_.release(); }
        } borrowed{verification(verification::handle(const_cast<cosign_verification *>(proof)))};
        go_on = on_result(batch_result{index, reference, &borrowed.object, nullptr});
      } else {
        error copied(cosign_error_code(why), cosign_error_message(why), cosign_error_json(why),
                     cosign_error_is_retryable(why) != 0);
        go_on = on_result(batch_result{index, reference, nullptr, &copied});
      }
      return go_on ? COSIGN_OK : COSIGN_ERR_CANCELLED;
    });
  }

  static handle create(const cosign_client_options *options) {
    return detail::make<handle>([&](auto out, auto err) { return cosign_client_new(options, out, err); });
  }
  template <class Function>
  static std::string text(Function &&function) {
    return detail::text(detail::make<detail::buffer_handle>(std::forward<Function>(function)));
  }
  std::string resolve(const std::string &image, const cosign_call *with) const {
    return detail::text(detail::make<detail::buffer_handle>(
        [&](auto out, auto err) { return cosign_client_resolve(get(), detail::c_text(image), with, out, err); }));
  }
  signed_image sign(const std::string &image, const private_key &key, const cosign_sign_options *options,
                    const cosign_call *with) const {
    return signed_image(detail::make<signed_image::handle>([&](auto out, auto err) {
      return cosign_sign_image(get(), detail::c_text(image), key.get(), options, with, out, err);
    }));
  }
  verification verify(const std::string &image, const policy &demands, const cosign_verify_options *options,
                      const cosign_call *with) const {
    return verification(detail::make<verification::handle>([&](auto out, auto err) {
      return cosign_verify_image_with(get(), detail::c_text(image), demands.get(), options, with, out, err);
    }));
  }

  handle handle_;
};

/// A file by its path, to be signed or verified without being held.
struct file {
  std::string path;
};

/// Reads the next piece of a blob: at most `size` bytes, and returns how many; 0 is the end. What it throws stops the call
/// and is thrown on by it.
using reader = std::function<std::size_t(void *buffer, std::size_t size)>;

namespace detail {

inline cosign_code read_blob(void *buffer, std::size_t size, std::size_t *read, void *user_data) noexcept {
  try {
    *read = (*static_cast<const reader *>(user_data))(buffer, size);
    return COSIGN_OK;
  } catch (...) {
    thrown_by_callback = std::current_exception();
    return COSIGN_ERR_CANCELLED;
  }
}

inline const cosign_call *optional_call(const call *with) { return with != nullptr ? with->get() : nullptr; }

}  // namespace detail

/// Signs a blob; `form` is "raw" (nullptr), "base64", "bundle" (sigstore's) or "old-bundle", `hash` "sha256" for P-384 and
/// P-521 keys, or nullptr.
[[nodiscard]] inline std::string sign_blob(const private_key &key, std::string_view data, const char *form = nullptr,
                                           const char *hash = nullptr, const call *with = nullptr) {
  return detail::text(detail::make<detail::buffer_handle>([&](auto out, auto err) {
    return cosign_sign_blob_buffer(key.get(), data.data(), data.size(), form, hash, detail::optional_call(with), out, err);
  }));
}
[[nodiscard]] inline std::string sign_blob(const private_key &key, const file &blob, const char *form = nullptr,
                                           const char *hash = nullptr, const call *with = nullptr) {
  return detail::text(detail::make<detail::buffer_handle>([&](auto out, auto err) {
    return cosign_sign_blob_file(key.get(), detail::c_text(blob.path), form, hash, detail::optional_call(with), out, err);
  }));
}
[[nodiscard]] inline std::string sign_blob(const private_key &key, const reader &blob, const char *form = nullptr,
                                           const char *hash = nullptr, const call *with = nullptr) {
  void *data = const_cast<reader *>(&blob);
  return detail::text(detail::make<detail::buffer_handle>([&](auto out, auto err) {
    return cosign_sign_blob(key.get(), detail::read_blob, data, nullptr, form, hash, detail::optional_call(with), out, err);
  }));
}

/// What is said to have signed a blob; a bad value is reported by the verification.
class blob_signatures {
 public:
  blob_signatures() : handle_(detail::required(cosign_verify_blob_options_new())) {}

  /// A signature by itself, raw or in base64. All that are added count together for the policy's threshold.
  blob_signatures &signature(std::string_view bytes) & {
    cosign_verify_blob_options_add_signature(handle_.get(), bytes.data(), bytes.size());
    return *this;
  }
  blob_signatures &&signature(std::string_view bytes) && { return std::move(signature(bytes)); }

  /// A bundle: sigstore's, or the JSON before it. A key inside it is never trusted.
  blob_signatures &bundle(std::string_view bytes) & {
    cosign_verify_blob_options_add_bundle(handle_.get(), bytes.data(), bytes.size());
    return *this;
  }
  blob_signatures &&bundle(std::string_view bytes) && { return std::move(bundle(bytes)); }

  /// What the report and errors call the blob; a file's path by default.
  blob_signatures &name(const std::string &name) & {
    cosign_verify_blob_options_set_name(handle_.get(), detail::c_text(name));
    return *this;
  }
  blob_signatures &&name(const std::string &name) && { return std::move(this->name(name)); }

  /// The only hash that signatures may be over: "sha256", "sha384" or "sha512".
  blob_signatures &hash(const std::string &hash) & {
    cosign_verify_blob_options_set_hash(handle_.get(), detail::c_text(hash));
    return *this;
  }
  blob_signatures &&hash(const std::string &hash) && { return std::move(this->hash(hash)); }

  /// Returns only when the blob is signed as the policy demands; otherwise throws the reason.
  [[nodiscard]] verification verify(std::string_view data, const policy &demands, const call *with = nullptr) const {
    return proof([&](auto out, auto err) {
      return cosign_verify_blob_buffer(data.data(), data.size(), demands.get(), get(), detail::optional_call(with), out, err);
    });
  }
  [[nodiscard]] verification verify(const file &blob, const policy &demands, const call *with = nullptr) const {
    return proof([&](auto out, auto err) {
      return cosign_verify_blob_file(detail::c_text(blob.path), demands.get(), get(), detail::optional_call(with), out, err);
    });
  }
  [[nodiscard]] verification verify(const reader &blob, const policy &demands, const call *with = nullptr) const {
    void *data = const_cast<reader *>(&blob);
    return proof([&](auto out, auto err) {
      return cosign_verify_blob(detail::read_blob, data, nullptr, demands.get(), get(), detail::optional_call(with), out,
                                err);
    });
  }

  [[nodiscard]] const cosign_verify_blob_options *get() const noexcept { return handle_.get(); }

 private:
  template <class Function>
  static verification proof(Function &&function) {
    return verification(detail::make<verification::handle>(std::forward<Function>(function)));
  }
  detail::handle<cosign_verify_blob_options, cosign_verify_blob_options_free> handle_;
};

static_assert(sizeof(client) == sizeof(void *) && sizeof(verification) == sizeof(void *), "a handle costs one pointer");

}  // namespace cosign

#endif
