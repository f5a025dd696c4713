/* Signatures in a repository of their own, clean, gc and copy against a registry, for tests/faces/c.sh:
 *   maintain IMAGE SIGNATURES COPY   IMAGE is unsigned; SIGNATURES a repository; COPY where the image is copied to
 * Prints one word for each step and the code of whatever is refused.
 */
#include <cosign.h>
#include <stdio.h>
#include <string.h>

static cosign_private_key *key;
static cosign_public_key *pub;
static cosign_policy *policy;

static const char *answer(cosign_code code, cosign_error *err)
{
    cosign_error_free(err);
    return cosign_code_name(code);
}

static void show(const char *what, cosign_code code, cosign_buffer *out, cosign_error *err, const char *expected)
{
    if (code != COSIGN_OK) printf("%s=%s\n", what, answer(code, err));
    else printf("%s=%s\n", what, strstr(cosign_buffer_data(out), expected) ? "ok" : cosign_buffer_data(out));
    cosign_buffer_free(out);
}

static void verify(const cosign_client *client, const char *what, const char *image, const char *named)
{
    cosign_verify_options *options = cosign_verify_options_new();
    cosign_verification *proof = NULL;
    cosign_error *err = NULL;
    cosign_code code;
    if (named) cosign_verify_options_set_signature_reference(options, named);
    code = cosign_verify_image_with(client, image, policy, options, NULL, &proof, &err);
    printf("%s=%s\n", what, answer(code, err));
    cosign_verification_free(proof);
    cosign_verify_options_free(options);
}

int main(int argc, char **argv)
{
    cosign_client_options *options = cosign_client_options_new(), *wrong = cosign_client_options_new();
    cosign_client *client = NULL, *plain = NULL, *none = NULL;
    cosign_sign_options *both = cosign_sign_options_new();
    cosign_signed *done = NULL;
    cosign_buffer *out = NULL;
    cosign_error *err = NULL;
    cosign_code code;
    if (argc != 4) return 2;
    policy = cosign_policy_new();
    cosign_client_options_set_signature_repository(options, argv[2]);
    cosign_client_options_set_signature_repository(wrong, "registry.example/app:tag");
    if (cosign_private_key_generate(NULL, &key, NULL) || cosign_private_key_public(key, &pub, NULL)
        || cosign_client_new(options, &client, NULL) || cosign_client_new(NULL, &plain, NULL))
        return 1;
    cosign_policy_add_key(policy, pub);
    code = cosign_client_new(wrong, &none, &err);
    printf("wrong=%s\n", answer(code, err));
    cosign_sign_options_set_format(both, "both");
    if (cosign_sign_image(client, argv[1], key, both, NULL, &done, NULL)) return 1;
    verify(client, "kept", argv[1], NULL);
    verify(plain, "beside", argv[1], NULL);
    verify(plain, "named", argv[1], cosign_signed_place_at(done, 0));
    verify(plain, "malformed", argv[1], "A/B");

    err = NULL;
    code = cosign_copy_image(client, argv[1], argv[3], NULL, NULL, 0, NULL, &out, &err);
    show("copy", code, out, err, "\"added\":2");
    verify(plain, "copied", argv[3], NULL);
    out = NULL, err = NULL;
    code = cosign_copy_image(client, argv[1], argv[3], "sig,att", NULL, 1, NULL, &out, &err);
    show("again", code, out, err, "\"added\":0");
    out = NULL, err = NULL;
    code = cosign_copy_image(client, argv[1], argv[3], "sig,everything", NULL, 0, NULL, &out, &err);
    show("only", code, out, err, "");
    out = NULL, err = NULL;
    code = cosign_copy_image(client, argv[1], argv[3], NULL, "linux/amd64", 0, NULL, &out, &err);
    show("platform", code, out, err, "");

    out = NULL, err = NULL;
    code = cosign_gc(client, argv[1], 1, 1, NULL, &out, &err);
    show("gc", code, out, err, "\"removed\":[]");
    out = NULL, err = NULL;
    code = cosign_clean_image(client, argv[1], "everything", NULL, &out, &err);
    show("kind", code, out, err, "");
    out = NULL, err = NULL;
    code = cosign_clean_image(client, argv[1], "referrer", NULL, &out, &err);
    show("referrer", code, out, err, "\"by_digest\":true");
    verify(client, "legacy", argv[1], NULL);
    out = NULL, err = NULL;
    code = cosign_clean_image(client, argv[1], NULL, NULL, &out, &err);
    show("clean", code, out, err, "\"kept\":[]");
    verify(client, "cleaned", argv[1], NULL);
    verify(plain, "copy", argv[3], NULL);

    cosign_signed_free(done);
    cosign_sign_options_free(both);
    cosign_policy_free(policy);
    cosign_client_free(client);
    cosign_client_free(plain);
    cosign_client_options_free(options);
    cosign_client_options_free(wrong);
    cosign_public_key_free(pub);
    cosign_private_key_free(key);
    return 0;
}
