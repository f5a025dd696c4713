/* verify REFERENCE KEYFILE: does the image carry a good signature of this key?
 *   cc verify.c $(pkg-config --cflags --libs cosign) -o verify && ./verify oci:image:v1 cosign.pub */
#include <cosign.h>
#include <stdio.h>
int main(int argc, char **argv)
{
    char pem[8192];                      size_t len = 0;
    cosign_public_key *key = NULL;       cosign_client *client = NULL;
    cosign_verification *proof = NULL;   cosign_error *err = NULL;
    cosign_policy *policy = cosign_policy_new();
    FILE *file = argc == 3 ? fopen(argv[2], "rb") : NULL;
    if (file) { len = fread(pem, 1, sizeof pem, file); fclose(file); }
    if (!file)
        fprintf(stderr, "usage: verify REFERENCE KEYFILE (a readable public key)\n");
    else if (cosign_public_key_from_pem(pem, len, &key, &err)
        || (cosign_policy_add_key(policy, key), cosign_client_new(NULL, &client, &err))
        || cosign_verify_image(client, argv[1], policy, NULL, &proof, &err))
        fprintf(stderr, "%d: %s\n", (int)cosign_error_code(err), cosign_error_message(err));
    else
        printf("%s: %d good signature(s)\n", cosign_verification_reference(proof), (int)cosign_verification_count(proof));
    len = proof != NULL;                 /* there is a proof only when the policy is met */
    cosign_verification_free(proof);     cosign_client_free(client);   cosign_policy_free(policy);
    cosign_public_key_free(key);         cosign_error_free(err);
    return len ? 0 : 1;
}
