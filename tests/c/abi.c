/* What the C interface promises beyond its types, each promise one function: abi LAYOUT.
 * The layout is a fresh copy with one image, tag v1. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <cosign.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int passed, failed, wrong;
static char image[4096];

#define EXPECT(condition)                                                     \
    do {                                                                      \
        if (!(condition)) {                                                   \
            wrong++;                                                          \
            printf("     line %d: %s\n", __LINE__, #condition);               \
        }                                                                     \
    } while (0)

static long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int threads(void)
{
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *entry;
    while (tasks && (entry = readdir(tasks)) != NULL)
        count += entry->d_name[0] != '.';
    if (tasks) closedir(tasks);
    return count;
}

static cosign_private_key *new_key(void)
{
    cosign_private_key *key = NULL;
    EXPECT(cosign_private_key_generate(NULL, &key, NULL) == COSIGN_OK);
    return key;
}

static cosign_policy *policy_for(const cosign_private_key *key)
{
    cosign_public_key *pub = NULL;
    cosign_policy *policy = cosign_policy_new();
    EXPECT(cosign_private_key_public(key, &pub, NULL) == COSIGN_OK);
    cosign_policy_add_key(policy, pub);
    cosign_public_key_free(pub);
    return policy;
}

static cosign_client *new_client(void)
{
    cosign_client *client = NULL;
    EXPECT(cosign_client_new(NULL, &client, NULL) == COSIGN_OK);
    return client;
}

/* --- version and codes --- */

static void versions_agree(void)
{
    unsigned number = (COSIGN_VERSION_MAJOR << 16) | (COSIGN_VERSION_MINOR << 8) | COSIGN_VERSION_PATCH;
    char text[32];
    EXPECT(number == COSIGN_VERSION_NUMBER);
    EXPECT(cosign_version_number() == COSIGN_VERSION_NUMBER);
    EXPECT(strcmp(cosign_version_string(), COSIGN_VERSION) == 0);
    snprintf(text, sizeof text, "%u.%u.%u", number >> 16, (number >> 8) & 255, number & 255);
    EXPECT(strcmp(text, COSIGN_VERSION) == 0);
}

static void codes_have_names(void)
{
    EXPECT(strcmp(cosign_code_name(COSIGN_OK), "OK") == 0);
    EXPECT(strcmp(cosign_code_name(COSIGN_ERR_NO_SIGNATURES), "NO_SIGNATURES") == 0);
    EXPECT(strcmp(cosign_code_name(COSIGN_ERR_INTERNAL), "INTERNAL") == 0);
    EXPECT(strcmp(cosign_code_name(999), "UNKNOWN") == 0);
    EXPECT(strcmp(cosign_code_name(-1), "UNKNOWN") == 0);
    EXPECT(cosign_has_feature("layout") == 1 && cosign_has_feature("registry") == 1);
    EXPECT(cosign_has_feature("no such") == 0);
}

/* --- signing and verifying a layout --- */

static void a_layout_is_signed_and_verified_without_a_thread(void)
{
    int before = threads();
    cosign_private_key *key = new_key();
    cosign_policy *policy = policy_for(key);
    cosign_client *client = new_client();
    cosign_buffer *pinned = NULL;
    cosign_signed *done = NULL;
    cosign_verification *proof = NULL;
    cosign_error *err = NULL;
    cosign_sign_options *options = cosign_sign_options_new();
    size_t len = 0;
    cosign_sign_options_add_annotation(options, "build", "7");
    EXPECT(cosign_sign_image(client, image, key, options, NULL, &done, &err) == COSIGN_OK);
    EXPECT(strncmp(cosign_signed_digest(done), "sha256:", 7) == 0 && strlen(cosign_signed_digest(done)) == 71);
    cosign_policy_require_annotation(policy, "build", "7");
    EXPECT(cosign_verify_image(client, image, policy, NULL, &proof, &err) == COSIGN_OK);
    EXPECT(err == NULL);
    EXPECT(strcmp(cosign_verification_digest(proof), cosign_signed_digest(done)) == 0);
    EXPECT(cosign_client_resolve(client, image, NULL, &pinned, NULL) == COSIGN_OK);
    EXPECT(strcmp(cosign_verification_reference(proof), cosign_buffer_data(pinned)) == 0);
    EXPECT(strcmp(cosign_signed_reference(done), cosign_buffer_data(pinned)) == 0);
    EXPECT(cosign_verification_count(proof) == 1);
    EXPECT(strstr(cosign_verification_payload(proof, 0, &len), "\"build\":\"7\"") != NULL);
    EXPECT(len == strlen(cosign_verification_payload(proof, 0, NULL)));
    EXPECT(cosign_verification_payload(proof, 1, &len)[0] == 0 && len == 0);
    EXPECT(cosign_verification_json(proof)[0] == '{');
    EXPECT(threads() == before);
    cosign_verification_free(proof);
    cosign_signed_free(done);
    cosign_buffer_free(pinned);
    cosign_sign_options_free(options);
    cosign_client_free(client);
    cosign_policy_free(policy);
    cosign_private_key_free(key);
}

static int same(const char *one, const char *other) { return strcmp(one, other) == 0; }

static void signing_says_where_each_signature_is_and_how_it_is_stored(void)
{
    cosign_private_key *key = new_key();
    cosign_client *client = new_client();
    cosign_sign_options *options = cosign_sign_options_new();
    cosign_signed *done = NULL;
    cosign_sign_options_set_format(options, "both");
    EXPECT(cosign_sign_image(client, image, key, options, NULL, &done, NULL) == COSIGN_OK);
    EXPECT(same(cosign_signed_status(done), "stored") && same(cosign_signed_reason(done), ""));
    EXPECT(cosign_signed_added(done) == 1 && cosign_signed_layout_needs_name(done) == 0);
    EXPECT(cosign_signed_count(done) == 2);
    EXPECT(same(cosign_signed_format_at(done, 0), "legacy") && same(cosign_signed_format_at(done, 1), "bundle"));
    EXPECT(strstr(cosign_signed_place_at(done, 0), ".sig") != NULL);
    EXPECT(strncmp(cosign_signed_place_at(done, 1), "oci:", 4) == 0);
    EXPECT(!same(cosign_signed_place_at(done, 0), cosign_signed_place_at(done, 1)));
    EXPECT(same(cosign_signed_status_at(done, 1), "stored") && same(cosign_signed_reason_at(done, 1), ""));
    EXPECT(cosign_signed_added_at(done, 0) == 1 && cosign_signed_added_at(done, 1) == 1);
    EXPECT(same(cosign_signed_format_at(done, 2), "") && same(cosign_signed_status_at(done, 2), ""));
    EXPECT(same(cosign_signed_place_at(done, 2), "") && same(cosign_signed_reason_at(done, 2), ""));
    EXPECT(cosign_signed_added_at(done, 2) == 0);
    EXPECT(strstr(cosign_signed_json(done), "\"status\":\"stored\"") != NULL);
    cosign_signed_free(done), done = NULL;
    /* The same key again: the legacy signature is there, a bundle is added each time. */
    EXPECT(cosign_sign_image(client, image, key, options, NULL, &done, NULL) == COSIGN_OK);
    EXPECT(cosign_signed_added(done) == 1);
    EXPECT(cosign_signed_added_at(done, 0) == 0 && cosign_signed_added_at(done, 1) == 1);
    cosign_signed_free(done);
    cosign_sign_options_free(options);
    cosign_client_free(client);
    cosign_private_key_free(key);
}

