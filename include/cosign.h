/* cosign.h: sign and verify container images.
 * SPDX-License-Identifier: Apache-2.0
 *
 * The ten rules of this interface
 *
 *  1. Types in signatures: int32_t, uint32_t, uint64_t, size_t; const char * is text, UTF-8 with a NUL at its end;
 *     const void * with a size_t is bytes, and NULL with 0 is empty; pointers to opaque types; function pointers.
 *     No struct, no enum, no bool, no varargs.
 *  2. A function that can fail returns a cosign_code; 0 is success. Its last parameter is cosign_error **err, which
 *     may be NULL. *err is NULL after success and an owned error otherwise; what was in *err before is overwritten
 *     without being read, so start with NULL and free after a failure. All other outs are set to NULL first and
 *     filled only on success.
 *  3. A T * that is returned or written to an out is owned: free it with cosign_T_free. const results are borrowed
 *     from the argument and live as long as it does. Every _free accepts NULL. Never free(3) our objects; all that
 *     you pass in is copied.
 *  4. const T * is safe on the same object from many threads at once; T * is for one thread at a time. Clients, keys,
 *     errors, buffers and results never change.
 *  5. Builders (options, policies, calls) have void setters. A bad value is kept as the builder's first error and
 *     returned, naming the setter, by the function that uses the builder. A builder can be used again.
 *  6. A callback's last parameter is void *user_data. It is registered with a finalizer (may be NULL) that runs
 *     exactly once. Callbacks run on the thread that made the call, never two at once for one call object. They may
 *     call libcosign, but not free the objects in use. The call they run for is neither changed (cosign_call_set_*)
 *     nor freed by them: that has no effect, and the function that asked returns COSIGN_ERR_CALLBACK. They must not
 *     throw or longjmp through us.
 *  7. No init, no shutdown, no global state. We read no environment variable and no file that you did not name (but
 *     the system's certificate authorities, at the first https request, and what cosign_client_options_from_env
 *     says), install no signal handler, change no locale, umask or working directory, and print nothing.
 *  8. After fork() a client made in the parent answers COSIGN_ERR_FORKED in the child: make a new one there. fork
 *     and exec is always fine. dlclose() keeps the library mapped.
 *  9. Within one soname things are only added, and codes never change their meaning: expect unknown codes and treat
 *     them by the "class" in cosign_error_json, one of usage, key, refused, unknown, stopped, file, internal. It is
 *     not the code's hundreds: of 4xx, 402 (no such image) is refused and the others unknown. Ask with
 *     #if COSIGN_VERSION_NUMBER >= 0x000100, cosign_version_number() and cosign_has_feature().
 * 10. Names with "dangerous" weaken security.
 *
 * Verification fails closed: COSIGN_OK is the only success, a result object exists only then, and a policy that
 * demands nothing is an error.
 *
 * Written by the generate tool from ffi/src: change it there.
 */
#ifndef COSIGN_H
#define COSIGN_H

#include <stddef.h>
#include <stdint.h>

/** The version this header belongs to; cosign_version_number() tells the one that runs. */
#define COSIGN_VERSION_MAJOR 0
#define COSIGN_VERSION_MINOR 1
#define COSIGN_VERSION_PATCH 0
#define COSIGN_VERSION_NUMBER 0x000100
#define COSIGN_VERSION "0.1.0"

#if defined(_WIN32) && !defined(COSIGN_STATIC)
#define COSIGN_API __declspec(dllimport)
#elif defined(__GNUC__)
#define COSIGN_API __attribute__((visibility("default")))
#else
#define COSIGN_API
#endif

#if defined(__GNUC__)
#define COSIGN_MUST_USE __attribute__((warn_unused_result))
#else
#define COSIGN_MUST_USE
#endif

/** Success. */
#define COSIGN_OK 0
/** Only returned by callbacks: "I have no answer, go on without me". */
#define COSIGN_PASSTHROUGH 1

/** An argument is missing, empty or out of range. */
#define COSIGN_ERR_ARGUMENT             100
/** Text is not UTF-8, base64, hex or JSON where that is required. */
#define COSIGN_ERR_ENCODING             101
/** An image reference or digest cannot be parsed. */
#define COSIGN_ERR_REFERENCE            102
/** This build or version does not do what was asked. */
#define COSIGN_ERR_UNSUPPORTED          103
/** The blob is larger than what a key of this kind signs (Ed25519: 64 MiB). */
#define COSIGN_ERR_BLOB_TOO_LARGE       104

/** A key is malformed or in a format that is not accepted. */
#define COSIGN_ERR_KEY_FORMAT           200
/** A key's algorithm, curve or size is not accepted. */
#define COSIGN_ERR_KEY_ALGORITHM        201
/** The key is encrypted and no password was given. */
#define COSIGN_ERR_PASSWORD_REQUIRED    202
/** The password does not open the key, or the key file was changed. */
#define COSIGN_ERR_PASSWORD_WRONG       203

/** Signatures were read and none satisfies the policy. */
#define COSIGN_ERR_NO_SIGNATURE_MATCHES 300
/** The place answered and holds no signature. */
#define COSIGN_ERR_NO_SIGNATURES        301
/** A signature does not verify with the key. */
#define COSIGN_ERR_SIGNATURE_INVALID    302
/** The signed payload is malformed or names another image. */
#define COSIGN_ERR_PAYLOAD_MISMATCH     303
/** A demanded annotation is missing or different. */
#define COSIGN_ERR_ANNOTATION_MISMATCH  304
/** Fewer distinct signers than the policy demands. */
#define COSIGN_ERR_THRESHOLD            305
/** The policy demands nothing, demands the impossible or has an unknown field. */
#define COSIGN_ERR_POLICY_EMPTY         306

/** The registry could not be reached or answered with a server error. */
#define COSIGN_ERR_NETWORK              400
/** The registry does not accept the credentials. */
#define COSIGN_ERR_AUTH                 401
/** The image, tag or layout does not exist. */
#define COSIGN_ERR_IMAGE_NOT_FOUND      402
/** The registry denies access. */
#define COSIGN_ERR_DENIED               403
/** The TLS connection could not be made or trusted. */
#define COSIGN_ERR_TLS                  404
/** No trusted certificate authority was found. */
#define COSIGN_ERR_TLS_ROOTS            405
/** The registry asks to slow down. */
#define COSIGN_ERR_RATE_LIMITED         406
/** The registry or layout answered with something that is not allowed. */
#define COSIGN_ERR_PROTOCOL             407
/** Something is larger, longer or deeper than its limit. */
#define COSIGN_ERR_TOO_LARGE            408
/** The registry refused to store it because of what is there already. */
#define COSIGN_ERR_CONFLICT             409
/** A server does not have the service that was asked for. */
#define COSIGN_ERR_SERVICE_NOT_FOUND    410
/** Stored bytes are not what their digest or size says. */
#define COSIGN_ERR_CONTENT              411

/** The caller cancelled. */
#define COSIGN_ERR_CANCELLED            500
/** The deadline passed. */
#define COSIGN_ERR_TIMEOUT              501
/** A callback failed. */
#define COSIGN_ERR_CALLBACK             502
/** The client was made before fork(); make a new one in the child. */
#define COSIGN_ERR_FORKED               503

/** A file could not be read or written. */
#define COSIGN_ERR_IO                   600
/** A file or image is there already and is not overwritten without consent. */
#define COSIGN_ERR_FILE_EXISTS          601

/** A defect in this library; please report it. */
#define COSIGN_ERR_INTERNAL             900

