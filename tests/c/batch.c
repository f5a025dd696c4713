/* Batches, for tests/faces/c.sh: batch SILENT_HOST SIGNED_LAYOUT UNSIGNED_LAYOUT PUBLIC_KEY
 * SILENT_HOST accepts connections and never answers. Prints a closing count.
 */
#include <cosign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static int checks, failures;
static cosign_client *client;
static cosign_policy *policy;
static cosign_call *call;

#define CHECK(condition) check((condition) != 0, __LINE__, #condition)

static void check(int good, int line, const char *what)
{
    checks++;
    if (!good) { failures++; printf("FAIL line %d: %s\n", line, what); }
}

/* What a batch told. */
struct told {
    const char *const *list;
    size_t next, end;         /* of the references that are asked for */
    int64_t ahead;            /* how many more were taken than answered, at most */
    uint64_t answers;
    cosign_code codes[8];     /* of the first references; -1 for none yet */
    cosign_code answer;       /* what the callback returns */
    int meddle, fork, child;
};

static struct told fresh(void)
{
    struct told told;
    memset(&told, 0, sizeof told);
    memset(told.codes, 0xff, sizeof told.codes);
    return told;
}

static cosign_code on_result(uint64_t index, const char *reference, const cosign_verification *verification,
                             const cosign_error *error, void *user_data)
{
    struct told *told = user_data;
    CHECK((verification == NULL) != (error == NULL));
    if (told->list) CHECK(strcmp(reference, told->list[index % 4]) == 0);
    if (verification) {
        CHECK(strncmp(cosign_verification_digest(verification), "sha256:", 7) == 0);
        CHECK(strstr(cosign_verification_reference(verification), "@sha256:") != NULL);
        CHECK(cosign_verification_count(verification) == 1);
        CHECK(strstr(cosign_verification_json(verification), "\"verified\"") != NULL);
    } else {
        CHECK(cosign_error_code(error) != COSIGN_OK && cosign_error_message(error)[0] != 0);
    }
    if (index < 8) {
        CHECK(told->codes[index] == -1);
        told->codes[index] = cosign_error_code(error);
    }
    told->answers++;
    if (told->meddle == 1) cosign_call_set_timeout_ms(call, 1);
    if (told->meddle == 2) cosign_call_free(call);
    if (told->meddle == 3) cosign_call_cancel(call);
    if (told->fork && told->answers == 1) told->child = fork();
    return told->answer;
}

static cosign_code next_reference(const char **reference, void *user_data)
{
    struct told *told = user_data;
    int64_t ahead = (int64_t)(told->next - told->answers);
    static char copy[4096];
    if (ahead > told->ahead) told->ahead = ahead;
    if (told->next == told->end) return COSIGN_OK;
    /* The text need not live longer than until the next question. */
    strcpy(copy, told->list[told->next++ % 4]);
    *reference = copy;
    return COSIGN_OK;
}

static cosign_code failing(const char **reference, void *user_data)
{
    (void)reference;
    return *(cosign_code *)user_data;
}

/* By a pointer to it: in which order a call's arguments are made is open. */
static cosign_code code_of(cosign_code code, cosign_error **err, const char *word)
{
    CHECK((code == COSIGN_OK) == (*err == NULL));
    CHECK(cosign_error_code(*err) == code);
    if (word) CHECK(strstr(cosign_error_message(*err), word) != NULL);
    cosign_error_free(*err);
    return code;
}