/* An index that leads to the image of the layout, put there as a blob that only its digest names. */
static void an_index_is_signed_with_what_it_leads_to(void)
{
    static const char hex[] = "a5eddf3be3317ac178e8c247c469f1892d203c489e428be2bff0edc71acb873f";
    static const char text[] =
        "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[{\"mediaType\":"
        "\"application/vnd.oci.image.manifest.v1+json\",\"digest\":"
        "\"sha256:ea9afc656d4fdc1d3b6adcc5e9e0afe2f52bf239f37ecd2d0e40628a78614c82\",\"size\":499}]}";
    cosign_private_key *key = new_key();
    cosign_policy *policy = policy_for(key);
    cosign_client *client = new_client();
    cosign_sign_options *options = cosign_sign_options_new();
    cosign_signed *done = NULL;
    cosign_verification *proof = NULL;
    char path[5000], at[5000];
    int folder = (int)(strrchr(image, ':') - image) - 4;
    FILE *blob;
    snprintf(path, sizeof path, "%.*s/blobs/sha256/%s", folder, image + 4, hex);
    snprintf(at, sizeof at, "oci:%.*s@sha256:%s", folder, image + 4, hex);
    blob = fopen(path, "w");
    EXPECT(blob && fwrite(text, 1, sizeof text - 1, blob) == sizeof text - 1 && fclose(blob) == 0);
    EXPECT(cosign_sign_image(client, at, key, options, NULL, &done, NULL) == COSIGN_OK);
    EXPECT(cosign_signed_count(done) == 1 && same(cosign_signed_reference_at(done, 0), at));
    cosign_signed_free(done), done = NULL;
    EXPECT(cosign_verify_image(client, image, policy, NULL, &proof, NULL) == COSIGN_ERR_NO_SIGNATURE_MATCHES);
    cosign_sign_options_set_recursive(options, 1);
    EXPECT(cosign_sign_image(client, at, key, options, NULL, &done, NULL) == COSIGN_OK);
    EXPECT(cosign_signed_count(done) == 2 && same(cosign_signed_reference(done), at));
    EXPECT(same(cosign_signed_reference_at(done, 0), at) && cosign_signed_added_at(done, 0) == 0);
    EXPECT(strstr(cosign_signed_reference_at(done, 1), "@sha256:ea9afc65") != NULL && cosign_signed_added_at(done, 1) == 1);
    EXPECT(same(cosign_signed_reference_at(done, 2), ""));
    EXPECT(cosign_verify_image(client, image, policy, NULL, &proof, NULL) == COSIGN_OK);
    cosign_verification_free(proof);
    cosign_signed_free(done);
    cosign_sign_options_free(options);
    cosign_policy_free(policy);
    cosign_client_free(client);
    cosign_private_key_free(key);
}

static cosign_code verify_format(cosign_client *client, cosign_policy *policy, const char *format, const char *found)
{
    cosign_verify_options *options = cosign_verify_options_new();
    cosign_verification *proof = NULL;
    cosign_code code;
    if (format) cosign_verify_options_set_format(options, format);
    code = cosign_verify_image_with(client, image, policy, options, NULL, &proof, NULL);
    EXPECT((code == COSIGN_OK) == (proof != NULL));
    if (proof) {
        size_t len = 0;
        EXPECT(cosign_verification_count(proof) == 1 && same(cosign_verification_format_at(proof, 0), found));
        EXPECT(cosign_verification_payload(proof, 0, &len)[0] == '{' && len > 100);
        EXPECT(same(cosign_verification_format_at(proof, 1), ""));
    }
    cosign_verification_free(proof);
    cosign_verify_options_free(options);
    return code;
}

static void each_format_is_written_and_asked_for_alone(void)
{
    static const char *const formats[] = {"legacy", "bundle"};
    cosign_client *client = new_client();
    int i;
    for (i = 0; i < 2; i++) {
        cosign_private_key *key = new_key();
        cosign_policy *policy = policy_for(key);
        cosign_sign_options *options = cosign_sign_options_new();
        cosign_sign_options_set_format(options, formats[i]);
        EXPECT(cosign_sign_image(client, image, key, options, NULL, NULL, NULL) == COSIGN_OK);
        EXPECT(verify_format(client, policy, formats[i], formats[i]) == COSIGN_OK);
        EXPECT(verify_format(client, policy, "both", formats[i]) == COSIGN_OK);
        EXPECT(verify_format(client, policy, NULL, formats[i]) == COSIGN_OK);
        EXPECT(verify_format(client, policy, formats[!i], "") == COSIGN_ERR_NO_SIGNATURE_MATCHES);
        cosign_sign_options_free(options);
        cosign_policy_free(policy);
        cosign_private_key_free(key);
    }
    cosign_client_free(client);
}

static void signing_options_reach_what_is_written(void)
{
    cosign_private_key *key = new_key();
    cosign_policy *policy = policy_for(key);
    cosign_client *client = new_client();
    cosign_sign_options *options = cosign_sign_options_new();
    cosign_verify_options *where = cosign_verify_options_new();
    cosign_signed *done = NULL;
    cosign_verification *proof = NULL;
    cosign_sign_options_set_identity(options, "registry.example/app");
    cosign_sign_options_set_tag_suffix(options, ".cosign");
    cosign_sign_options_set_docker_media_types(options, 1);
    cosign_sign_options_set_journal(options, 0);
    EXPECT(cosign_sign_image(client, image, key, options, NULL, &done, NULL) == COSIGN_OK);
    EXPECT(strstr(cosign_signed_place_at(done, 0), ".cosign") != NULL);
    EXPECT(cosign_verify_image(client, image, policy, NULL, &proof, NULL) == COSIGN_ERR_NO_SIGNATURE_MATCHES);
    cosign_verify_options_set_tag_suffix(where, ".cosign");
    cosign_verify_options_set_journal(where, 0);
    EXPECT(cosign_verify_image_with(client, image, policy, where, NULL, &proof, NULL) == COSIGN_OK);
    EXPECT(strstr(cosign_verification_payload(proof, 0, NULL), "registry.example/app") != NULL);
    EXPECT(strstr(cosign_verification_json(proof), "claims not checked") == NULL);
    cosign_verification_free(proof), proof = NULL;
    cosign_verify_options_dangerous_ignore_claims(where);
    cosign_verify_options_dangerous_any_payload_type(where);
    cosign_verify_options_dangerous_any_predicate_type(where);
    EXPECT(cosign_verify_image_with(client, image, policy, where, NULL, &proof, NULL) == COSIGN_OK);
    EXPECT(strstr(cosign_verification_json(proof), "claims not checked") != NULL);
    EXPECT(strstr(cosign_verification_json(proof), "any payload type") != NULL);
    EXPECT(strstr(cosign_verification_json(proof), "any predicate type") != NULL);
    cosign_verification_free(proof);
    cosign_signed_free(done);
    cosign_verify_options_free(where);
    cosign_sign_options_free(options);
    cosign_client_free(client);
    cosign_policy_free(policy);
    cosign_private_key_free(key);
}