#ifdef __cplusplus
extern "C" {
#endif

/**
 * How much cosign_verify_images does at once: a builder. Free with cosign_batch_options_free.
 */
typedef struct cosign_batch_options cosign_batch_options;

/**
 * Text or bytes that the caller owns. Immutable; wiped and freed by cosign_buffer_free.
 */
typedef struct cosign_buffer cosign_buffer;

/**
 * What one call, or several, may take and ask: a time limit, a password, and the switch to stop it. Free with
 * cosign_call_free.
 */
typedef struct cosign_call cosign_call;

/**
 * Finds, signs and verifies images. Immutable: share one client among all threads, and its connections are reused.
 * Free with cosign_client_free.
 */
typedef struct cosign_client cosign_client;

/**
 * How a client finds images: a builder for cosign_client_new. Free with cosign_client_options_free.
 */
typedef struct cosign_client_options cosign_client_options;

/**
 * Why a call failed. Immutable; free with cosign_error_free.
 */
typedef struct cosign_error cosign_error;

/**
 * What an image must carry to be accepted: a builder for cosign_verify_image. Free with cosign_policy_free.
 */
typedef struct cosign_policy cosign_policy;

/**
 * A decrypted private key. Immutable; its memory is wiped by cosign_private_key_free.
 */
typedef struct cosign_private_key cosign_private_key;

/**
 * A public key. Immutable; free with cosign_public_key_free.
 */
typedef struct cosign_public_key cosign_public_key;

/**
 * Where a password callback puts its answer. It lives as long as the callback runs.
 */
typedef struct cosign_secret cosign_secret;

/**
 * How to sign: a builder for cosign_sign_image. Free with cosign_sign_options_free.
 */
typedef struct cosign_sign_options cosign_sign_options;

/**
 * What signing an image did. Immutable; free with cosign_signed_free.
 *
 * The status of a signature is "stored": every tool finds it, and no signer at the same time can make it unseen;
 * "stored_unprotected": every tool finds it now, but a signer at the same time may have overwritten it unseen; or
 * "journal_only": this library finds it, other tools do not. Expect unknown words.
 */
typedef struct cosign_signed cosign_signed;

/**
 * Proof that an image or blob met a policy; there is none for one that did not. Immutable; free with
 * cosign_verification_free.
 */
typedef struct cosign_verification cosign_verification;

/**
 * What is said to have signed a blob: a builder for cosign_verify_blob. Free with cosign_verify_blob_options_free.
 */
typedef struct cosign_verify_blob_options cosign_verify_blob_options;

/**
 * Where and how strictly to look for signatures: a builder for cosign_verify_image_with. Free with
 * cosign_verify_options_free.
 */
typedef struct cosign_verify_options cosign_verify_options;

/**
 * COSIGN_OK, or one of the COSIGN_ERR_ numbers. Expect numbers that this header does not know, and treat them by
 * their class (rule 9).
 */
typedef int32_t cosign_code;

/**
 * Asks for a password. Answer with cosign_secret_set and return COSIGN_OK; return COSIGN_PASSTHROUGH for "I have
 * none", COSIGN_ERR_CANCELLED to stop; any other code fails the call. `attempt` is 1 first and grows while the answer
 * is wrong; after 3 we give up. 0 asks for the new password of a key that is being written.
 */
typedef cosign_code (*cosign_password_cb)(cosign_secret *out, const char *prompt, uint32_t attempt, void *user_data);

/**
 * Destroys user_data. Runs exactly once: when the object that holds the callback is freed, or the callback is
 * replaced.
 */
typedef void (*cosign_finalizer)(void *user_data);

/**
 * Receives one result of a batch. Either `verification` or `error` is NULL: the proof, or why there is none. Everything
 * is borrowed and lives until the callback returns. Return COSIGN_OK to go on; COSIGN_ERR_CANCELLED stops the batch; any
 * other code fails it.
 */
typedef cosign_code (*cosign_result_cb)(uint64_t index,
                                        const char *reference,
                                        const cosign_verification *verification,
                                        const cosign_error *error,
                                        void *user_data);

/**
 * Gives the next reference of a batch: points `*reference` at a text that lives until the next question or the end of
 * the batch, or leaves it NULL when there are no more, and returns COSIGN_OK. COSIGN_ERR_CANCELLED stops the batch; any
 * other code fails it.
 */
typedef cosign_code (*cosign_reference_cb)(const char **reference, void *user_data);

/**
 * Reads the next piece of a blob: at most `size` bytes to `buffer`, and how many to `*read`. 0 bytes are the blob's end.
 * Return COSIGN_OK; COSIGN_ERR_CANCELLED to stop; any other code fails the call: what cannot be read is never the end.
 */
typedef cosign_code (*cosign_read_cb)(void *buffer, size_t size, size_t *read, void *user_data);

/**
 * The version that runs, as 0xMMmmpp: compare with COSIGN_VERSION_NUMBER, the version that was compiled against.
 * Thread-safe.
 * @return the number. @since 0.1
 */
COSIGN_API uint32_t cosign_version_number(void);

/**
 * The version that runs, as text: "0.1.0". Thread-safe.
 * @return the text, never NULL; borrowed from the library for good. @since 0.1
 */
COSIGN_API const char *cosign_version_string(void);

/**
 * Whether this build has a feature: "layout", "registry", "legacy-signatures". Thread-safe.
 * @param name  the feature; NULL and unknown names give 0
 * @return 1 or 0. @since 0.1
 */
COSIGN_API int32_t cosign_has_feature(const char *name);

/**
 * The stable name of a code: "NO_SIGNATURES" for COSIGN_ERR_NO_SIGNATURES, "OK" for 0, "UNKNOWN" for a number that
 * this version does not know. Thread-safe.
 * @param code  the code
 * @return the text, never NULL; borrowed from the library for good. @since 0.1
 */
COSIGN_API const char *cosign_code_name(cosign_code code);

/**
 * The code of an error, the same that the failed function returned. Thread-safe.
 * @param err  the error; NULL gives COSIGN_OK
 * @return the code. @since 0.1
 */
COSIGN_API cosign_code cosign_error_code(const cosign_error *err);

/**
 * One line of English that says what was expected, what was found and what to do. Never a secret. Thread-safe.
 * @param err  the error; NULL gives ""
 * @return the text, never NULL; borrowed from `err`. @since 0.1
 */
COSIGN_API const char *cosign_error_message(const cosign_error *err);

/**
 * The error as a JSON object: "code", "name", "class", "message", and facts such as the HTTP status; a refused
 * verification carries its whole report as "report". Thread-safe.
 * @param err  the error; NULL gives ""
 * @return the text, never NULL; borrowed from `err`. @since 0.1
 */
COSIGN_API const char *cosign_error_json(const cosign_error *err);

/**
 * Whether the same call may succeed later. Thread-safe.
 * @param err  the error; NULL gives 0
 * @return 1 or 0. @since 0.1
 */
COSIGN_API int32_t cosign_error_is_retryable(const cosign_error *err);

/**
 * Frees an error and every text borrowed from it. Any thread, once.
 * @param err  the error; NULL does nothing. @since 0.1
 */
COSIGN_API void cosign_error_free(cosign_error *err);

/**
 * The content, with a NUL after the last byte. Thread-safe.
 * @param buffer  the buffer; NULL gives ""
 * @return the first byte, never NULL; borrowed from `buffer`. @since 0.1
 */
COSIGN_API const char *cosign_buffer_data(const cosign_buffer *buffer);

/**
 * How many bytes the buffer holds, the NUL at its end not counted. Thread-safe.
 * @param buffer  the buffer; NULL gives 0
 * @return the length. @since 0.1
 */
COSIGN_API size_t cosign_buffer_len(const cosign_buffer *buffer);

/**
 * Wipes and frees a buffer. Any thread, once.
 * @param buffer  the buffer; NULL does nothing. @since 0.1
 */
COSIGN_API void cosign_buffer_free(cosign_buffer *buffer);

/**
 * Puts a secret where the callback was told to; the bytes are copied and wiped after use. Only inside the callback.
 * @param secret  the callback's `out`, required; NULL does nothing
 * @param data    the bytes; NULL with `len` 0 is the empty secret
 * @param len     how many bytes. Thread: the callback's. @since 0.1
 */
COSIGN_API void cosign_secret_set(cosign_secret *secret, const void *data, size_t len);

/**
 * A call without a time limit of its own (the built-in ones for connecting and idling hold) and without callbacks.
 * @return the call, never NULL; owned: cosign_call_free. Thread-safe. @since 0.1
 */
COSIGN_API cosign_call *cosign_call_new(void);

/**
 * Limits the total time of each operation that uses the call, from its start; then it returns COSIGN_ERR_TIMEOUT.
 * One thread at a time.
 * @param call        required; NULL does nothing
 * @param timeout_ms  milliseconds; 0 is no limit. @since 0.1
 */
COSIGN_API void cosign_call_set_timeout_ms(cosign_call *call, uint64_t timeout_ms);

/**
 * Says who is asked for passwords: by cosign_private_key_from_pem and cosign_private_key_to_pem, on the thread that
 * calls them. Replaces what was set before. One thread at a time.
 * @param call       required; with NULL only the finalizer runs
 * @param callback   asks for the password; NULL: nobody is asked
 * @param user_data  handed to the callback; may be NULL. We keep the pointer, and finalizer says when it is done with
 * @param finalizer  destroys user_data, exactly once, also when callback is NULL; NULL: nothing to destroy. @since 0.1
 */
COSIGN_API
void cosign_call_set_password_cb(cosign_call *call,
                                 cosign_password_cb callback,
                                 void *user_data,
                                 cosign_finalizer finalizer);

/**
 * Stops every operation that uses `call`, now and later; they return COSIGN_ERR_CANCELLED, normally within 50 ms.
 * Safe from any thread and from a signal handler.
 * @param call  the call; NULL does nothing. @since 0.1
 */
COSIGN_API void cosign_call_cancel(const cosign_call *call);

/**
 * Frees a call and runs the finalizer of its callback. No operation may still use it. Any thread, once.
 * @param call  the call; NULL does nothing. @since 0.1
 */
COSIGN_API void cosign_call_free(cosign_call *call);

/**
 * Makes a new private key. Thread-safe.
 * @param algorithm  "ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ed25519", "rsa-2048", "rsa-3072" or "rsa-4096"; NULL
 *                   for "ecdsa-p256"
 * @param out        required; receives the key (owned: cosign_private_key_free)
 * @param err        NULL, or receives the error (owned: cosign_error_free)
 * @return COSIGN_OK; 1xx usage, 2xx key. @since 0.1
 */
COSIGN_API
COSIGN_MUST_USE
cosign_code cosign_private_key_generate(const char *algorithm,
                                        cosign_private_key **out,
                                        cosign_error **err);

/**
 * Opens an encrypted key file. The password comes from the call's callback, on this thread; after 3 wrong answers
 * COSIGN_ERR_PASSWORD_WRONG. Thread-safe.
 * @param pem   the file's bytes, required; not required to end with NUL
 * @param len   how many
 * @param call  NULL: nobody is asked, and an encrypted key is COSIGN_ERR_PASSWORD_REQUIRED
 * @param out   required; receives the key (owned: cosign_private_key_free)
 * @param err   NULL, or receives the error (owned: cosign_error_free)
 * @return COSIGN_OK; 1xx usage, 2xx key, 5xx stopped. @since 0.1
 */
COSIGN_API
COSIGN_MUST_USE
cosign_code cosign_private_key_from_pem(const void *pem,
                                        size_t len,
                                        const cosign_call *call,
                                        cosign_private_key **out,
                                        cosign_error **err);

/**
 * Imports an unencrypted PKCS#8, SEC 1 or PKCS#1 key that another program made. Thread-safe.
 * @param pem  the file's bytes, required; not required to end with NUL
 * @param len  how many
 * @param out  required; receives the key (owned: cosign_private_key_free)
 * @param err  NULL, or receives the error (owned: cosign_error_free)
 * @return COSIGN_OK; 1xx usage, 2xx key. @since 0.1
 */
COSIGN_API
COSIGN_MUST_USE
cosign_code cosign_private_key_import_pem(const void *pem,
                                          size_t len,
                                          cosign_private_key **out,
                                          cosign_error **err);

/**
 * Writes a key as an encrypted key file. The new password comes from the call's callback with attempt 0, on this
 * thread. Thread-safe on the same key.
 * @param key     required
 * @param format  "sigstore" or "cosign", the form of 2021 for older readers; NULL for "sigstore"
 * @param call    carries the password callback; NULL is COSIGN_ERR_PASSWORD_REQUIRED
 * @param out     required; receives the PEM text (owned: cosign_buffer_free)
 * @param err     NULL, or receives the error (owned: cosign_error_free)
 * @return COSIGN_OK; 1xx usage, 2xx key, 5xx stopped. @since 0.1
 */
COSIGN_API
COSIGN_MUST_USE
cosign_code cosign_private_key_to_pem(const cosign_private_key *key,
                                      const char *format,
                                      const cosign_call *call,
                                      cosign_buffer **out,
                                      cosign_error **err);

/**
 * The public half of a private key. Thread-safe on the same key.
 * @param key  required
 * @param out  required; receives the public key (owned: cosign_public_key_free)
 * @param err  NULL, or receives the error (owned: cosign_error_free)
 * @return COSIGN_OK; 1xx usage. @since 0.1
 */
COSIGN_API
COSIGN_MUST_USE
cosign_code cosign_private_key_public(const cosign_private_key *key,
                                      cosign_public_key **out,
                                      cosign_error **err);

/**
 * Wipes and frees a private key. Any thread, once.
 * @param key  the key; NULL does nothing. @since 0.1
 */
COSIGN_API void cosign_private_key_free(cosign_private_key *key);

/**
 * Reads a PEM block "PUBLIC KEY". Thread-safe.
 * @param pem  the file's bytes, required; not required to end with NUL
 * @param len  how many
 * @param out  required; receives the key (owned: cosign_public_key_free)
 * @param err  NULL, or receives the error (owned: cosign_error_free)
 * @return COSIGN_OK; 1xx usage, 2xx key. @since 0.1
 */
COSIGN_API
COSIGN_MUST_USE
cosign_code cosign_public_key_from_pem(const void *pem,
                                       size_t len,
                                       cosign_public_key **out,
                                       cosign_error **err);

/**
 * Writes a public key as a PEM block "PUBLIC KEY". Thread-safe on the same key.
 * @param key  required
 * @param out  required; receives the PEM text (owned: cosign_buffer_free)
 * @param err  NULL, or receives the error (owned: cosign_error_free)
 * @return COSIGN_OK; 1xx usage. @since 0.1
 */
COSIGN_API
COSIGN_MUST_USE
cosign_code cosign_public_key_to_pem(const cosign_public_key *key,
                                     cosign_buffer **out,
                                     cosign_error **err);

/**
 * SHA-256 of the key's SubjectPublicKeyInfo, in lower-case hex. Thread-safe.
 * @param key  the key; NULL gives ""
 * @return the text, never NULL; borrowed from `key`. @since 0.1
 */
COSIGN_API const char *cosign_public_key_fingerprint(const cosign_public_key *key);

/**
 * Frees a public key. Any thread, once.
 * @param key  the key; NULL does nothing. @since 0.1
 */
COSIGN_API void cosign_public_key_free(cosign_public_key *key);

/**
 * The default options: system certificate authorities, no credentials, layouts allowed. Thread-safe.
 * @return the options, never NULL; owned: cosign_client_options_free. @since 0.1
 */
COSIGN_API cosign_client_options *cosign_client_options_new(void);

/**
 * What a user of the command line expects, from the environment: credentials from the files of docker and podman and
 * the helpers that they name, certificate authorities from SSL_CERT_FILE and SSL_CERT_DIR, certificates per registry
 * from the folders certs.d, proxies from HTTPS_PROXY, HTTP_PROXY and NO_PROXY, the transparency log from REKOR_SERVER,
 * the signatures' repository from COSIGN_REPOSITORY. A file that a variable names and that cannot be read is the
 * builder's first error. Thread-safe while no thread changes the environment.
 * @return the options, never NULL; owned: cosign_client_options_free. @since 0.1
 */
COSIGN_API cosign_client_options *cosign_client_options_from_env(void);

/**
 * Sets the text of the User-Agent header. One thread at a time.
 * @param options     required; NULL does nothing
 * @param user_agent  required; visible ASCII. @since 0.1
 */
COSIGN_API void cosign_client_options_set_user_agent(cosign_client_options *options, const char *user_agent);

/**
 * Sets the transparency log to which signatures go and in which they are looked for; only calls that were told to use a
 * log ask it. One thread at a time.
 * @param options  required; NULL does nothing
 * @param url      "https://...", or "http://..." on loopback and for hosts that
 *                 cosign_client_options_dangerous_allow_http allows; required. Rekor's public log by default. @since 0.1
 */
COSIGN_API
void cosign_client_options_set_rekor_url(cosign_client_options *options,
                                         const char *url);

/**
 * Trusts more certificate authorities, beside the system's. One thread at a time.
 * @param options  required; NULL does nothing
 * @param pem      PEM blocks "CERTIFICATE", required
 * @param len      how many bytes. @since 0.1
 */
COSIGN_API void cosign_client_options_add_ca_pem(cosign_client_options *options, const void *pem, size_t len);

/**
 * Sets a user and password for a registry. One thread at a time.
 * @param options   required; NULL does nothing
 * @param host      "registry.example" or "registry.example:5000", required
 * @param user      required
 * @param password  required; never written to a log or an error. @since 0.1
 */
COSIGN_API
void cosign_client_options_set_auth_basic(cosign_client_options *options,
                                          const char *host,
                                          const char *user,
                                          const char *password);

/**
 * Sets a bearer token for a registry. One thread at a time.
 * @param options  required; NULL does nothing
 * @param host     "registry.example" or "registry.example:5000", required
 * @param token    required; never written to a log or an error. @since 0.1
 */
COSIGN_API
void cosign_client_options_set_auth_token(cosign_client_options *options,
                                          const char *host,
                                          const char *token);

/**
 * Takes credentials from the text of a docker config.json. No file is read and no credential helper is run. One
 * thread at a time.
 * @param options  required; NULL does nothing
 * @param json     the text, required
 * @param len      how many bytes. @since 0.1
 */
COSIGN_API void cosign_client_options_set_docker_config(cosign_client_options *options, const void *json, size_t len);

/**
 * Talks plain HTTP to this host: everyone on the way can read credentials and change what is not signed. Loopback
 * hosts need no permission. One thread at a time.
 * @param options  required; NULL does nothing
 * @param host     "registry.example" or "registry.example:5000", required. @since 0.1
 */
COSIGN_API void cosign_client_options_dangerous_allow_http(cosign_client_options *options, const char *host);

/**
 * Whether "oci:PATH" names an OCI image layout on disk; allowed by default. Switch it off in a service that takes
 * references from strangers. One thread at a time.
 * @param options  required; NULL does nothing
 * @param allowed  0 refuses such references; anything else allows them. @since 0.1
 */
COSIGN_API void cosign_client_options_set_layouts(cosign_client_options *options, int32_t allowed);

/**
 * Keeps signatures in this repository instead of the images' own, as COSIGN_REPOSITORY does for cosign: every verb
 * looks for them there and nowhere else. Layouts keep theirs. One thread at a time.
 * @param options     required; NULL does nothing
 * @param repository  "registry.example/team/signatures", without tag or digest; required. @since 0.1
 */
COSIGN_API void cosign_client_options_set_signature_repository(cosign_client_options *options, const char *repository);

/**
 * Trusts these certificate authorities instead of the system's, and instead of those added before. One thread at a
 * time.
 * @param options  required; NULL does nothing
 * @param pem      PEM blocks "CERTIFICATE", required
 * @param len      how many bytes. @since 0.1
 */
COSIGN_API void cosign_client_options_set_ca_pem(cosign_client_options *options, const void *pem, size_t len);

/**
 * Shows this certificate to registries that ask for one, not to hosts that they redirect to. One thread at a time.
 * @param options          required; NULL does nothing
 * @param certificate      PEM blocks "CERTIFICATE", the client's own first, required
 * @param certificate_len  how many bytes
 * @param key              its private key as PEM, unencrypted, required; never written to a log or an error
 * @param key_len          how many bytes. @since 0.1
 */
COSIGN_API
void cosign_client_options_set_client_certificate(cosign_client_options *options,
                                                  const void *certificate,
                                                  size_t certificate_len,
                                                  const void *key,
                                                  size_t key_len);

/**
 * Reads certificates for each registry below this folder, as docker and podman keep them: FOLDER/HOST[:PORT]/ with
 * *.crt (authorities), *.cert and *.key (a client's). Of several folders the first that has some for a host counts.
 * One thread at a time.
 * @param options  required; NULL does nothing
 * @param folder   required; read when a host is first connected to. @since 0.1
 */
COSIGN_API void cosign_client_options_add_certs_dir(cosign_client_options *options, const char *folder);

/**
 * Whether the programs docker-credential-NAME that a docker config names may be started to ask them for credentials;
 * not by default. Without permission a host whose credentials such a program keeps is an error, never anonymous. One
 * thread at a time.
 * @param options  required; NULL does nothing
 * @param allowed  0 forbids it; anything else allows it. @since 0.1
 */
COSIGN_API void cosign_client_options_allow_credential_helpers(cosign_client_options *options, int32_t allowed);

/**
 * Lets the credentials for a registry go to this token server although it belongs to another domain. Without this
 * only hosts below the registry's own domain get them. One thread at a time.
 * @param options   required; NULL does nothing
 * @param registry  "registry.example" or "registry.example:5000", required
 * @param server    the token server's host, required. @since 0.1
 */
COSIGN_API
void cosign_client_options_allow_token_server(cosign_client_options *options,
                                              const char *registry,
                                              const char *server);

/**
 * Sends requests through proxies, but never those to loopback hosts. One thread at a time.
 * @param options   required; NULL does nothing
 * @param https     the proxy for https, "http://host:port" or "https://host:port"; NULL or "": none
 * @param http      the proxy for plain http; NULL or "": none
 * @param no_proxy  hosts that are asked directly, in the form of NO_PROXY; NULL or "": none. @since 0.1
 */
COSIGN_API
void cosign_client_options_set_proxy(cosign_client_options *options,
                                     const char *https,
                                     const char *http,
                                     const char *no_proxy);

/**
 * Frees the options; clients made from them keep theirs. Any thread, once.
 * @param options  the options; NULL does nothing. @since 0.1
 */
COSIGN_API void cosign_client_options_free(cosign_client_options *options);

/**
 * Makes a client. Nothing is connected, read or started until it is used. Thread-safe on the same options.
 * @param options  NULL for the defaults; copied
 * @param out      required; receives the client (owned: cosign_client_free)
 * @param err      NULL, or receives the error (owned: cosign_error_free)
 * @return COSIGN_OK; 1xx usage. @since 0.1
 */
COSIGN_API
COSIGN_MUST_USE
cosign_code cosign_client_new(const cosign_client_options *options,
                              cosign_client **out,
                              cosign_error **err);

/**
 * Pins what a reference names now to its digest: "registry/repo@sha256:...", or "oci:PATH@sha256:...". Blocks; network,
 * or files for a layout. Thread-safe on the same client.
 * @param client     required
 * @param reference  "registry/repo:tag", "registry/repo@sha256:..." or "oci:PATH[:TAG]"; required
 * @param call       NULL: no limit but the built-in ones
 * @param out        required; receives the pinned reference (owned: cosign_buffer_free)
 * @param err        NULL, or receives the error (owned: cosign_error_free)
 * @return COSIGN_OK; 1xx usage, 4xx registry, 5xx stopped, 6xx file. @since 0.1
 */
COSIGN_API
COSIGN_MUST_USE
cosign_code cosign_client_resolve(const cosign_client *client,
                                  const char *reference,
                                  const cosign_call *call,
                                  cosign_buffer **out,
                                  cosign_error **err);

/**
 * Frees a client and ends its thread; calls must have returned. Any thread, once; in a forked child too.
 * @param client  the client; NULL does nothing. @since 0.1
 */
COSIGN_API void cosign_client_free(cosign_client *client);

/**
 * The default options: the legacy format, a journal, no annotations. Thread-safe.
 * @return the options, never NULL; owned: cosign_sign_options_free. @since 0.1
 */
COSIGN_API cosign_sign_options *cosign_sign_options_new(void);

/**
 * Signs this pair along with the image's digest. One thread at a time.
 * @param options  required; NULL does nothing
 * @param key      required, not empty
 * @param value    required. @since 0.1
 */
COSIGN_API void cosign_sign_options_add_annotation(cosign_sign_options *options, const char *key, const char *value);

/**
 * Sets the format of the signature. One thread at a time.
 * @param options  required; NULL does nothing
 * @param format   required: "legacy" (the default; what cosign 1 to 3, skopeo and podman read), "bundle" (sigstore's,
 *                 which cosign 3 writes) or "both". @since 0.1
 */
COSIGN_API void cosign_sign_options_set_format(cosign_sign_options *options, const char *format);

/**
 * Whether a journal protects the signature from others who sign at the same time; it does by default. Without it
 * signing takes fewer requests, and signatures can be lost. One thread at a time.
 * @param options  required; NULL does nothing
 * @param journal  0 writes none; anything else writes one. @since 0.1
 */
COSIGN_API void cosign_sign_options_set_journal(cosign_sign_options *options, int32_t journal);

/**
 * Sets what the legacy payload calls the image instead of its repository. One thread at a time.
 * @param options   required; NULL does nothing
 * @param identity  required. @since 0.1
 */
COSIGN_API void cosign_sign_options_set_identity(cosign_sign_options *options, const char *identity);

/**
 * Whether a new legacy signature image has Docker's media types; it does not by default. One thread at a time.
 * @param options  required; NULL does nothing
 * @param docker   0: OCI's; anything else: Docker's. @since 0.1
 */
COSIGN_API void cosign_sign_options_set_docker_media_types(cosign_sign_options *options, int32_t docker);

/**
 * Names the image's entry in its layout, in the write that signs it. One thread at a time.
 * @param options  required; NULL does nothing
 * @param tag      required; an error for an image in a registry. @since 0.1
 */
COSIGN_API void cosign_sign_options_set_layout_tag(cosign_sign_options *options, const char *tag);

/**
 * Sets the suffix of the legacy signature's tag. One thread at a time.
 * @param options  required; NULL does nothing
 * @param suffix   required: ".sig" (the default), or ".cosign" as in 2021. @since 0.1
 */
COSIGN_API void cosign_sign_options_set_tag_suffix(cosign_sign_options *options, const char *suffix);

/**
 * Whether everything that an index leads to is signed as well, each image for itself; it is not by default. At most 1,000
 * images, four levels deep. One thread at a time.
 * @param options    required; NULL does nothing
 * @param recursive  0: the index alone; anything else: all of them. @since 0.1
 */
COSIGN_API
void cosign_sign_options_set_recursive(cosign_sign_options *options,
                                       int32_t recursive);

/**
 * Whether the signature goes to the transparency log of the client, which tells everybody that it was made, by whom and of
 * what digest. The JSON of the result says what came of it. One thread at a time.
 * @param options  required; NULL does nothing
 * @param tlog     required: "never" (the default), "public" (if everybody may read the image; images in layouts are
 *                 private) or "always". @since 0.1
 */
COSIGN_API
void cosign_sign_options_set_tlog(cosign_sign_options *options,
                                  const char *tlog);

/**
 * Sets the spelling of the legacy payload. One thread at a time.
 * @param options  required; NULL does nothing
 * @param form     required: "today" (the default), or "2021" as cosign wrote it in March 2021. @since 0.1
 */
COSIGN_API void cosign_sign_options_set_payload_form(cosign_sign_options *options, const char *form);

/**
 * Sets the exact bytes to sign or to attach, in any format, instead of a payload of our own; the legacy format only.
 * One thread at a time.
 * @param options  required; NULL does nothing
 * @param data     the bytes, copied; required, not empty
 * @param len      how many, at most 1 MiB. @since 0.1
 */
COSIGN_API void cosign_sign_options_set_payload(cosign_sign_options *options, const void *data, size_t len);

/**
 * Frees the options. Any thread, once.
 * @param options  the options; NULL does nothing. @since 0.1
 */
COSIGN_API void cosign_sign_options_free(cosign_sign_options *options);

/**
 * Signs what `reference` names now, and stores the signature beside it in the registry or layout, so that others who
 * sign at the same time lose nothing. COSIGN_OK means that it is signed; cosign_signed_status says how well the
 * signature is stored. Blocks; network, or files for a layout. Thread-safe on the same client.
 * @param client     required
 * @param reference  "registry/repo:tag", "registry/repo@sha256:..." or "oci:PATH[:TAG]"; required
 * @param key        required
 * @param options    NULL for the defaults
 * @param call       NULL: no limit but the built-in ones
 * @param out        NULL, or receives what was done (owned: cosign_signed_free)
 * @param err        NULL, or receives the error (owned: cosign_error_free)
 * @return COSIGN_OK; 1xx usage, 2xx key, 4xx registry, 5xx stopped, 6xx file. @since 0.1
 */
COSIGN_API
COSIGN_MUST_USE
cosign_code cosign_sign_image(const cosign_client *client,
                              const char *reference,
                              const cosign_private_key *key,
                              const cosign_sign_options *options,
                              const cosign_call *call,
                              cosign_signed **out,
                              cosign_error **err);

/**
 * The digest that was signed, "sha256:...". Thread-safe.
 * @param result  the result; NULL gives ""
 * @return the text, never NULL; borrowed from `result`. @since 0.1
 */
COSIGN_API const char *cosign_signed_digest(const cosign_signed *result);

/**
 * The image pinned to that digest: "registry/repo@sha256:..." or "oci:PATH@sha256:...". Thread-safe.
 * @param result  the result; NULL gives ""
 * @return the text, never NULL; borrowed from `result`. @since 0.1
 */
COSIGN_API const char *cosign_signed_reference(const cosign_signed *result);

/**
 * The status of the least protected of the signatures: "stored", "stored_unprotected" or "journal_only". Thread-safe.
 * @param result  the result; NULL gives ""
 * @return the text, never NULL; borrowed from `result`. @since 0.1
 */
COSIGN_API const char *cosign_signed_status(const cosign_signed *result);

/**
 * Why that status is not "stored", as one line of English. Thread-safe.
 * @param result  the result; NULL gives ""
 * @return the text, "" for "stored", never NULL; borrowed from `result`. @since 0.1
 */
COSIGN_API const char *cosign_signed_reason(const cosign_signed *result);

/**
 * Whether anything new was stored: a key that has signed the same before adds nothing in the legacy format.
 * Thread-safe.
 * @param result  the result; NULL gives 0
 * @return 1 or 0. @since 0.1
 */
COSIGN_API int32_t cosign_signed_added(const cosign_signed *result);

/**
 * Whether the image's entry in its layout has no name, which tools that copy by name need beside a signature.
 * Thread-safe.
 * @param result  the result; NULL gives 0
 * @return 1 or 0; 0 for registries. @since 0.1
 */
COSIGN_API int32_t cosign_signed_layout_needs_name(const cosign_signed *result);

/**
 * How many signatures there are: one for each format; with cosign_sign_options_set_recursive for each format and image,
 * those of the index first. Thread-safe.
 * @param result  the result; NULL gives 0
 * @return the number. @since 0.1
 */
COSIGN_API size_t cosign_signed_count(const cosign_signed *result);

/**
 * The image that one signature is of, pinned: the one that was named, or one that its index leads to. Thread-safe.
 * @param result  the result; NULL gives ""
 * @param index   from 0; at or above cosign_signed_count gives ""
 * @return the text, never NULL; borrowed from `result`. @since 0.1
 */
COSIGN_API const char *cosign_signed_reference_at(const cosign_signed *result, size_t index);

/**
 * The format of one signature: "legacy" or "bundle". Thread-safe.
 * @param result  the result; NULL gives ""
 * @param index   from 0; at or above cosign_signed_count gives ""
 * @return the text, never NULL; borrowed from `result`. @since 0.1
 */
COSIGN_API const char *cosign_signed_format_at(const cosign_signed *result, size_t index);

/**
 * Where one signature is: "registry/repo:sha256-....sig", or the pinned manifest of a bundle. Thread-safe.
 * @param result  the result; NULL gives ""
 * @param index   from 0; at or above cosign_signed_count gives ""
 * @return the text, never NULL; borrowed from `result`. @since 0.1
 */
COSIGN_API const char *cosign_signed_place_at(const cosign_signed *result, size_t index);

/**
 * The status of one signature: "stored", "stored_unprotected" or "journal_only". Thread-safe.
 * @param result  the result; NULL gives ""
 * @param index   from 0; at or above cosign_signed_count gives ""
 * @return the text, never NULL; borrowed from `result`. @since 0.1
 */
COSIGN_API const char *cosign_signed_status_at(const cosign_signed *result, size_t index);

/**
 * Why the status of one signature is not "stored". Thread-safe.
 * @param result  the result; NULL gives ""
 * @param index   from 0; at or above cosign_signed_count gives ""
 * @return the text, "" for "stored", never NULL; borrowed from `result`. @since 0.1
 */
COSIGN_API const char *cosign_signed_reason_at(const cosign_signed *result, size_t index);

/**
 * Whether one signature is new. Thread-safe.
 * @param result  the result; NULL gives 0
 * @param index   from 0; at or above cosign_signed_count gives 0
 * @return 1 or 0. @since 0.1
 */
COSIGN_API int32_t cosign_signed_added_at(const cosign_signed *result, size_t index);

/**
 * The result as JSON. Thread-safe.
 * @param result  the result; NULL gives ""
 * @return the text, never NULL; borrowed from `result`. @since 0.1
 */
COSIGN_API const char *cosign_signed_json(const cosign_signed *result);

/**
 * Frees a result and every text borrowed from it. Any thread, once.
 * @param result  the result; NULL does nothing. @since 0.1
 */
COSIGN_API void cosign_signed_free(cosign_signed *result);

/**
 * A policy that demands nothing yet, which verification refuses: add a key. Thread-safe.
 * @return the policy, never NULL; owned: cosign_policy_free. @since 0.1
 */
COSIGN_API cosign_policy *cosign_policy_new(void);

/**
 * Accepts signatures of this key. Of several keys any one will do, unless cosign_policy_set_threshold demands more.
 * One thread at a time.
 * @param policy  required; NULL does nothing
 * @param key     required; copied. @since 0.1
 */
COSIGN_API void cosign_policy_add_key(cosign_policy *policy, const cosign_public_key *key);

/**
 * Demands that the signed annotations hold this pair. One thread at a time.
 * @param policy  required; NULL does nothing
 * @param key     required, not empty
 * @param value   required. @since 0.1
 */
COSIGN_API void cosign_policy_require_annotation(cosign_policy *policy, const char *key, const char *value);

/**
 * Demands acceptable signatures of this many distinct keys; 1 by default. One thread at a time.
 * @param policy     required; NULL does nothing
 * @param threshold  at least 1, and not more than the keys of the policy; else verification is
 *                   COSIGN_ERR_POLICY_EMPTY. @since 0.1
 */
COSIGN_API void cosign_policy_set_threshold(cosign_policy *policy, uint32_t threshold);

/**
 * Whether each counted signature must have an entry in a transparency log that the policy trusts: beside the signature, or
 * found in the log of the client. A policy that demands one and trusts no log is COSIGN_ERR_POLICY_EMPTY. One thread at a
 * time.
 * @param policy  required; NULL does nothing
 * @param tlog    0 demands none (the default); anything else does. @since 0.1
 */
COSIGN_API
void cosign_policy_set_tlog(cosign_policy *policy,
                            int32_t tlog);

/**
 * Trusts the transparency log with this key; none is built in. An entry beside a signature is judged as soon as a log is
 * trusted, whether one is demanded or not. One thread at a time.
 * @param policy  required; NULL does nothing
 * @param key     the log's public key, required; copied. @since 0.1
 */
COSIGN_API
void cosign_policy_add_log_key(cosign_policy *policy,
                               const cosign_public_key *key);

/**
 * Trusts the transparency logs of a trusted root, beside those trusted before. One thread at a time.
 * @param policy  required; NULL does nothing
 * @param json    a trusted_root.json, required
 * @param len     how many bytes. @since 0.1
 */
COSIGN_API void cosign_policy_add_trusted_root(cosign_policy *policy, const void *json, size_t len);

/**
 * Frees a policy. Any thread, once.
 * @param policy  the policy; NULL does nothing. @since 0.1
 */
COSIGN_API void cosign_policy_free(cosign_policy *policy);

/**
 * The default options: both formats, the journal, every check. Thread-safe.
 * @return the options, never NULL; owned: cosign_verify_options_free. @since 0.1
 */
COSIGN_API cosign_verify_options *cosign_verify_options_new(void);

/**
 * Looks for signatures of one format only. One thread at a time.
 * @param options  required; NULL does nothing
 * @param format   required: "legacy", "bundle" or "both" (the default). @since 0.1
 */
COSIGN_API void cosign_verify_options_set_format(cosign_verify_options *options, const char *format);

/**
 * Whether the journal is read when the standard places hold nothing acceptable; it is by default. One thread at a time.
 * @param options  required; NULL does nothing
 * @param journal  0 never reads it; anything else does. @since 0.1
 */
COSIGN_API void cosign_verify_options_set_journal(cosign_verify_options *options, int32_t journal);

/**
 * Sets the suffix of the legacy signature's tag. One thread at a time.
 * @param options  required; NULL does nothing
 * @param suffix   required: ".sig" (the default), or ".cosign" as in 2021. @since 0.1
 */
COSIGN_API void cosign_verify_options_set_tag_suffix(cosign_verify_options *options, const char *suffix);

/**
 * Reads this signature image, of the legacy format, instead of looking for signatures of the image. One thread at a
 * time.
 * @param options    required; NULL does nothing
 * @param reference  "registry/repo:tag", "registry/repo@sha256:..." or "oci:PATH:TAG"; required. @since 0.1
 */
COSIGN_API void cosign_verify_options_set_signature_reference(cosign_verify_options *options, const char *reference);

/**
 * Whether no transparency log is asked: an entry that the policy demands must then stand beside the signature. One thread
 * at a time.
 * @param options  required; NULL does nothing
 * @param offline  0 asks the client's log where it must (the default); anything else never does. @since 0.1
 */
COSIGN_API
void cosign_verify_options_set_offline(cosign_verify_options *options,
                                       int32_t offline);

/**
 * Accepts legacy payloads of any type: a signature that was made for something else may count. The report says so. One
 * thread at a time.
 * @param options  required; NULL does nothing. @since 0.1
 */
COSIGN_API void cosign_verify_options_dangerous_any_payload_type(cosign_verify_options *options);

/**
 * Counts attestations by an accepted key as signatures too, as cosign 3.1 does: a statement that a scan failed may
 * count. The report says so. One thread at a time.
 * @param options  required; NULL does nothing. @since 0.1
 */
COSIGN_API void cosign_verify_options_dangerous_any_predicate_type(cosign_verify_options *options);

/**
 * Does not check what the payload says: a signature of another image, stored beside this one, counts. The report says
 * so. One thread at a time.
 * @param options  required; NULL does nothing. @since 0.1
 */
COSIGN_API void cosign_verify_options_dangerous_ignore_claims(cosign_verify_options *options);

/**
 * Frees the options. Any thread, once.
 * @param options  the options; NULL does nothing. @since 0.1
 */
COSIGN_API void cosign_verify_options_free(cosign_verify_options *options);

/**
 * COSIGN_OK means: the policy is met. `*out` then says by whom, and for which digest; use that digest, not the tag,
 * from here on. On any other result `*out` is NULL. A policy without a key is an error. Signatures of both formats
 * are looked for, and the journal when those are not enough. Blocks; network, or files for a layout. Thread-safe on
 * the same client and policy.
 * @param client     required
 * @param reference  "registry/repo:tag", "registry/repo@sha256:..." or "oci:PATH[:TAG]"; required
 * @param policy     required
 * @param call       NULL: no limit but the built-in ones
 * @param out        required; receives the proof (owned: cosign_verification_free)
 * @param err        NULL, or receives the error (owned: cosign_error_free); its JSON carries the report
 * @return COSIGN_OK; 1xx usage, 3xx refused, 4xx unknown: the evidence could not be read (but 402: no such image),
 *         5xx stopped, 6xx file. @since 0.1
 */
COSIGN_API
COSIGN_MUST_USE
cosign_code cosign_verify_image(const cosign_client *client,
                                const char *reference,
                                const cosign_policy *policy,
                                const cosign_call *call,
                                cosign_verification **out,
                                cosign_error **err);

/**
 * cosign_verify_image with options. Blocks; network, or files for a layout. Thread-safe on the same client, policy
 * and options.
 * @param client     required
 * @param reference  "registry/repo:tag", "registry/repo@sha256:..." or "oci:PATH[:TAG]"; required
 * @param policy     required
 * @param options    NULL for the defaults
 * @param call       NULL: no limit but the built-in ones
 * @param out        required; receives the proof (owned: cosign_verification_free)
 * @param err        NULL, or receives the error (owned: cosign_error_free); its JSON carries the report
 * @return as cosign_verify_image. @since 0.1
 */
COSIGN_API
COSIGN_MUST_USE
cosign_code cosign_verify_image_with(const cosign_client *client,
                                     const char *reference,
                                     const cosign_policy *policy,
                                     const cosign_verify_options *options,
                                     const cosign_call *call,
                                     cosign_verification **out,
                                     cosign_error **err);

/**
 * The digest that was verified, "sha256:...". Act on it, not on the tag. Thread-safe.
 * @param verification  the proof; NULL gives ""
 * @return the text, never NULL; borrowed from `verification`. @since 0.1
 */
COSIGN_API const char *cosign_verification_digest(const cosign_verification *verification);

/**
 * The image pinned to that digest: "registry/repo@sha256:..." or "oci:PATH@sha256:...". Thread-safe.
 * @param verification  the proof; NULL gives ""
 * @return the text, never NULL; borrowed from `verification`. @since 0.1
 */
COSIGN_API const char *cosign_verification_reference(const cosign_verification *verification);

/**
 * How many signatures the policy accepted. Thread-safe.
 * @param verification  the proof; NULL gives 0
 * @return the number, at least 1 for a proof. @since 0.1
 */
COSIGN_API size_t cosign_verification_count(const cosign_verification *verification);

/**
 * The format of an accepted signature: "legacy" or "bundle". Thread-safe.
 * @param verification  the proof; NULL gives ""
 * @param index         from 0; at or above cosign_verification_count gives ""
 * @return the text, never NULL; borrowed from `verification`. @since 0.1
 */
COSIGN_API const char *cosign_verification_format_at(const cosign_verification *verification, size_t index);

/**
 * The exact bytes that an accepted signature signed, with a NUL after the last one: the simple-signing payload of a
 * legacy signature, the in-toto statement of a bundle. Thread-safe.
 * @param verification  the proof; NULL gives ""
 * @param index         from 0; at or above cosign_verification_count gives ""
 * @param len           NULL, or receives how many bytes
 * @return the bytes, never NULL; borrowed from `verification`. @since 0.1
 */
COSIGN_API const char *cosign_verification_payload(const cosign_verification *verification, size_t index, size_t *len);

/**
 * The proof as JSON: the digest, and every signature with every check: passed, failed or skipped, and why.
 * Thread-safe.
 * @param verification  the proof; NULL gives ""
 * @return the text, never NULL; borrowed from `verification`. @since 0.1
 */
COSIGN_API const char *cosign_verification_json(const cosign_verification *verification);

/**
 * Frees a proof and every text borrowed from it. Any thread, once.
 * @param verification  the proof; NULL does nothing. @since 0.1
 */
COSIGN_API void cosign_verification_free(cosign_verification *verification);

/**
 * Removes the signatures, attestations and SBOMs of an image, the journal first, so that nobody who signs later brings
 * them back. Asks no question. A manifest that other tags name is left, and told in "kept". In a layout, payloads that
 * nothing leads to any more stay. Blocks; network, or files for a layout. Thread-safe on the same client.
 * @param client     required
 * @param reference  "registry/repo:tag", "registry/repo@sha256:..." or "oci:PATH[:TAG]"; required
 * @param kind       NULL for "all", or "signature", "attestation", "referrer", "sbom"
 * @param call       NULL: no limit but the built-in ones
 * @param out        required; receives {"digest", "reference", "removed": [{"place", "by_digest", "note"}], "kept":
 *                   [{"place", "reason"}]} (owned: cosign_buffer_free)
 * @param err        NULL, or receives the error (owned: cosign_error_free); its JSON says what was "removed" before
 * @return COSIGN_OK; COSIGN_ERR_UNSUPPORTED when the registry deletes nothing; 1xx usage, 4xx registry, 5xx stopped,
 *         6xx file. @since 0.1
 */
COSIGN_API
COSIGN_MUST_USE
cosign_code cosign_clean_image(const cosign_client *client,
                               const char *reference,
                               const char *kind,
                               const cosign_call *call,
                               cosign_buffer **out,
                               cosign_error **err);

/**
 * Removes journal entries that are older than 24 hours and in their standard place, or whose image is gone. Blocks;
 * network. A layout has no journal. Thread-safe on the same client.
 * @param client            required
 * @param reference         "registry/repo:tag", "registry/repo@sha256:..." or "oci:PATH[:TAG]"; required
 * @param repair            not 0: merges what the standard places have lost first, whatever its age
 * @param whole_repository  not 0: the journals of all images in the repository
 * @param call              NULL: no limit but the built-in ones
 * @param out               required; receives {"removed": [{"place", "by_digest", "note"}], "kept": [{"place",
 *                          "reason"}], "repaired": [{"place", "status", "reason"}], "lost", "images"} (owned:
 *                          cosign_buffer_free); "lost" counts entries that a repair would merge
 * @param err               NULL, or receives the error (owned: cosign_error_free)
 * @return COSIGN_OK; 1xx usage, 4xx registry, 5xx stopped, 6xx file. @since 0.1
 */
COSIGN_API
COSIGN_MUST_USE
cosign_code cosign_gc(const cosign_client *client,
                      const char *reference,
                      int32_t repair,
                      int32_t whole_repository,
                      const cosign_call *call,
                      cosign_buffer **out,
                      cosign_error **err);

/**
 * Copies an image with all that hangs on it between registries and layouts: an index with its children, what refers to
 * it, attestations, SBOM, signatures last. Signatures are merged into those at the destination. Blobs that are there
 * are not sent again. Blocks; network, or files between layouts. Thread-safe on the same client.
 * @param client       required
 * @param source       "registry/repo:tag", "registry/repo@sha256:..." or "oci:PATH[:TAG]"; required
 * @param destination  the same; a folder that is not there becomes a layout; required
 * @param only         NULL for all, or of "sig", "att", "sbom" those that are to be copied, with commas
 * @param platform     NULL for all, or "os/architecture[/variant]": of an index only that image
 * @param force        not 0: the destination's name may be taken from another image
 * @param call         NULL: no limit but the built-in ones
 * @param out          required; receives {"digest", "source", "destination", "manifests", "blobs_sent", "blobs_there",
 *                     "added", "status", "reason", "left": [{"place", "reason"}]} (owned: cosign_buffer_free)
 * @param err          NULL, or receives the error (owned: cosign_error_free)
 * @return COSIGN_OK; COSIGN_ERR_FILE_EXISTS when the destination names another image; 1xx usage, 4xx registry, 5xx
 *         stopped, 6xx file. @since 0.1
 */
COSIGN_API
COSIGN_MUST_USE
cosign_code cosign_copy_image(const cosign_client *client,
                              const char *source,
                              const char *destination,
                              const char *only,
                              const char *platform,
                              int32_t force,
                              const cosign_call *call,
                              cosign_buffer **out,
                              cosign_error **err);

/**
 * The default options. Thread-safe.
 * @return the options, never NULL; owned: cosign_batch_options_free. @since 0.1
 */
COSIGN_API cosign_batch_options *cosign_batch_options_new(void);

/**
 * How many images are verified at once, on all hosts together; 256 by default. Eight times as many references are taken
 * ahead of the results. One thread at a time.
 * @param options  required; NULL does nothing
 * @param images   at least 1. @since 0.1
 */
COSIGN_API void cosign_batch_options_set_at_once(cosign_batch_options *options, uint32_t images);

/**
 * How many images are verified at once on one registry host; 100 by default. One thread at a time.
 * @param options  required; NULL does nothing
 * @param images   at least 1. @since 0.1
 */
COSIGN_API void cosign_batch_options_set_per_host(cosign_batch_options *options, uint32_t images);

/**
 * Limits the time of each image, from its first request; then its result is COSIGN_ERR_TIMEOUT. The time limit of the
 * call is that of the whole batch. One thread at a time.
 * @param options     required; NULL does nothing
 * @param timeout_ms  milliseconds; 0 is what a single call has by default. @since 0.1
 */
COSIGN_API void cosign_batch_options_set_image_timeout_ms(cosign_batch_options *options, uint64_t timeout_ms);

/**
 * Frees the options. Any thread, once.
 * @param options  the options; NULL does nothing. @since 0.1
 */
COSIGN_API void cosign_batch_options_free(cosign_batch_options *options);

/**
 * Verifies many images over shared connections and hands out each result as soon as it is known: what
 * cosign_verify_image would have said of that reference. A tag that is given many times is resolved once, an image that
 * is in hand already is not verified twice. on_result runs on this thread, once for each reference, unless it stops the
 * batch. Blocks; network, or files for layouts. Thread-safe on the same client, policy and options.
 * @param client      required
 * @param references  count texts, each as for cosign_verify_image; one that is malformed is an error of its own. NULL
 *                    only with count 0
 * @param count       how many
 * @param policy      required
 * @param options     NULL for the defaults
 * @param batch       NULL for the defaults
 * @param call        NULL: no limit but each image's built-in ones; its time limit is that of the whole batch
 * @param on_result   required
 * @param user_data   handed to on_result; may be NULL
 * @param err         NULL, or receives the error (owned: cosign_error_free)
 * @return COSIGN_OK: every reference was answered, which says nothing of their verdicts; 500 or 501: stopped by the
 *         call, and those not yet verified were answered with that; 500 or 502: stopped by on_result; 1xx usage. @since 0.1
 */
COSIGN_API
COSIGN_MUST_USE
cosign_code cosign_verify_images(const cosign_client *client,
                                 const char *const *references,
                                 size_t count,
                                 const cosign_policy *policy,
                                 const cosign_verify_options *options,
                                 const cosign_batch_options *batch,
                                 const cosign_call *call,
                                 cosign_result_cb on_result,
                                 void *user_data,
                                 cosign_error **err);

/**
 * cosign_verify_images for references that are asked for one by one, at most eight times at_once ahead of the results:
 * for lists that have no end, or do not fit into memory. When the call is stopped no more are asked for; those taken are
 * answered. Both callbacks run on this thread. Blocks; network, or files for layouts. Thread-safe on the same client,
 * policy and options.
 * @param client     required
 * @param next       required; gives the references
 * @param policy     required
 * @param options    NULL for the defaults
 * @param batch      NULL for the defaults
 * @param call       NULL: no limit but each image's built-in ones; its time limit is that of the whole batch
 * @param on_result  required
 * @param user_data  handed to next and on_result; may be NULL
 * @param err        NULL, or receives the error (owned: cosign_error_free)
 * @return as cosign_verify_images; 502 also when next failed. @since 0.1
 */
COSIGN_API
COSIGN_MUST_USE
cosign_code cosign_verify_images_from(const cosign_client *client,
                                      cosign_reference_cb next,
                                      const cosign_policy *policy,
                                      const cosign_verify_options *options,
                                      const cosign_batch_options *batch,
                                      const cosign_call *call,
                                      cosign_result_cb on_result,
                                      void *user_data,
                                      cosign_error **err);

/**
 * Signs what a callback reads, as cosign sign-blob does, without holding it. With Ed25519 keys it is held, and has at
 * most 64 MiB. Thread-safe on the same key.
 * @param key        required
 * @param read       required; called on this thread until it reads 0 bytes
 * @param user_data  handed to `read`; may be NULL
 * @param finalizer  destroys user_data, exactly once, before this returns; NULL: nothing to destroy
 * @param form       NULL or "raw", "base64", "bundle" (sigstore's, as cosign 3 writes it) or "old-bundle" (the JSON
 *                   before it)
 * @param hash       NULL: the one of the key's kind; or "sha256" with P-384 and P-521
 * @param call       NULL: no limit; looked at between two pieces
 * @param out        required; receives the signature in that form (owned: cosign_buffer_free)
 * @param err        NULL, or receives the error (owned: cosign_error_free)
 * @return COSIGN_OK; 1xx usage (104: too large for the key), 5xx stopped. @since 0.1
 */
COSIGN_API
COSIGN_MUST_USE
cosign_code cosign_sign_blob(const cosign_private_key *key,
                             cosign_read_cb read,
                             void *user_data,
                             cosign_finalizer finalizer,
                             const char *form,
                             const char *hash,
                             const cosign_call *call,
                             cosign_buffer **out,
                             cosign_error **err);

/**
 * cosign_sign_blob of bytes in memory. Thread-safe on the same key.
 * @param key   required
 * @param data  the blob; NULL with `len` 0 is the empty one
 * @param len   how many bytes
 * @param form  NULL or "raw", "base64", "bundle" or "old-bundle"
 * @param hash  NULL: the one of the key's kind; or "sha256" with P-384 and P-521
 * @param call  NULL: no limit; looked at between two pieces
 * @param out   required; receives the signature in that form (owned: cosign_buffer_free)
 * @param err   NULL, or receives the error (owned: cosign_error_free)
 * @return COSIGN_OK; 1xx usage (104: too large for the key), 5xx stopped. @since 0.1
 */
COSIGN_API
COSIGN_MUST_USE
cosign_code cosign_sign_blob_buffer(const cosign_private_key *key,
                                    const void *data,
                                    size_t len,
                                    const char *form,
                                    const char *hash,
                                    const cosign_call *call,
                                    cosign_buffer **out,
                                    cosign_error **err);

/**
 * cosign_sign_blob of a file. Blocks; files. Thread-safe on the same key.
 * @param key   required
 * @param path  the file, required
 * @param form  NULL or "raw", "base64", "bundle" or "old-bundle"
 * @param hash  NULL: the one of the key's kind; or "sha256" with P-384 and P-521
 * @param call  NULL: no limit; looked at between two pieces
 * @param out   required; receives the signature in that form (owned: cosign_buffer_free)
 * @param err   NULL, or receives the error (owned: cosign_error_free)
 * @return COSIGN_OK; 1xx usage (104: too large for the key), 5xx stopped, 6xx file. @since 0.1
 */
COSIGN_API
COSIGN_MUST_USE
cosign_code cosign_sign_blob_file(const cosign_private_key *key,
                                  const char *path,
                                  const char *form,
                                  const char *hash,
                                  const cosign_call *call,
                                  cosign_buffer **out,
                                  cosign_error **err);

/**
 * COSIGN_OK means: what the callback read to its end is signed as the policy demands. On any other result `*out` is NULL.
 * The blob is not held. A policy without a key is an error, and one that demands annotations too: blobs have none. Of
 * `*out`, cosign_verification_digest says the hash of what was read, and cosign_verification_reference its name; its
 * payloads are empty. Thread-safe on the same policy and options.
 * @param read       required; called on this thread until it reads 0 bytes
 * @param user_data  handed to `read`; may be NULL
 * @param finalizer  destroys user_data, exactly once, before this returns; NULL: nothing to destroy
 * @param policy     required
 * @param options    required: the signatures
 * @param call       NULL: no limit; looked at between two pieces
 * @param out        required; receives the proof (owned: cosign_verification_free)
 * @param err        NULL, or receives the error (owned: cosign_error_free); its JSON carries the report
 * @return COSIGN_OK; 1xx usage, 3xx refused, 5xx stopped. @since 0.1
 */
COSIGN_API
COSIGN_MUST_USE
cosign_code cosign_verify_blob(cosign_read_cb read,
                               void *user_data,
                               cosign_finalizer finalizer,
                               const cosign_policy *policy,
                               const cosign_verify_blob_options *options,
                               const cosign_call *call,
                               cosign_verification **out,
                               cosign_error **err);

/**
 * cosign_verify_blob of bytes in memory. Thread-safe on the same policy and options.
 * @param data     the blob; NULL with `len` 0 is the empty one
 * @param len      how many bytes
 * @param policy   required
 * @param options  required: the signatures
 * @param call     NULL: no limit; looked at between two pieces
 * @param out      required; receives the proof (owned: cosign_verification_free)
 * @param err      NULL, or receives the error (owned: cosign_error_free); its JSON carries the report
 * @return COSIGN_OK; 1xx usage, 3xx refused, 5xx stopped. @since 0.1
 */
COSIGN_API
COSIGN_MUST_USE
cosign_code cosign_verify_blob_buffer(const void *data,
                                      size_t len,
                                      const cosign_policy *policy,
                                      const cosign_verify_blob_options *options,
                                      const cosign_call *call,
                                      cosign_verification **out,
                                      cosign_error **err);

/**
 * cosign_verify_blob of a file. Blocks; files. Thread-safe on the same policy and options.
 * @param path     the file, required
 * @param policy   required
 * @param options  required: the signatures
 * @param call     NULL: no limit; looked at between two pieces
 * @param out      required; receives the proof (owned: cosign_verification_free)
 * @param err      NULL, or receives the error (owned: cosign_error_free); its JSON carries the report
 * @return COSIGN_OK; 1xx usage, 3xx refused, 5xx stopped, 6xx file. @since 0.1
 */
COSIGN_API
COSIGN_MUST_USE
cosign_code cosign_verify_blob_file(const char *path,
                                    const cosign_policy *policy,
                                    const cosign_verify_blob_options *options,
                                    const cosign_call *call,
                                    cosign_verification **out,
                                    cosign_error **err);

/**
 * No signature yet, which verification refuses: add one. Thread-safe.
 * @return the options, never NULL; owned: cosign_verify_blob_options_free. @since 0.1
 */
COSIGN_API cosign_verify_blob_options *cosign_verify_blob_options_new(void);

/**
 * Adds a signature by itself, raw or in base64. All that are added count together for the policy's threshold. One thread
 * at a time.
 * @param options  required; NULL does nothing
 * @param data     the signature's bytes; NULL with `len` 0 is an empty one, which is refused
 * @param len      how many bytes. @since 0.1
 */
COSIGN_API
void cosign_verify_blob_options_add_signature(cosign_verify_blob_options *options,
                                              const void *data,
                                              size_t len);

/**
 * Adds a bundle: sigstore's, or the JSON before it. A key inside it is never trusted. One thread at a time.
 * @param options  required; NULL does nothing
 * @param data     the bundle's bytes; NULL with `len` 0 is an empty one, which is refused
 * @param len      how many bytes. @since 0.1
 */
COSIGN_API
void cosign_verify_blob_options_add_bundle(cosign_verify_blob_options *options,
                                           const void *data,
                                           size_t len);

/**
 * Sets what the report and errors call the blob; a file's path by default. One thread at a time.
 * @param options  required; NULL does nothing
 * @param name     required. @since 0.1
 */
COSIGN_API void cosign_verify_blob_options_set_name(cosign_verify_blob_options *options, const char *name);

/**
 * Sets the only hash that signatures may be over; by default each that the key's kind signs with, or the one that a
 * bundle names. One thread at a time.
 * @param options  required; NULL does nothing
 * @param hash     required: "sha256", "sha384" or "sha512". @since 0.1
 */
COSIGN_API void cosign_verify_blob_options_set_hash(cosign_verify_blob_options *options, const char *hash);

/**
 * Frees the options. Any thread, once.
 * @param options  the options; NULL does nothing. @since 0.1
 */
COSIGN_API void cosign_verify_blob_options_free(cosign_verify_blob_options *options);

/**
 * Gives the payload that cosign_sign_image signs with the same options: another program may sign it, for
 * cosign_attach_signature. A registry is asked only to resolve a tag. Blocks; network, or files for a layout.
 * Thread-safe on the same client and options.
 * @param client     required
 * @param reference  "registry/repo:tag", "registry/repo@sha256:..." or "oci:PATH[:TAG]"; required
 * @param options    NULL for the defaults
 * @param call       NULL: no limit but the built-in ones
 * @param out        required; receives the payload, which has no newline at its end (owned: cosign_buffer_free)
 * @param err        NULL, or receives the error (owned: cosign_error_free)
 * @return COSIGN_OK; 1xx usage, 4xx registry, 5xx stopped, 6xx file. @since 0.1
 */
COSIGN_API
COSIGN_MUST_USE
cosign_code cosign_generate(const cosign_client *client,
                            const char *reference,
                            const cosign_sign_options *options,
                            const cosign_call *call,
                            cosign_buffer **out,
                            cosign_error **err);

/**
 * Signs what cosign_sign_image would sign, and stores nothing. No server is touched when the reference is a digest or
 * the options have a payload. Blocks; network, or files for a layout. Thread-safe on the same client and options.
 * @param client     required
 * @param reference  "registry/repo:tag", "registry/repo@sha256:..." or "oci:PATH[:TAG]"; required
 * @param key        required
 * @param options    NULL for the defaults
 * @param call       NULL: no limit but the built-in ones
 * @param signature  required; receives the raw signature (owned: cosign_buffer_free)
 * @param payload    NULL, or receives the bytes that it signs (owned: cosign_buffer_free)
 * @param err        NULL, or receives the error (owned: cosign_error_free)
 * @return COSIGN_OK; 1xx usage, 2xx key, 4xx registry, 5xx stopped, 6xx file. @since 0.1
 */
COSIGN_API
COSIGN_MUST_USE
cosign_code cosign_sign_detached(const cosign_client *client,
                                 const char *reference,
                                 const cosign_private_key *key,
                                 const cosign_sign_options *options,
                                 const cosign_call *call,
                                 cosign_buffer **signature,
                                 cosign_buffer **payload,
                                 cosign_error **err);

/**
 * Stores a raw signature of an image that was made elsewhere, so that others who sign at the same time lose nothing.
 * What it signs is the payload of the options, kept to the byte, or else what cosign_generate gives for the same
 * options. It is not verified: there is no key to do it with. Blocks; network, or files for a layout. Thread-safe on
 * the same client and options.
 * @param client         required
 * @param reference      "registry/repo:tag", "registry/repo@sha256:..." or "oci:PATH[:TAG]"; required
 * @param signature      the raw bytes, not base64; required, not empty
 * @param signature_len  how many, at most 4 KiB
 * @param options        NULL for the defaults
 * @param call           NULL: no limit but the built-in ones
 * @param out            NULL, or receives what was done (owned: cosign_signed_free)
 * @param err            NULL, or receives the error (owned: cosign_error_free)
 * @return COSIGN_OK; 1xx usage, 4xx registry, 5xx stopped, 6xx file. @since 0.1
 */
COSIGN_API
COSIGN_MUST_USE
cosign_code cosign_attach_signature(const cosign_client *client,
                                    const char *reference,
                                    const void *signature,
                                    size_t signature_len,
                                    const cosign_sign_options *options,
                                    const cosign_call *call,
                                    cosign_signed **out,
                                    cosign_error **err);

/**
 * Gives the signatures that are stored for an image, one line of JSON each; none of them is verified. Blocks; network,
 * or files for a layout. Thread-safe on the same client.
 * @param client     required
 * @param reference  "registry/repo:tag", "registry/repo@sha256:..." or "oci:PATH[:TAG]"; required
 * @param format     NULL or "both": bundles, then legacy signatures; "legacy" or "bundle": only those
 * @param suffix     of the legacy signature's tag; NULL is ".sig", and 2021 had ".cosign"
 * @param lines_2021 0: the lines of today's `cosign download signature`; anything else: those of `cosign download` in
 *                   2021, which say nothing of bundles
 * @param call       NULL: no limit but the built-in ones
 * @param out        required; receives the lines, each with a newline (owned: cosign_buffer_free)
 * @param err        NULL, or receives the error (owned: cosign_error_free)
 * @return COSIGN_OK; 1xx usage, 301: there is none, 4xx registry, 5xx stopped, 6xx file. @since 0.1
 */
COSIGN_API
COSIGN_MUST_USE
cosign_code cosign_download(const cosign_client *client,
                            const char *reference,
                            const char *format,
                            const char *suffix,
                            int32_t lines_2021,
                            const cosign_call *call,
                            cosign_buffer **out,
                            cosign_error **err);

/**
 * Names the place that holds the signatures of an image, "registry/repo:sha256-<hex>.sig"; says nothing about whether
 * there are any. A registry is asked only to resolve a tag. Blocks; network, or files for a layout. Thread-safe on the
 * same client.
 * @param client     required
 * @param reference  "registry/repo:tag", "registry/repo@sha256:..." or "oci:PATH[:TAG]"; required
 * @param suffix     NULL is ".sig"; ".att", ".sbom", or ".cosign" as in 2021
 * @param call       NULL: no limit but the built-in ones
 * @param out        required; receives the name (owned: cosign_buffer_free)
 * @param err        NULL, or receives the error (owned: cosign_error_free)
 * @return COSIGN_OK; 1xx usage, 4xx registry, 5xx stopped, 6xx file. @since 0.1
 */
COSIGN_API
COSIGN_MUST_USE
cosign_code cosign_triangulate(const cosign_client *client,
                               const char *reference,
                               const char *suffix,
                               const cosign_call *call,
                               cosign_buffer **out,
                               cosign_error **err);

/**
 * Lists everything that hangs on an image: signatures, attestations and SBOMs of cosign's formats, the tag of 2021,
 * whatever refers to it, and the journal. Nothing is verified. What could not be read is no error: "complete" is then
 * false, and "unread" says what and why. Blocks; network, or files for a layout. Thread-safe on the same client.
 * @param client     required
 * @param reference  "registry/repo:tag", "registry/repo@sha256:..." or "oci:PATH[:TAG]"; required
 * @param call       NULL: no limit but the built-in ones
 * @param out        required; receives it as JSON, docs/commands.md (owned: cosign_buffer_free)
 * @param err        NULL, or receives the error (owned: cosign_error_free)
 * @return COSIGN_OK; 1xx usage, 4xx registry, 5xx stopped, 6xx file. @since 0.1
 */
COSIGN_API
COSIGN_MUST_USE
cosign_code cosign_tree(const cosign_client *client,
                        const char *reference,
                        const cosign_call *call,
                        cosign_buffer **out,
                        cosign_error **err);

/**
 * Says for each signature of an image which tools can read it, and what to do about those that cannot. Nothing is
 * verified. What could not be read is no error: "complete" is then false, and "unread" says what and why. Blocks;
 * network, or files for a layout. Thread-safe on the same client.
 * @param client     required
 * @param reference  "registry/repo:tag", "registry/repo@sha256:..." or "oci:PATH[:TAG]"; required
 * @param call       NULL: no limit but the built-in ones
 * @param out        required; receives it as JSON, docs/commands.md (owned: cosign_buffer_free)
 * @param err        NULL, or receives the error (owned: cosign_error_free)
 * @return COSIGN_OK; 1xx usage, 4xx registry, 5xx stopped, 6xx file. @since 0.1
 */
COSIGN_API
COSIGN_MUST_USE
cosign_code cosign_doctor(const cosign_client *client,
                          const char *reference,
                          const cosign_call *call,
                          cosign_buffer **out,
                          cosign_error **err);

#ifdef __cplusplus
}
#endif

#endif
