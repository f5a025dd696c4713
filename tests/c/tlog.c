/* The transparency log, for tests/faces/c.sh: tlog IMAGE LOG_URL LOG_KEY_PEM TRUSTED_ROOT
 * Signs with a new key into the log and verifies by the entry beside the signature; prints what came of each step. */
#include <cosign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char text[1 << 16];

static size_t slurp(const char *path)
{
    FILE *file = fopen(path, "rb");
    size_t length;
    if (!file) exit(2);
    length = fread(text, 1, sizeof text, file);
    fclose(file);
    return length;
}

static cosign_client *client_of(const char *url)
{
    cosign_client_options *options = cosign_client_options_new();
    cosign_client *client = NULL;
    cosign_client_options_set_rekor_url(options, url);
    if (cosign_client_new(options, &client, NULL)) exit(2);
    cosign_client_options_free(options);
    return client;
}

static void verify(const cosign_client *client, const char *image, const cosign_policy *policy, int offline)
{
    cosign_verify_options *options = cosign_verify_options_new();
    cosign_verification *proof = NULL;
    cosign_code code;
    cosign_verify_options_set_offline(options, offline);
    code = cosign_verify_image_with(client, image, policy, options, NULL, &proof, NULL);
    printf("%s%s ", cosign_code_name(code), strstr(cosign_verification_json(proof), "\"log\":{\"index\":") ? "+log" : "");
    cosign_verification_free(proof);
    cosign_verify_options_free(options);
}

static void sign(const cosign_client *client, const char *image, const cosign_private_key *key, const char *tlog)
{
    cosign_sign_options *options = cosign_sign_options_new();
    cosign_signed *done = NULL;
    cosign_sign_options_set_tlog(options, tlog);
    if (cosign_sign_image(client, image, key, options, NULL, &done, NULL)) printf("failed ");
    else printf("%s ", strstr(cosign_signed_json(done), "\"tlog\":\"uploaded\"") ? "uploaded" : "silent");
    cosign_signed_free(done);
    cosign_sign_options_free(options);
}

int main(int argc, char **argv)
{
    cosign_private_key *key = NULL;
    cosign_public_key *pub = NULL, *log = NULL;
    cosign_client *client, *nowhere;
    cosign_policy *policy, *trusting;
    if (argc != 5) return 2;
    client = client_of(argv[2]);
    nowhere = client_of("http://127.0.0.1:9");
    if (cosign_private_key_generate(NULL, &key, NULL) || cosign_private_key_public(key, &pub, NULL)) return 2;
    if (cosign_public_key_from_pem(text, slurp(argv[3]), &log, NULL)) return 2;
    policy = cosign_policy_new();
    cosign_policy_add_key(policy, pub);
    cosign_policy_set_tlog(policy, 1);
    sign(client, argv[1], key, "never");
    verify(client, argv[1], policy, 0);
    cosign_policy_add_log_key(policy, log);
    verify(client, argv[1], policy, 0);
    verify(nowhere, argv[1], policy, 0);
    sign(client, argv[1], key, "public");
    verify(nowhere, argv[1], policy, 0);
    verify(nowhere, argv[1], policy, 1);
    trusting = cosign_policy_new();
    cosign_policy_add_key(trusting, pub);
    cosign_policy_set_tlog(trusting, 1);
    cosign_policy_add_trusted_root(trusting, text, slurp(argv[4]));
    verify(nowhere, argv[1], trusting, 1);
    sign(client, argv[1], key, "perhaps");
    printf("\n");
    cosign_policy_free(trusting);
    cosign_policy_free(policy);
    cosign_public_key_free(log);
    cosign_public_key_free(pub);
    cosign_private_key_free(key);
    cosign_client_free(nowhere);
    cosign_client_free(client);
    return 0;
}
