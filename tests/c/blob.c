/* Blobs through the C interface: blob FILE. The file holds anything. */
#include <cosign.h>
#include <stdio.h>
#include <string.h>

static int wrong, finalized;
static cosign_call *running;

#define EXPECT(condition)                                           \
    do {                                                            \
        if (!(condition)) {                                         \
            wrong++;                                                \
            printf("line %d: %s\n", __LINE__, #condition);          \
        }                                                           \
    } while (0)

struct source {
    FILE *file;
    cosign_code at_end;
    int lies, meddles, reads;
};

static cosign_code read_file(void *buffer, size_t size, size_t *count, void *user_data)
{
    struct source *source = user_data;
    source->reads++;
    if (source->meddles) cosign_call_set_timeout_ms(running, 1000);
    *count = fread(buffer, 1, size > 1000 ? 1000 : size, source->file);
    if (*count == 0) {
        if (source->lies) *count = size + 1;
        return source->at_end;
    }
    return COSIGN_OK;
}

static void done(void *user_data)
{
    (void)user_data;
    finalized++;
}

static struct source open_source(const char *path)
{
    struct source source = {0};
    source.file = fopen(path, "rb");
    return source;
}

static cosign_verify_blob_options *given(const char *form, const cosign_buffer *signature)
{
    cosign_verify_blob_options *options = cosign_verify_blob_options_new();
    if (strstr(form, "bundle"))
        cosign_verify_blob_options_add_bundle(options, cosign_buffer_data(signature), cosign_buffer_len(signature));
    else
        cosign_verify_blob_options_add_signature(options, cosign_buffer_data(signature), cosign_buffer_len(signature));
    return options;
}

int main(int argc, char **argv)
{
    static const char *forms[] = {"raw", "base64", "bundle", "old-bundle"};
    static char memory[1 << 20];
    size_t len, i;
    cosign_private_key *key = NULL;
    cosign_public_key *pub = NULL;
    cosign_policy *policy = cosign_policy_new();
    cosign_error *err = NULL;
    cosign_verification *proof = NULL;
    cosign_buffer *signature = NULL;
    cosign_verify_blob_options *options;
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (!file) return 2;
    len = fread(memory, 1, sizeof memory, file);
    fclose(file);
    EXPECT(cosign_private_key_generate(NULL, &key, NULL) == COSIGN_OK);
    EXPECT(cosign_private_key_public(key, &pub, NULL) == COSIGN_OK);
    cosign_policy_add_key(policy, pub);

    /* Memory, a file and a callback: the same blob, in each form. */
    for (i = 0; i < 4; i++) {
        struct source source = open_source(argv[1]);
        cosign_buffer *made[3] = {NULL, NULL, NULL};
        int each;
        finalized = 0;
        EXPECT(cosign_sign_blob(key, read_file, &source, done, forms[i], NULL, NULL, &made[0], NULL) == COSIGN_OK);
        EXPECT(finalized == 1);
        fclose(source.file);
        EXPECT(cosign_sign_blob_file(key, argv[1], forms[i], "sha256", NULL, &made[1], NULL) == COSIGN_OK);
        EXPECT(cosign_sign_blob_buffer(key, memory, len, forms[i], NULL, NULL, &made[2], NULL) == COSIGN_OK);
        for (each = 0; each < 3; each++) {
            options = given(forms[i], made[each]);
            source = open_source(argv[1]);
            EXPECT(cosign_verify_blob(read_file, &source, done, policy, options, NULL, &proof, NULL) == COSIGN_OK);
            EXPECT(strncmp(cosign_verification_digest(proof), "sha256:", 7) == 0);
            EXPECT(cosign_verification_count(proof) == 1);
            EXPECT(strstr(cosign_verification_json(proof), "\"verified\"") != NULL);
            cosign_verification_free(proof);
            fclose(source.file);
            EXPECT(cosign_verify_blob_file(argv[1], policy, options, NULL, &proof, NULL) == COSIGN_OK);
            EXPECT(strcmp(cosign_verification_reference(proof), argv[1]) == 0);
            cosign_verification_free(proof);
            EXPECT(cosign_verify_blob_buffer(memory, len, policy, options, NULL, &proof, NULL) == COSIGN_OK);
            cosign_verification_free(proof);
            EXPECT(cosign_verify_blob_buffer(memory, len - 1, policy, options, NULL, &proof, &err) ==
                   COSIGN_ERR_NO_SIGNATURE_MATCHES);
            EXPECT(proof == NULL && strstr(cosign_error_json(err), "\"report\"") != NULL);
            cosign_error_free(err);
            err = NULL;
            cosign_verify_blob_options_free(options);
            cosign_buffer_free(made[each]);
        }
        EXPECT(finalized == 4);
    }

    /* What cannot be read is never the end of the blob. */
    EXPECT(cosign_sign_blob_file(key, argv[1], NULL, NULL, NULL, &signature, NULL) == COSIGN_OK);
    options = given("raw", signature);
    cosign_buffer_free(signature);
    running = cosign_call_new();
    for (i = 0; i < 4; i++) {
        struct source source = open_source(argv[1]);
        cosign_code code;
        source.at_end = i == 0 ? 7 : i == 1 ? COSIGN_ERR_CANCELLED : COSIGN_OK;
        source.lies = i == 2;
        source.meddles = i == 3;
        finalized = 0;
        code = cosign_verify_blob(read_file, &source, done, policy, options, running, &proof, &err);
        EXPECT(code == (i == 1 ? COSIGN_ERR_CANCELLED : COSIGN_ERR_CALLBACK));
        EXPECT(proof == NULL && finalized == 1);
        EXPECT(source.reads > 0);
        cosign_error_free(err);
        err = NULL;
        fclose(source.file);
    }
    EXPECT(cosign_verify_blob_file("/nowhere/at/all", policy, options, NULL, &proof, &err) == COSIGN_ERR_IO);
    EXPECT(strstr(cosign_error_message(err), "/nowhere/at/all") != NULL);
    cosign_error_free(err);
    err = NULL;
    cosign_call_cancel(running);
    EXPECT(cosign_verify_blob_file(argv[1], policy, options, running, &proof, NULL) == COSIGN_ERR_CANCELLED);
    /* The finalizer runs whatever else is wrong. */
    finalized = 0;
    EXPECT(cosign_sign_blob(NULL, read_file, NULL, done, NULL, NULL, NULL, &signature, NULL) == COSIGN_ERR_ARGUMENT);
    EXPECT(cosign_sign_blob(key, NULL, NULL, done, NULL, NULL, NULL, &signature, NULL) == COSIGN_ERR_ARGUMENT);
    EXPECT(cosign_sign_blob(key, read_file, NULL, done, NULL, NULL, NULL, NULL, NULL) == COSIGN_ERR_ARGUMENT);
    EXPECT(finalized == 3 && signature == NULL);
    /* No signature, no key, a hash that nothing is over. */
    cosign_verify_blob_options_set_hash(options, "sha512");
    EXPECT(cosign_verify_blob_buffer(memory, len, policy, options, NULL, &proof, NULL) == COSIGN_ERR_NO_SIGNATURE_MATCHES);
    cosign_verify_blob_options_free(options);
    options = cosign_verify_blob_options_new();
    EXPECT(cosign_verify_blob_buffer(memory, len, policy, options, NULL, &proof, NULL) == COSIGN_ERR_ARGUMENT);
    cosign_verify_blob_options_free(options);

    cosign_call_free(running);
    cosign_policy_free(policy);
    cosign_public_key_free(pub);
    cosign_private_key_free(key);
    printf(wrong ? "%d wrong\n" : "blobs: %d wrong\n", wrong);
    return wrong != 0;
}