static void the_environment_counts_only_when_asked(void)
{
    cosign_client_options *options;
    cosign_client *client = NULL;
    cosign_error *err = NULL;
    EXPECT(setenv("SSL_CERT_FILE", "/no/such/file", 1) == 0);
    client = new_client();
    cosign_client_free(client), client = NULL;
    options = cosign_client_options_from_env();
    EXPECT(cosign_client_new(options, &client, &err) == COSIGN_ERR_IO && client == NULL);
    EXPECT(strstr(cosign_error_message(err), "cosign_client_options_from_env") != NULL);
    EXPECT(strstr(cosign_error_message(err), "/no/such/file") != NULL);
    cosign_error_free(err);
    cosign_client_options_free(options);
    EXPECT(unsetenv("SSL_CERT_FILE") == 0);
    options = cosign_client_options_from_env();
    EXPECT(cosign_client_new(options, &client, NULL) == COSIGN_OK);
    cosign_client_options_free(options);
    cosign_client_free(client);
}

static void refusals_leave_no_proof(void)
{
    cosign_private_key *key = new_key(), *other = new_key();
    cosign_policy *strangers = policy_for(other), *empty = cosign_policy_new(), *two = policy_for(key);
    cosign_policy *demanding = policy_for(key), *zero = policy_for(key);
    cosign_client *client = new_client();
    char missing[5000];
    int i;
    struct {
        const char *reference;
        cosign_policy *policy;
        cosign_code code;
    } rows[7];
    EXPECT(cosign_sign_image(client, image, key, NULL, NULL, NULL, NULL) == COSIGN_OK);
    cosign_policy_set_threshold(two, 2);
    cosign_policy_set_threshold(zero, 0);
    cosign_policy_require_annotation(demanding, "absent", "x");
    snprintf(missing, sizeof missing, "%s-missing", image);
    rows[0].reference = image, rows[0].policy = strangers, rows[0].code = COSIGN_ERR_NO_SIGNATURE_MATCHES;
    rows[1].reference = image, rows[1].policy = empty, rows[1].code = COSIGN_ERR_POLICY_EMPTY;
    rows[2].reference = image, rows[2].policy = two, rows[2].code = COSIGN_ERR_POLICY_EMPTY;
    rows[3].reference = image, rows[3].policy = zero, rows[3].code = COSIGN_ERR_POLICY_EMPTY;
    rows[4].reference = missing, rows[4].policy = demanding, rows[4].code = COSIGN_ERR_IMAGE_NOT_FOUND;
    rows[5].reference = "oci:", rows[5].policy = strangers, rows[5].code = COSIGN_ERR_REFERENCE;
    rows[6].reference = image, rows[6].policy = demanding, rows[6].code = 0;
    for (i = 0; i < 7; i++) {
        cosign_verification *proof = (cosign_verification *)(void *)&i;
        cosign_error *err = (cosign_error *)(void *)&i;
        cosign_code code = cosign_verify_image(client, rows[i].reference, rows[i].policy, NULL, &proof, &err);
        EXPECT(code != COSIGN_OK && proof == NULL && err != NULL);
        if (rows[i].code && code != rows[i].code) {
            wrong++;
            printf("     row %d: %d %s\n", i, (int)code, cosign_error_message(err));
        }
        EXPECT(cosign_error_code(err) == code && cosign_error_message(err)[0] != 0);
        EXPECT(strstr(cosign_error_json(err), cosign_code_name(code)) != NULL);
        if (i == 0) EXPECT(strstr(cosign_error_json(err), "\"report\"") != NULL);
        cosign_error_free(err);
    }
    cosign_policy_free(strangers), cosign_policy_free(empty), cosign_policy_free(two);
    cosign_policy_free(demanding), cosign_policy_free(zero);
    cosign_client_free(client);
    cosign_private_key_free(key), cosign_private_key_free(other);
}

static void layouts_can_be_switched_off(void)
{
    cosign_client_options *options = cosign_client_options_new();
    cosign_client *client = NULL;
    cosign_buffer *pinned = NULL;
    cosign_client_options_set_layouts(options, 0);
    EXPECT(cosign_client_new(options, &client, NULL) == COSIGN_OK);
    EXPECT(cosign_client_resolve(client, image, NULL, &pinned, NULL) != COSIGN_OK && pinned == NULL);
    cosign_client_free(client);
    cosign_client_options_free(options);
}

static void sign_with(void (*set)(cosign_sign_options *, const char *), const char *value, const char *setter)
{
    cosign_private_key *key = new_key();
    cosign_client *client = new_client();
    cosign_sign_options *options = cosign_sign_options_new();
    cosign_signed *done = NULL;
    cosign_error *err = NULL;
    set(options, value);
    EXPECT(cosign_sign_image(client, image, key, options, NULL, &done, &err) == COSIGN_ERR_ARGUMENT && done == NULL);
    EXPECT(strstr(cosign_error_message(err), setter) != NULL);
    cosign_error_free(err);
    cosign_sign_options_free(options);
    cosign_client_free(client);
    cosign_private_key_free(key);
}

static void configure(void (*set)(cosign_client_options *), const char *setter)
{
    cosign_client_options *options = cosign_client_options_new();
    cosign_client *client = NULL;
    cosign_error *err = NULL;
    set(options);
    EXPECT(cosign_client_new(options, &client, &err) != COSIGN_OK && client == NULL);
    EXPECT(strstr(cosign_error_message(err), setter) != NULL);
    cosign_error_free(err);
    cosign_client_options_free(options);
}