static void every_reference_is_answered_once(const char *const *list)
{
    cosign_error *err = NULL;
    struct told told = fresh();
    size_t i;
    told.list = list;
    CHECK(code_of(cosign_verify_images(client, list, 4, policy, NULL, NULL, NULL, on_result, &told, &err), &err, NULL) == 0);
    CHECK(told.answers == 4);
    CHECK(told.codes[0] == COSIGN_OK && told.codes[1] == COSIGN_ERR_NO_SIGNATURES);
    CHECK(told.codes[2] == COSIGN_ERR_REFERENCE && told.codes[3] == COSIGN_OK);
    for (i = 0; i < 2; i++) { /* asked for one by one; with a call or without */
        told = fresh();
        told.list = list;
        told.end = 600;
        err = NULL;
        CHECK(code_of(cosign_verify_images_from(client, next_reference, policy, NULL, NULL, i ? call : NULL, on_result, &told, &err), &err, NULL) == 0);
        CHECK(told.answers == 600 && told.codes[4] == COSIGN_OK && told.codes[6] == COSIGN_ERR_REFERENCE);
        CHECK(told.ahead >= 0 && told.ahead <= 2048);
    }
    told = fresh();
    CHECK(cosign_verify_images(client, NULL, 0, policy, NULL, NULL, NULL, on_result, &told, NULL) == COSIGN_OK && told.answers == 0);
}

static void what_the_callbacks_answer(const char *const *list)
{
    cosign_error *err = NULL;
    struct told told = fresh();
    cosign_code codes[3][2] = {{COSIGN_ERR_CANCELLED, COSIGN_ERR_CANCELLED}, {-7, COSIGN_ERR_CALLBACK}, {1, COSIGN_ERR_CALLBACK}};
    size_t i;
    for (i = 0; i < 3; i++) {
        told = fresh();
        told.list = list;
        told.answer = codes[i][0];
        err = NULL;
        CHECK(code_of(cosign_verify_images(client, list, 4, policy, NULL, NULL, call, on_result, &told, &err), &err, "result callback") == codes[i][1]);
        CHECK(told.answers == 1);
        err = NULL;
        CHECK(code_of(cosign_verify_images_from(client, failing, policy, NULL, NULL, call, on_result, &codes[i][0], &err), &err, "reference callback") == codes[i][1]);
    }
    for (i = 1; i <= 2; i++) { /* rule 6 */
        told = fresh();
        told.list = list;
        told.meddle = (int)i;
        err = NULL;
        CHECK(code_of(cosign_verify_images(client, list, 4, policy, NULL, NULL, call, on_result, &told, &err), &err, "rule 6") == COSIGN_ERR_CALLBACK);
        CHECK(told.answers == 1);
    }
}

static void a_stopped_batch_says_so(const char *const *list, const char *silent)
{
    cosign_batch_options *options = cosign_batch_options_new();
    cosign_call *short_call = cosign_call_new(), *own = call;
    cosign_error *err = NULL;
    struct told told = fresh();
    char first[4096];
    const char *mute[3];
    int i;
    for (i = 0; i < 3; i++) mute[i] = first;
    sprintf(first, "%s/team/app:v1", silent);
    cosign_call_set_timeout_ms(short_call, 200);
    CHECK(code_of(cosign_verify_images(client, mute, 3, policy, NULL, NULL, short_call, on_result, &told, &err), &err, NULL) == COSIGN_ERR_TIMEOUT);
    CHECK(told.answers == 3 && told.codes[0] == COSIGN_ERR_TIMEOUT && told.codes[2] == COSIGN_ERR_TIMEOUT);
    /* An image's own limit stops only the image. */
    told = fresh();
    err = NULL;
    cosign_batch_options_set_image_timeout_ms(options, 100);
    CHECK(code_of(cosign_verify_images(client, mute, 3, policy, NULL, options, NULL, on_result, &told, &err), &err, NULL) == COSIGN_OK);
    CHECK(told.answers == 3 && told.codes[1] == COSIGN_ERR_TIMEOUT);
    /* Cancelled by the first answer: all others of the array get that answer. */
    call = cosign_call_new();
    told = fresh();
    told.list = list;
    told.meddle = 3;
    err = NULL;
    CHECK(code_of(cosign_verify_images(client, list, 4, policy, NULL, NULL, call, on_result, &told, &err), &err, NULL) == COSIGN_ERR_CANCELLED);
    CHECK(told.answers == 4 && told.codes[0] == COSIGN_OK && told.codes[3] == COSIGN_ERR_CANCELLED);
    cosign_call_free(call);
    call = own;
    cosign_call_free(short_call);
    cosign_batch_options_free(options);
}

