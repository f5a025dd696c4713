/* One step against a registry, for tests/faces/c.sh:
 *   registry sign IMAGE FORMAT JOURNAL   signs with a new key, then verifies: the status, each signature, what verified
 *   registry verify IMAGE                verifies with a new key: the name of the code
 */
#include <cosign.h>
#include <stdio.h>
#include <string.h>

static cosign_private_key *key;
static cosign_public_key *pub;
static cosign_client *client;
static cosign_policy *policy;

static int failed(cosign_code code, cosign_error *err)
{
    if (code == COSIGN_OK) return 0;
    printf("%s\n", cosign_code_name(code));
    fprintf(stderr, "%s\n", cosign_error_message(err));
    cosign_error_free(err);
    return 1;
}

static int verify(const char *image)
{
    cosign_verification *proof = NULL;
    cosign_error *err = NULL;
    cosign_code code = cosign_verify_image(client, image, policy, NULL, &proof, &err);
    size_t i;
    if (failed(code, err)) return 0;
    printf("verified");
    for (i = 0; i < cosign_verification_count(proof); i++) printf(" %s", cosign_verification_format_at(proof, i));
    printf("\n");
    cosign_verification_free(proof);
    return 0;
}

static int sign(const char *image, const char *format, int journal)
{
    cosign_sign_options *options = cosign_sign_options_new();
    cosign_signed *done = NULL;
    cosign_error *err = NULL;
    cosign_code code;
    size_t i;
    cosign_sign_options_set_format(options, format);
    cosign_sign_options_set_journal(options, journal);
    code = cosign_sign_image(client, image, key, options, NULL, &done, &err);
    cosign_sign_options_free(options);
    if (failed(code, err)) return 0;
    printf("%s", cosign_signed_status(done));
    for (i = 0; i < cosign_signed_count(done); i++)
        printf(" %s=%s", cosign_signed_format_at(done, i), cosign_signed_status_at(done, i));
    if ((strcmp(cosign_signed_status(done), "stored") == 0) != (cosign_signed_reason(done)[0] == 0)) printf(" and a wrong reason");
    printf("; ");
    cosign_signed_free(done);
    return verify(image);
}

int main(int argc, char **argv)
{
    int result = 2;
    policy = cosign_policy_new();
    if (cosign_private_key_generate(NULL, &key, NULL) || cosign_private_key_public(key, &pub, NULL)
        || cosign_client_new(NULL, &client, NULL))
        return 1;
    cosign_policy_add_key(policy, pub);
    if (argc == 5 && strcmp(argv[1], "sign") == 0) result = sign(argv[2], argv[3], argv[4][0] == '1');
    if (argc == 3 && strcmp(argv[1], "verify") == 0) result = verify(argv[2]);
    cosign_policy_free(policy);
    cosign_client_free(client);
    cosign_public_key_free(pub);
    cosign_private_key_free(key);
    return result;
}