static void a_proxy_by_socks(cosign_client_options *o) { cosign_client_options_set_proxy(o, "socks5://p", NULL, NULL); }
static void no_authority(cosign_client_options *o) { cosign_client_options_set_ca_pem(o, "none", 4); }
static void no_client(cosign_client_options *o) { cosign_client_options_set_client_certificate(o, "a", 1, "b", 1); }
static void no_folder(cosign_client_options *o) { cosign_client_options_add_certs_dir(o, NULL); }
static void no_server(cosign_client_options *o) { cosign_client_options_allow_token_server(o, "a", NULL); }

static void the_builders_of_the_verbs_do_so_too(void)
{
    cosign_private_key *key = new_key();
    cosign_policy *policy = policy_for(key);
    cosign_client *client = new_client();
    cosign_verify_options *options = cosign_verify_options_new();
    cosign_verification *proof = NULL;
    cosign_error *err = NULL;
    sign_with(cosign_sign_options_set_format, "tag", "cosign_sign_options_set_format");
    sign_with(cosign_sign_options_set_tag_suffix, ".s", "cosign_sign_options_set_tag_suffix");
    sign_with(cosign_sign_options_set_identity, NULL, "cosign_sign_options_set_identity");
    sign_with(cosign_sign_options_set_layout_tag, NULL, "cosign_sign_options_set_layout_tag");
    cosign_verify_options_set_format(options, "");
    cosign_verify_options_set_tag_suffix(options, ".s");
    EXPECT(cosign_verify_image_with(client, image, policy, options, NULL, &proof, &err) == COSIGN_ERR_ARGUMENT);
    EXPECT(proof == NULL && strstr(cosign_error_message(err), "cosign_verify_options_set_format") != NULL);
    cosign_error_free(err);
    configure(a_proxy_by_socks, "cosign_client_options_set_proxy");
    configure(no_authority, "cosign_client_options_set_ca_pem");
    configure(no_client, "cosign_client_options_set_client_certificate");
    configure(no_folder, "cosign_client_options_add_certs_dir");
    configure(no_server, "cosign_client_options_allow_token_server");
    cosign_verify_options_free(options);
    cosign_client_free(client);
    cosign_policy_free(policy);
    cosign_private_key_free(key);
}

static void a_builder_names_its_first_bad_setter(void)
{
    cosign_client_options *options = cosign_client_options_new();
    cosign_client *client = NULL;
    cosign_error *err = NULL;
    cosign_client_options_set_docker_config(options, "{", 1);
    cosign_client_options_set_user_agent(options, NULL);
    EXPECT(cosign_client_new(options, &client, &err) != COSIGN_OK && client == NULL);
    EXPECT(strstr(cosign_error_message(err), "cosign_client_options_set_docker_config") != NULL);
    cosign_error_free(err);
    EXPECT(cosign_client_new(options, &client, NULL) != COSIGN_OK && client == NULL);
    cosign_client_options_free(options);

    options = cosign_client_options_new();
    cosign_client_options_add_ca_pem(options, "no certificate", 14);
    EXPECT(cosign_client_new(options, &client, &err) == COSIGN_ERR_ARGUMENT && client == NULL);
    EXPECT(strstr(cosign_error_message(err), "cosign_client_options_add_ca_pem") != NULL);
    cosign_error_free(err);
    cosign_client_options_free(options);

    options = cosign_client_options_new();
    cosign_client_options_set_user_agent(options, "two\nlines");
    EXPECT(cosign_client_new(options, &client, &err) == COSIGN_ERR_ARGUMENT && client == NULL);
    EXPECT(strstr(cosign_error_message(err), "cosign_client_options_set_user_agent") != NULL);
    cosign_error_free(err);
    cosign_client_options_free(options);
    the_builders_of_the_verbs_do_so_too();
}

/* --- passwords --- */

struct asked {
    const char *answer;
    uint32_t right_at, last;
    int questions;
    cosign_code result;
    cosign_call *again;
    const char *pem;
    size_t len;
};

static cosign_code ask(cosign_secret *out, const char *prompt, uint32_t attempt, void *user_data)
{
    struct asked *asked = user_data;
    EXPECT(prompt != NULL && prompt[0] != 0);
    asked->questions++;
    asked->last = attempt;
    if (asked->again) { /* a callback may call libcosign, with the same call object too */
        cosign_private_key *inner = NULL;
        cosign_call *again = asked->again;
        asked->again = NULL;
        EXPECT(cosign_private_key_from_pem(asked->pem, asked->len, again, &inner, NULL) == COSIGN_OK);
        cosign_private_key_free(inner);
    }
    if (asked->result) return asked->result;
    if (asked->answer == NULL) return COSIGN_OK;
    if (attempt == asked->right_at || asked->right_at == 0)
        cosign_secret_set(out, asked->answer, strlen(asked->answer));
    else
        cosign_secret_set(out, "wrong", 5);
    return COSIGN_OK;
}

static int finalized;
static void finalize(void *user_data)
{
    (void)user_data;
    finalized++;
}

static cosign_code open_key(cosign_buffer *pem, struct asked *asked)
{
    cosign_call *call = cosign_call_new();
    cosign_private_key *key = (cosign_private_key *)(void *)call;
    cosign_error *err = NULL;
    cosign_code code;
    cosign_call_set_password_cb(call, ask, asked, NULL);
    if (asked->pem) asked->again = call;
    code = cosign_private_key_from_pem(cosign_buffer_data(pem), cosign_buffer_len(pem), call, &key, &err);
    EXPECT((code == COSIGN_OK) == (key != NULL) && cosign_error_code(err) == code);
    EXPECT(strstr(cosign_error_json(err), "s3cret") == NULL);
    cosign_private_key_free(key);
    cosign_error_free(err);
    cosign_call_free(call);
    return code;
}

