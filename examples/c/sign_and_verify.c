/* sign_and_verify [IMAGE]: makes a key, signs the image, verifies the signature.
 *   cc sign_and_verify.c $(pkg-config --cflags --libs cosign) -o sign_and_verify && ./sign_and_verify oci:image:v1 */
#include <cosign.h>
#include <stdio.h>
int main(int argc, char **argv)
{
    const char *image = argc > 1 ? argv[1] : "localhost:5000/app:v1";
    cosign_private_key *key = NULL;  cosign_public_key *pub = NULL;
    cosign_client *client = NULL;    cosign_verification *v = NULL;
    cosign_error *err = NULL;        int failed;
    cosign_policy *policy = cosign_policy_new();
    cosign_call *call = cosign_call_new();
    cosign_call_set_timeout_ms(call, 30000);
    if (cosign_private_key_generate(NULL, &key, &err) || cosign_private_key_public(key, &pub, &err)
        || cosign_client_new(NULL, &client, &err)
        || cosign_sign_image(client, image, key, NULL, call, NULL, &err)
        || (cosign_policy_add_key(policy, pub),
            cosign_verify_image(client, image, policy, call, &v, &err)))
        fprintf(stderr, "%d: %s\n", (int)cosign_error_code(err), cosign_error_message(err));
    else
        printf("%s: %d good signature(s)\n", cosign_verification_digest(v), (int)cosign_verification_count(v));
    failed = (err != NULL);
    cosign_verification_free(v);  cosign_policy_free(policy);   cosign_client_free(client);
    cosign_public_key_free(pub);  cosign_private_key_free(key); cosign_call_free(call);
    cosign_error_free(err);
    return failed;
}
