/* The verbs of 2021 in C, each promise one function: seed LAYOUT REGISTRY_IMAGE.
 * LAYOUT is a fresh copy of the example image, tag v1; REGISTRY_IMAGE an image in a test registry. */
#include <cosign.h>
#include <stdio.h>
#include <string.h>

static int passed, failed, wrong;
static char layout[4096];
static const char *image;
static cosign_client *client;

#define EXPECT(condition)                                                     \
    do {                                                                      \
        if (!(condition)) {                                                   \
            wrong++;                                                          \
            printf("     line %d: %s\n", __LINE__, #condition);               \
        }                                                                     \
    } while (0)

static int same(const char *one, const char *other) { return strcmp(one, other) == 0; }
static int contains(cosign_buffer *text, const char *part) { return strstr(cosign_buffer_data(text), part) != NULL; }

static cosign_private_key *new_key(void)
{
    cosign_private_key *key = NULL;
    EXPECT(cosign_private_key_generate(NULL, &key, NULL) == COSIGN_OK);
    return key;
}

static cosign_code verify(const cosign_private_key *key, const char *at, const char *suffix, int claims, size_t *count)
{
    cosign_public_key *pub = NULL;
    cosign_policy *policy = cosign_policy_new();
    cosign_verify_options *options = cosign_verify_options_new();
    cosign_verification *proof = NULL;
    cosign_code code;
    EXPECT(cosign_private_key_public(key, &pub, NULL) == COSIGN_OK);
    cosign_policy_add_key(policy, pub);
    cosign_verify_options_set_tag_suffix(options, suffix);
    if (!claims) cosign_verify_options_dangerous_ignore_claims(options);
    code = cosign_verify_image_with(client, at, policy, options, NULL, &proof, NULL);
    *count = cosign_verification_count(proof);
    cosign_verification_free(proof);
    cosign_verify_options_free(options);
    cosign_policy_free(policy);
    cosign_public_key_free(pub);
    return code;
}

static void what_is_generated_is_what_is_signed(void)
{
    cosign_private_key *key = new_key();
    cosign_sign_options *options = cosign_sign_options_new();
    cosign_buffer *payload = NULL, *signature = NULL, *signed_bytes = NULL;
    cosign_signed *attached = NULL;
    cosign_error *err = NULL;
    size_t count = 0;
    cosign_sign_options_add_annotation(options, "a", "1");
    EXPECT(cosign_generate(client, image, options, NULL, &payload, &err) == COSIGN_OK && err == NULL);
    EXPECT(contains(payload, "\"optional\":{\"a\":\"1\"}}"));
    EXPECT(cosign_sign_detached(client, image, key, options, NULL, &signature, &signed_bytes, &err) == COSIGN_OK);
    EXPECT(same(cosign_buffer_data(payload), cosign_buffer_data(signed_bytes)));
    EXPECT(verify(key, image, ".sig", 1, &count) == COSIGN_ERR_NO_SIGNATURES);
    /* Attached with the options that it was generated with, or with the payload itself: the same signature. */
    EXPECT(cosign_attach_signature(client, image, cosign_buffer_data(signature), cosign_buffer_len(signature), options,
                                   NULL, &attached, &err) == COSIGN_OK);
    EXPECT(cosign_signed_added(attached) == 1 && same(cosign_signed_status(attached), "stored"));
    cosign_signed_free(attached), attached = NULL;
    cosign_sign_options_free(options);
    options = cosign_sign_options_new();
    cosign_sign_options_set_payload(options, cosign_buffer_data(payload), cosign_buffer_len(payload));
    EXPECT(cosign_attach_signature(client, image, cosign_buffer_data(signature), cosign_buffer_len(signature), options,
                                   NULL, &attached, &err) == COSIGN_OK);
    EXPECT(cosign_signed_added(attached) == 0);
    EXPECT(verify(key, image, ".sig", 1, &count) == COSIGN_OK && count == 1);
    cosign_signed_free(attached);
    cosign_buffer_free(payload);
    cosign_buffer_free(signature);
    cosign_buffer_free(signed_bytes);
    cosign_sign_options_free(options);
    cosign_private_key_free(key);
}

static void any_payload_is_signed_and_downloaded_again(void)
{
    static const char odd[] = { 0, 'o', 'd', 'd', (char)0xff, '\n' };
    cosign_private_key *key = new_key();
    cosign_sign_options *options = cosign_sign_options_new();
    cosign_buffer *lines = NULL;
    size_t count = 0;
    cosign_sign_options_set_payload(options, odd, sizeof odd);
    EXPECT(cosign_sign_image(client, image, key, options, NULL, NULL, NULL) == COSIGN_OK);
    EXPECT(verify(key, image, ".sig", 1, &count) == COSIGN_ERR_NO_SIGNATURE_MATCHES);
    EXPECT(verify(key, image, ".sig", 0, &count) == COSIGN_OK && count == 1);
    EXPECT(cosign_download(client, image, NULL, NULL, 1, NULL, &lines, NULL) == COSIGN_OK);
    EXPECT(contains(lines, "\"Payload\":\"AG9kZP8K\"}\n"));
    cosign_buffer_free(lines), lines = NULL;
    EXPECT(cosign_download(client, image, "legacy", ".sig", 0, NULL, &lines, NULL) == COSIGN_OK);
    EXPECT(contains(lines, ",\"Cert\":null,\"Chain\":null,\"Bundle\":null,\"RFC3161Timestamp\":null}\n"));
    cosign_buffer_free(lines);
    cosign_sign_options_free(options);
    cosign_private_key_free(key);
}

static void the_form_of_2021_is_written_and_found(void)
{
    cosign_private_key *key = new_key();
    cosign_sign_options *options = cosign_sign_options_new();
    cosign_buffer *text = NULL;
    size_t count = 0;
    EXPECT(cosign_triangulate(client, image, ".cosign", NULL, &text, NULL) == COSIGN_OK);
    EXPECT(contains(text, ":sha256-") && contains(text, ".cosign"));
    cosign_buffer_free(text), text = NULL;
    EXPECT(cosign_download(client, image, NULL, ".cosign", 1, NULL, &text, NULL) == COSIGN_ERR_NO_SIGNATURES);
    cosign_sign_options_set_tag_suffix(options, ".cosign");
    cosign_sign_options_set_payload_form(options, "2021");
    EXPECT(cosign_sign_image(client, image, key, options, NULL, NULL, NULL) == COSIGN_OK);
    EXPECT(verify(key, image, ".cosign", 1, &count) == COSIGN_OK && count == 1);
    EXPECT(cosign_tree(client, image, NULL, &text, NULL) == COSIGN_OK);
    EXPECT(contains(text, "\"complete\":true") && contains(text, "\"kind\":\"signatures-2021\""));
    cosign_buffer_free(text), text = NULL;
    EXPECT(cosign_doctor(client, image, NULL, &text, NULL) == COSIGN_OK);
    EXPECT(contains(text, "\"format\":\"cosign of 2021\""));
    cosign_buffer_free(text);
    cosign_sign_options_free(options);
    cosign_private_key_free(key);
}

static void bad_input_is_refused(void)
{
    cosign_private_key *key = new_key();
    cosign_sign_options *options = cosign_sign_options_new();
    cosign_buffer *out = NULL;
    cosign_error *err = NULL;
    EXPECT(cosign_attach_signature(client, image, "", 0, NULL, NULL, NULL, &err) == COSIGN_ERR_ARGUMENT);
    EXPECT(same(cosign_error_message(err), "empty signature"));
    cosign_error_free(err), err = NULL;
    EXPECT(cosign_attach_signature(client, image, NULL, 3, NULL, NULL, NULL, NULL) == COSIGN_ERR_ARGUMENT);
    cosign_sign_options_set_payload(options, "", 0);
    EXPECT(cosign_sign_image(client, image, key, options, NULL, NULL, &err) == COSIGN_ERR_ARGUMENT);
    EXPECT(strstr(cosign_error_message(err), "cosign_sign_options_set_payload: the payload is empty") != NULL);
    cosign_error_free(err), err = NULL;
    cosign_sign_options_free(options);
    options = cosign_sign_options_new();
    cosign_sign_options_set_payload_form(options, "1970");
    EXPECT(cosign_generate(client, image, options, NULL, &out, NULL) == COSIGN_ERR_ARGUMENT && out == NULL);
    cosign_sign_options_free(options);
    options = cosign_sign_options_new();
    cosign_sign_options_set_format(options, "bundle");
    EXPECT(cosign_generate(client, image, options, NULL, &out, NULL) == COSIGN_ERR_ARGUMENT && out == NULL);
    EXPECT(cosign_download(client, image, "pgp", NULL, 0, NULL, &out, NULL) == COSIGN_ERR_ARGUMENT && out == NULL);
    EXPECT(cosign_download(client, image, NULL, ".x", 0, NULL, &out, NULL) == COSIGN_ERR_ARGUMENT && out == NULL);
    EXPECT(cosign_triangulate(client, image, ".x", NULL, &out, NULL) == COSIGN_ERR_ARGUMENT && out == NULL);
    EXPECT(cosign_tree(client, "no such reference!", NULL, &out, NULL) == COSIGN_ERR_REFERENCE && out == NULL);
    EXPECT(cosign_doctor(client, image, NULL, NULL, NULL) == COSIGN_ERR_ARGUMENT);
    cosign_sign_options_free(options);
    cosign_private_key_free(key);
}

static void run(void (*test)(void), const char *name)
{
    wrong = 0;
    test();
    if (wrong) failed++;
    else passed++;
    printf("%s %s %s\n", wrong ? "FAIL" : "ok  ", name, image);
}
#define RUN(test) run(test, #test)

int main(int argc, char **argv)
{
    int n;
    if (argc != 3 || cosign_client_new(NULL, &client, NULL)) return 2;
    snprintf(layout, sizeof layout, "oci:%s:v1", argv[1]);
    for (n = 0; n < 2; n++) {
        image = n ? argv[2] : layout;
        RUN(what_is_generated_is_what_is_signed);
        RUN(any_payload_is_signed_and_downloaded_again);
        RUN(the_form_of_2021_is_written_and_found);
        RUN(bad_input_is_refused);
    }
    cosign_client_free(client);
    printf("%d promises kept, %d broken\n", passed, failed);
    return failed != 0;
}