static void passwords_are_asked_for_at_most_three_times(void)
{
    cosign_private_key *key = new_key(), *none = NULL;
    cosign_call *call = cosign_call_new();
    cosign_buffer *pem = NULL;
    struct asked asked;
    memset(&asked, 0, sizeof asked);

    EXPECT(cosign_private_key_to_pem(key, "cosign", call, &pem, NULL) == COSIGN_ERR_PASSWORD_REQUIRED && pem == NULL);
    asked.answer = "s3cret";
    cosign_call_set_password_cb(call, ask, &asked, NULL);
    EXPECT(cosign_private_key_to_pem(key, "cosign", call, &pem, NULL) == COSIGN_OK);
    EXPECT(asked.questions == 1 && asked.last == 0);
    EXPECT(strstr(cosign_buffer_data(pem), "BEGIN ENCRYPTED COSIGN PRIVATE KEY") != NULL);

    EXPECT(cosign_private_key_from_pem(cosign_buffer_data(pem), cosign_buffer_len(pem), NULL, &none, NULL)
           == COSIGN_ERR_PASSWORD_REQUIRED);

    memset(&asked, 0, sizeof asked), asked.answer = "s3cret", asked.right_at = 3;
    EXPECT(open_key(pem, &asked) == COSIGN_OK && asked.questions == 3);
    memset(&asked, 0, sizeof asked), asked.answer = "s3cret", asked.right_at = 4;
    EXPECT(open_key(pem, &asked) == COSIGN_ERR_PASSWORD_WRONG && asked.questions == 3 && asked.last == 3);
    memset(&asked, 0, sizeof asked), asked.result = COSIGN_PASSTHROUGH;
    EXPECT(open_key(pem, &asked) == COSIGN_ERR_PASSWORD_REQUIRED && asked.questions == 1);
    memset(&asked, 0, sizeof asked), asked.result = COSIGN_ERR_CANCELLED;
    EXPECT(open_key(pem, &asked) == COSIGN_ERR_CANCELLED && asked.questions == 1);
    memset(&asked, 0, sizeof asked), asked.result = 12345;
    EXPECT(open_key(pem, &asked) == COSIGN_ERR_CALLBACK && asked.questions == 1);
    memset(&asked, 0, sizeof asked); /* COSIGN_OK without an answer */
    EXPECT(open_key(pem, &asked) == COSIGN_ERR_CALLBACK && asked.questions == 1);
    memset(&asked, 0, sizeof asked), asked.answer = "s3cret";
    asked.pem = cosign_buffer_data(pem), asked.len = cosign_buffer_len(pem);
    EXPECT(open_key(pem, &asked) == COSIGN_OK && asked.questions == 2);
    /* What cannot be opened with any password asks nobody. */
    memset(&asked, 0, sizeof asked), asked.answer = "s3cret";
    cosign_call_set_password_cb(call, ask, &asked, NULL);
    EXPECT(cosign_private_key_from_pem("junk", 4, call, &none, NULL) == COSIGN_ERR_KEY_FORMAT && asked.questions == 0);

    cosign_buffer_free(pem);
    cosign_call_free(call);
    cosign_private_key_free(key);
}

struct meddler {
    cosign_call *call;
    int how, questions;
};

/* What a callback must not do to the call that it runs for. */
static cosign_code meddle(cosign_secret *out, const char *prompt, uint32_t attempt, void *user_data)
{
    struct meddler *meddler = user_data;
    (void)prompt, (void)attempt;
    meddler->questions++;
    cosign_secret_set(out, "s3cret", 6);
    switch (meddler->how) {
    case 0: cosign_call_set_timeout_ms(meddler->call, 1); break;
    case 1: cosign_call_set_password_cb(meddler->call, NULL, NULL, finalize); break;
    case 2: cosign_call_free(meddler->call); break;
    default: break;
    }
    return COSIGN_OK;
}

static void a_callback_does_not_change_or_free_its_call(void)
{
    cosign_private_key *key = new_key(), *opened = NULL;
    cosign_call *call = cosign_call_new();
    cosign_buffer *pem = NULL;
    cosign_error *err = NULL;
    struct meddler meddler;
    meddler.call = call, meddler.how = 3, meddler.questions = finalized = 0;
    cosign_call_set_password_cb(call, meddle, &meddler, finalize);
    EXPECT(cosign_private_key_to_pem(key, "cosign", call, &pem, NULL) == COSIGN_OK);
    for (meddler.how = 0; meddler.how < 3; meddler.how++) {
        int questions = meddler.questions;
        EXPECT(cosign_private_key_from_pem(cosign_buffer_data(pem), cosign_buffer_len(pem), call, &opened, &err)
               == COSIGN_ERR_CALLBACK);
        EXPECT(opened == NULL && strstr(cosign_error_message(err), "change or free the call") != NULL);
        cosign_error_free(err);
        EXPECT(meddler.questions == questions + 1);
        EXPECT(finalized == (meddler.how < 1 ? 0 : 1)); /* of the callback that was not taken */
    }
    /* The call is as it was. */
    EXPECT(cosign_private_key_from_pem(cosign_buffer_data(pem), cosign_buffer_len(pem), call, &opened, NULL)
           == COSIGN_OK);
    cosign_call_free(call);
    EXPECT(finalized == 2);
    cosign_buffer_free(pem);
    cosign_private_key_free(opened);
    cosign_private_key_free(key);
}

static void the_class_is_not_the_hundreds(void)
{
    static const struct { cosign_code code; const char *class; } rows[] = {
        {COSIGN_ERR_POLICY_EMPTY, "\"class\":\"usage\""}, {COSIGN_ERR_IMAGE_NOT_FOUND, "\"class\":\"refused\""}};
    cosign_client *client = NULL;
    cosign_private_key *key = new_key();
    cosign_policy *policies[2];
    int i;
    EXPECT(cosign_client_new(NULL, &client, NULL) == COSIGN_OK);
    policies[0] = cosign_policy_new(), policies[1] = policy_for(key);
    for (i = 0; i < 2; i++) {
        cosign_error *err = NULL;
        cosign_verification *v = NULL;
        const char *at = i == 0 ? image : "oci:/no/such/layout:v1";
        EXPECT(cosign_verify_image(client, at, policies[i], NULL, &v, &err) == rows[i].code);
        EXPECT(v == NULL && strstr(cosign_error_json(err), rows[i].class) != NULL);
        cosign_error_free(err);
        cosign_policy_free(policies[i]);
    }
    cosign_client_free(client);
    cosign_private_key_free(key);
}

static void finalizers_run_exactly_once(void)
{
    cosign_call *call = cosign_call_new();
    finalized = 0;
    cosign_call_set_password_cb(call, ask, NULL, finalize);
    EXPECT(finalized == 0);
    cosign_call_set_password_cb(call, ask, NULL, finalize);
    EXPECT(finalized == 1);
    cosign_call_set_password_cb(call, NULL, NULL, finalize);
    EXPECT(finalized == 3);
    cosign_call_set_password_cb(NULL, ask, NULL, finalize);
    EXPECT(finalized == 4);
    cosign_call_set_password_cb(call, ask, NULL, finalize);
    cosign_call_free(call);
    EXPECT(finalized == 5);
}

/* --- stopping, on a server that takes connections and says nothing --- */

static char silent[64];

static int listen_in_silence(void)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT(bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 64) == 0);
    getsockname(fd, (struct sockaddr *)&address, &size);
    snprintf(silent, sizeof silent, "127.0.0.1:%d/app:v1", ntohs(address.sin_port));
    return fd;
}

static cosign_call *alarmed;
static volatile sig_atomic_t alarms;
static void on_alarm(int signal)
{
    (void)signal;
    alarms++;
    cosign_call_cancel(alarmed);
}