static void wrong_arguments(const char *const *list)
{
    cosign_batch_options *options = cosign_batch_options_new();
    cosign_policy *empty = cosign_policy_new();
    const char *hole[2];
    struct told told = fresh();
    cosign_error *err = NULL;
    hole[0] = list[0];
    hole[1] = NULL;
    CHECK(code_of(cosign_verify_images(client, hole, 2, policy, NULL, NULL, NULL, on_result, &told, &err), &err, "a reference") == COSIGN_ERR_ARGUMENT);
    hole[1] = "\xff";
    CHECK(cosign_verify_images(client, hole, 2, policy, NULL, NULL, NULL, on_result, &told, NULL) == COSIGN_ERR_ENCODING);
    CHECK(cosign_verify_images(client, list, 4, empty, NULL, NULL, NULL, on_result, &told, NULL) == COSIGN_ERR_POLICY_EMPTY);
    CHECK(told.answers == 0);
    cosign_batch_options_set_at_once(options, 0);
    err = NULL;
    CHECK(code_of(cosign_verify_images(client, list, 4, policy, NULL, options, NULL, on_result, &told, &err), &err, "cosign_batch_options_set_at_once") == COSIGN_ERR_ARGUMENT);
    cosign_batch_options_free(options);
    options = cosign_batch_options_new();
    cosign_batch_options_set_per_host(options, 0);
    err = NULL;
    CHECK(code_of(cosign_verify_images_from(client, next_reference, policy, NULL, options, NULL, on_result, &told, &err), &err, "cosign_batch_options_set_per_host") == COSIGN_ERR_ARGUMENT);
    cosign_batch_options_free(options);
    cosign_policy_free(empty);
}

/* The callback forks: the child is told that the client is the parent's, the parent goes on. */
static void a_fork_in_the_middle(const char *const *list)
{
    cosign_error *err = NULL;
    struct told told = fresh();
    cosign_code code;
    int status = 0;
    told.list = list;
    told.fork = 1;
    code = cosign_verify_images(client, list, 4, policy, NULL, NULL, NULL, on_result, &told, &err);
    if (told.child == 0) _exit(code == COSIGN_ERR_FORKED && told.answers == 1 ? 0 : 1);
    CHECK(code_of(code, &err, NULL) == COSIGN_OK && told.answers == 4);
    CHECK(waitpid(told.child, &status, 0) == told.child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static cosign_public_key *read_key(const char *path)
{
    char pem[4096];
    cosign_public_key *key = NULL;
    FILE *file = fopen(path, "rb");
    size_t len = file ? fread(pem, 1, sizeof pem, file) : 0;
    if (!file || cosign_public_key_from_pem(pem, len, &key, NULL)) exit(2);
    fclose(file);
    return key;
}

int main(int argc, char **argv)
{
    const char *list[4];
    cosign_public_key *key;
    if (argc != 5) return 2;
    list[0] = argv[2];
    list[1] = argv[3];
    list[2] = "not a reference";
    list[3] = argv[2];
    key = read_key(argv[4]);
    policy = cosign_policy_new();
    cosign_policy_add_key(policy, key);
    call = cosign_call_new();
    if (cosign_client_new(NULL, &client, NULL)) return 2;
    every_reference_is_answered_once(list);
    what_the_callbacks_answer(list);
    a_stopped_batch_says_so(list, argv[1]);
    wrong_arguments(list);
    a_fork_in_the_middle(list);
    cosign_call_free(call);
    cosign_policy_free(policy);
    cosign_client_free(client);
    cosign_public_key_free(key);
    printf("%d checks, %d failed\n", checks, failures);
    return failures != 0;
}