static void a_signal_handler_cancels(void)
{
    cosign_client *client = new_client();
    cosign_buffer *pinned = NULL;
    cosign_error *err = NULL;
    struct sigaction action, before;
    struct itimerval timer;
    long started, took;
    alarmed = cosign_call_new();
    alarms = 0;
    memset(&action, 0, sizeof action);
    memset(&timer, 0, sizeof timer);
    action.sa_handler = on_alarm;
    sigaction(SIGALRM, &action, &before);
    timer.it_value.tv_usec = 200000;
    started = now_ms();
    setitimer(ITIMER_REAL, &timer, NULL);
    EXPECT(cosign_client_resolve(client, silent, alarmed, &pinned, &err) == COSIGN_ERR_CANCELLED);
    took = now_ms() - started;
    EXPECT(alarms == 1 && took >= 200);
    EXPECT(took < 5000); /* "normally within 50 ms"; the machine may be busy */
    printf("     a cancel after 200 ms returned after %ld ms\n", took);
    EXPECT(strcmp(cosign_code_name(cosign_error_code(err)), "CANCELLED") == 0);
    /* Now and later. */
    EXPECT(cosign_client_resolve(client, image, alarmed, &pinned, NULL) == COSIGN_ERR_CANCELLED && pinned == NULL);
    sigaction(SIGALRM, &before, NULL);
    cosign_error_free(err);
    cosign_call_free(alarmed);
    cosign_client_free(client);
}

static void a_deadline_ends_the_call(void)
{
    cosign_client *client = new_client();
    cosign_call *call = cosign_call_new();
    cosign_buffer *pinned = NULL;
    cosign_error *err = NULL;
    long started = now_ms(), took;
    cosign_call_set_timeout_ms(call, 300);
    EXPECT(cosign_client_resolve(client, silent, call, &pinned, &err) == COSIGN_ERR_TIMEOUT && pinned == NULL);
    took = now_ms() - started;
    EXPECT(took >= 290 && took < 5000 && cosign_error_is_retryable(err) == 1);
    printf("     a deadline of 300 ms returned after %ld ms\n", took);
    cosign_error_free(err);
    cosign_call_free(call);
    cosign_client_free(client);
}

static void nobody_listening_is_unknown_not_unsigned(void)
{
    cosign_private_key *key = new_key();
    cosign_policy *policy = policy_for(key);
    cosign_client *client = new_client();
    cosign_call *call = cosign_call_new();
    cosign_verification *proof = NULL;
    cosign_code code;
    cosign_call_set_timeout_ms(call, 3000);
    code = cosign_verify_image(client, "127.0.0.1:9/app:v1", policy, call, &proof, NULL);
    EXPECT(proof == NULL && (code == COSIGN_ERR_NETWORK || code == COSIGN_ERR_TIMEOUT));
    cosign_call_free(call), cosign_client_free(client), cosign_policy_free(policy), cosign_private_key_free(key);
}

/* The one thread of a client is deaf: it blocks what a host's handlers wait for, and SIGPIPE. */
static void our_thread_is_named_and_masked(void)
{
    cosign_client *client = new_client();
    cosign_call *call = cosign_call_new();
    cosign_buffer *pinned = NULL;
    DIR *tasks;
    struct dirent *entry;
    int ours = 0;
    cosign_call_set_timeout_ms(call, 50);
    EXPECT(cosign_client_resolve(client, silent, call, &pinned, NULL) == COSIGN_ERR_TIMEOUT);
    tasks = opendir("/proc/self/task");
    while (tasks && (entry = readdir(tasks)) != NULL) {
        char path[600], line[256];
        int named = 0;
        unsigned long long blocked = 0;
        FILE *status;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        status = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
        while (status && fgets(line, sizeof line, status)) {
            if (strcmp(line, "Name:\tcosign-io\n") == 0) named = 1;
            sscanf(line, "SigBlk: %llx", &blocked);
        }
        if (status) fclose(status);
        if (named) {
            ours++;
            EXPECT(blocked & (1ULL << (SIGPIPE - 1)));
            EXPECT(blocked & (1ULL << (SIGALRM - 1)));
            EXPECT(!(blocked & (1ULL << (SIGSEGV - 1))));
        }
    }
    if (tasks) closedir(tasks);
    EXPECT(ours == 1);
    cosign_call_free(call);
    cosign_client_free(client);
}

/* --- fork --- */

static void a_forked_client_says_so(void)
{
    cosign_client *client = new_client();
    cosign_call *call = cosign_call_new();
    cosign_buffer *pinned = NULL;
    int status = -1;
    pid_t child;
    cosign_call_set_timeout_ms(call, 100);
    EXPECT(cosign_client_resolve(client, silent, call, &pinned, NULL) == COSIGN_ERR_TIMEOUT);
    child = fork();
    if (child == 0) {
        cosign_client *own = NULL;
        alarm(10);
        if (cosign_client_resolve(client, silent, NULL, &pinned, NULL) != COSIGN_ERR_FORKED) _exit(1);
        if (cosign_client_resolve(client, image, NULL, &pinned, NULL) != COSIGN_ERR_FORKED) _exit(2);
        cosign_client_free(client);
        if (cosign_client_new(NULL, &own, NULL) != COSIGN_OK) _exit(3);
        if (cosign_client_resolve(own, image, NULL, &pinned, NULL) != COSIGN_OK) _exit(4);
        if (cosign_client_resolve(own, silent, call, &pinned, NULL) != COSIGN_ERR_TIMEOUT) _exit(5);
        cosign_client_free(own);
        _exit(0);
    }
    EXPECT(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    if (WIFEXITED(status) && WEXITSTATUS(status)) printf("     the child stopped at %d\n", WEXITSTATUS(status));
    EXPECT(cosign_client_resolve(client, image, NULL, &pinned, NULL) == COSIGN_OK);
    cosign_buffer_free(pinned);
    cosign_call_free(call);
    cosign_client_free(client);
}

/* --- threads --- */

struct shared {
    cosign_client *client;
    cosign_policy *policy;
    int good;
};

static void *verify_often(void *argument)
{
    struct shared *shared = argument;
    int i;
    for (i = 0; i < 20; i++) {
        cosign_verification *proof = NULL;
        if (cosign_verify_image(shared->client, image, shared->policy, NULL, &proof, NULL) == COSIGN_OK)
            __sync_fetch_and_add(&shared->good, 1);
        cosign_verification_free(proof);
    }
    return NULL;
}

static void one_client_serves_many_threads(void)
{
    enum { THREADS = 16 };
    cosign_private_key *key = new_key();
    struct shared shared;
    pthread_t workers[THREADS];
    int i;
    shared.client = new_client();
    shared.policy = policy_for(key);
    shared.good = 0;
    EXPECT(cosign_sign_image(shared.client, image, key, NULL, NULL, NULL, NULL) == COSIGN_OK);
    for (i = 0; i < THREADS; i++) pthread_create(&workers[i], NULL, verify_often, &shared);
    for (i = 0; i < THREADS; i++) pthread_join(workers[i], NULL);
    EXPECT(shared.good == THREADS * 20);
    cosign_client_free(shared.client);
    cosign_policy_free(shared.policy);
    cosign_private_key_free(key);
}

/* --- bad input: what it says, and that nothing is written --- */

static char folder[4096];

static int says(const cosign_error *err, const char *a, const char *b, const char *c)
{
    const char *text = cosign_error_message(err);
    int good = strstr(text, a) && strstr(text, b) && strstr(text, c) && !strchr(text, '\n') && !strstr(text, "s3cret");
    if (!good) printf("     it says: %s\n", text);
    return good;
}

/* All bytes of index.json, and how many files there are beside and below it: what a failed call may not change. */
static unsigned long state_of_layout(void)
{
    static const char *const folders[] = {"", "/blobs", "/blobs/sha256"};
    unsigned long sum = 5381;
    char path[5000];
    FILE *file;
    int i, c;
    for (i = 0; i < 3; i++) {
        struct dirent *entry;
        DIR *dir;
        snprintf(path, sizeof path, "%s%s", folder, folders[i]);
        dir = opendir(path);
        EXPECT(dir != NULL);
        while (dir && (entry = readdir(dir)) != NULL) sum += 1000003;
        if (dir) closedir(dir);
    }
    snprintf(path, sizeof path, "%s/index.json", folder);
    file = fopen(path, "rb");
    EXPECT(file != NULL);
    while (file && (c = getc(file)) != EOF) sum = sum * 33 + (unsigned)c;
    if (file) fclose(file);
    return sum;
}

static cosign_buffer *key_file(const cosign_private_key *key)
{
    struct asked asked;
    cosign_call *call = cosign_call_new();
    cosign_buffer *pem = NULL;
    memset(&asked, 0, sizeof asked), asked.answer = "s3cret";
    cosign_call_set_password_cb(call, ask, &asked, NULL);
    EXPECT(cosign_private_key_to_pem(key, "cosign", call, &pem, NULL) == COSIGN_OK);
    cosign_call_free(call);
    return pem;
}

static cosign_error *open_badly(const void *pem, size_t len, const char *password)
{
    struct asked asked;
    cosign_call *call = cosign_call_new();
    cosign_private_key *key = (cosign_private_key *)(void *)call;
    cosign_error *err = NULL;
    memset(&asked, 0, sizeof asked), asked.answer = password;
    cosign_call_set_password_cb(call, ask, &asked, NULL);
    EXPECT(cosign_private_key_from_pem(pem, len, call, &key, &err) != COSIGN_OK && key == NULL && err != NULL);
    cosign_call_free(call);
    return err;
}

static void bad_key_files_say_what_was_expected(void)
{
    /* Well formed but for its scrypt cost of 2^40. */
    static const char huge[] =
        "-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----\n"
        "eyJrZGYiOnsibmFtZSI6InNjcnlwdCIsInBhcmFtcyI6eyJOIjoxMDk5NTExNjI3\n"
        "Nzc2LCJyIjo4LCJwIjoxfSwic2FsdCI6IkFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB\n"
        "QUFBQUFBQUFBQUFBQUFBQUFBQUE9In0sImNpcGhlciI6eyJuYW1lIjoibmFjbC9z\n"
        "ZWNyZXRib3giLCJub25jZSI6IkFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB\n"
        "QUFBIn0sImNpcGhlcnRleHQiOiJBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB\n"
        "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB\n"
        "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB\n"
        "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB\n"
        "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBPT0ifQ==\n"
        "-----END ENCRYPTED COSIGN PRIVATE KEY-----\n";
    cosign_private_key *key = new_key();
    cosign_buffer *pem = key_file(key);
    size_t len = cosign_buffer_len(pem), cut;
    cosign_error *err = open_badly(cosign_buffer_data(pem), len, "wrong");
    EXPECT(cosign_error_code(err) == COSIGN_ERR_PASSWORD_WRONG);
    EXPECT(says(err, "the password is wrong", "give the password", "made with"));
    cosign_error_free(err);
    /* Without its last line end the file is whole. Each copy ends where the memory ends. */
    for (cut = 0; cut + 1 < len; cut++) {
        char *copy = malloc(cut ? cut : 1);
        if (!copy) abort();
        memcpy(copy, cosign_buffer_data(pem), cut);
        err = open_badly(copy, cut, "s3cret");
        EXPECT(cosign_error_code(err) == COSIGN_ERR_KEY_FORMAT);
        EXPECT(says(err, "expected a whole key file", "PEM block", ""));
        cosign_error_free(err);
        free(copy);
    }
    err = open_badly(huge, sizeof huge - 1, "s3cret");
    EXPECT(cosign_error_code(err) == COSIGN_ERR_KEY_FORMAT);
    EXPECT(says(err, "found N = 1099511627776", "expected N of 32768, 65536 or 131072", "use a key file"));
    cosign_error_free(err);
    cosign_buffer_free(pem);
    cosign_private_key_free(key);
}

static void a_missing_tag_is_answered_with_those_that_are_there(void)
{
    cosign_private_key *key = new_key();
    cosign_client *client = new_client();
    cosign_error *err = NULL;
    unsigned long before = state_of_layout();
    char missing[5000];
    snprintf(missing, sizeof missing, "oci:%s:v9", folder);
    EXPECT(cosign_sign_image(client, missing, key, NULL, NULL, NULL, &err) == COSIGN_ERR_IMAGE_NOT_FOUND);
    EXPECT(says(err, missing, "no such image", "name one that it holds: v1"));
    cosign_error_free(err), err = NULL;
    snprintf(missing, sizeof missing, "oci:%s/none:v1", folder);
    EXPECT(cosign_sign_image(client, missing, key, NULL, NULL, NULL, &err) == COSIGN_ERR_IMAGE_NOT_FOUND);
    EXPECT(says(err, missing, "no OCI image layout", "expected a folder"));
    cosign_error_free(err);
    EXPECT(state_of_layout() == before);
    cosign_client_free(client);
    cosign_private_key_free(key);
}

/* One digit more in front of the image's size. */
static void a_layout_that_lies_about_sizes_is_named(void)
{
    cosign_private_key *key = new_key();
    cosign_policy *policy = policy_for(key);
    cosign_client *client = new_client();
    cosign_verification *proof = NULL;
    cosign_error *err = NULL;
    char path[5000], *text = calloc(1, 1 << 20), *at;
    size_t len = 0;
    FILE *file;
    unsigned long before;
    snprintf(path, sizeof path, "%s/index.json", folder);
    if (!text) abort();
    file = fopen(path, "rb");
    EXPECT(file && (len = fread(text, 1, (1 << 20) - 1, file)) > 0);
    if (file) fclose(file);
    at = strstr(text, "\"size\":");
    EXPECT(at != NULL);
    file = fopen(path, "wb");
    if (at && file) {
        at += strlen("\"size\":");
        fwrite(text, 1, (size_t)(at - text), file);
        fputs(" 1", file);
        while (*at == ' ') at++;
        fwrite(at, 1, len - (size_t)(at - text), file);
        fclose(file);
        before = state_of_layout();
        EXPECT(cosign_sign_image(client, image, key, NULL, NULL, NULL, &err) == COSIGN_ERR_CONTENT);
        EXPECT(says(err, image, "bytes, its descriptor says 1", "copy the image"));
        cosign_error_free(err), err = NULL;
        EXPECT(cosign_verify_image(client, image, policy, NULL, &proof, &err) == COSIGN_ERR_CONTENT && proof == NULL);
        EXPECT(says(err, image, "bytes, its descriptor says 1", "copy the image"));
        cosign_error_free(err);
        EXPECT(state_of_layout() == before);
        file = fopen(path, "wb");
        EXPECT(file && fwrite(text, 1, len, file) == len);
        if (file) fclose(file);
    }
    free(text);
    cosign_client_free(client);
    cosign_policy_free(policy);
    cosign_private_key_free(key);
}

/* In a child that cannot write, as its canary shows: 0 when signing failed as it should. */
static int sign_where_writing_fails(const char *found, const char *advice)
{
    cosign_private_key *key = NULL;
    cosign_client *client = NULL;
    cosign_error *err = NULL;
    char canary[5000];
    int fd, i;
    snprintf(canary, sizeof canary, "%s/blobs/canary", folder);
    fd = open(canary, O_CREAT | O_WRONLY, 0600);
    if (fd >= 0) {
        int wrote = 1;
        for (i = 0; i < 200 && wrote; i++) wrote = write(fd, "x", 1) == 1;
        close(fd);
        unlink(canary);
        if (wrote) return 1;
    }
    if (cosign_private_key_generate(NULL, &key, NULL) || cosign_client_new(NULL, &client, NULL)) return 2;
    if (cosign_sign_image(client, image, key, NULL, NULL, NULL, &err) != COSIGN_ERR_IO) return 3;
    if (!says(err, folder, found, advice) || !strstr(cosign_error_message(err), "cannot write")) return 4;
    cosign_error_free(err);
    cosign_client_free(client);
    cosign_private_key_free(key);
    return 0;
}

static void in_a_child(int (*test)(void))
{
    unsigned long before = state_of_layout();
    int status = -1;
    pid_t child;
    fflush(stdout);
    child = fork();
    if (child == 0) {
        int code = test();
        fflush(stdout);
        _exit(code);
    }
    EXPECT(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status)) printf("     the child ended with status %#x\n", status);
    EXPECT(state_of_layout() == before);
}

static int with_a_limit(void)
{
    struct rlimit limit;
    limit.rlim_cur = limit.rlim_max = 100;
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit)) return 9;
    return sign_where_writing_fails("File too large", "sign again");
}

static int as_somebody_else(void)
{
    if (getuid() == 0 && (setgid(65534) || setuid(65534))) return 9;
    return sign_where_writing_fails("Permission denied", "sign a copy");
}

static void a_full_disk_is_an_error_and_changes_nothing(void) { in_a_child(with_a_limit); }

static void close_folders(int closed)
{
    static const char *const folders[] = {"/blobs/sha256", "/blobs", ""};
    char path[5000];
    int i;
    for (i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s%s", folder, folders[i]);
        EXPECT(chmod(path, closed ? 0555 : 0755) == 0);
    }
}

static void a_read_only_folder_is_an_error_and_changes_nothing(void)
{
    char parent[4096], *slash;
    struct stat before;
    memset(&before, 0, sizeof before);
    /* Another user must be able to enter. */
    snprintf(parent, sizeof parent, "%s", folder);
    slash = strrchr(parent, '/');
    EXPECT(slash != NULL);
    if (slash) *slash = 0;
    EXPECT(stat(parent, &before) == 0 && chmod(parent, before.st_mode | 0011) == 0);
    close_folders(1);
    in_a_child(as_somebody_else);
    close_folders(0);
    EXPECT(chmod(parent, before.st_mode) == 0);
}

static void run(void (*test)(void), const char *name)
{
    wrong = 0;
    test();
    if (wrong) failed++;
    else passed++;
    printf("%s %s\n", wrong ? "FAIL" : "ok  ", name);
    fflush(stdout);
}
#define RUN(test) run(test, #test)

int main(int argc, char **argv)
{
    int fd;
    if (argc != 2) return 2;
    snprintf(image, sizeof image, "oci:%s:v1", argv[1]);
    snprintf(folder, sizeof folder, "%s", argv[1]);
    fd = listen_in_silence();
    RUN(versions_agree);
    RUN(codes_have_names);
    RUN(a_layout_is_signed_and_verified_without_a_thread);
    RUN(signing_says_where_each_signature_is_and_how_it_is_stored);
    RUN(an_index_is_signed_with_what_it_leads_to);
    RUN(each_format_is_written_and_asked_for_alone);
    RUN(signing_options_reach_what_is_written);
    RUN(the_environment_counts_only_when_asked);
    RUN(refusals_leave_no_proof);
    RUN(layouts_can_be_switched_off);
    RUN(a_builder_names_its_first_bad_setter);
    RUN(passwords_are_asked_for_at_most_three_times);
    RUN(a_callback_does_not_change_or_free_its_call);
    RUN(the_class_is_not_the_hundreds);
    RUN(finalizers_run_exactly_once);
    RUN(a_signal_handler_cancels);
    RUN(a_deadline_ends_the_call);
    RUN(nobody_listening_is_unknown_not_unsigned);
    RUN(our_thread_is_named_and_masked);
    RUN(a_forked_client_says_so);
    RUN(one_client_serves_many_threads);
    RUN(bad_key_files_say_what_was_expected);
    RUN(a_missing_tag_is_answered_with_those_that_are_there);
    RUN(a_layout_that_lies_about_sizes_is_named);
    RUN(a_full_disk_is_an_error_and_changes_nothing);
    RUN(a_read_only_folder_is_an_error_and_changes_nothing);
    close(fd);
    printf("%d promises kept, %d broken\n", passed, failed);
    return failed != 0;
}
