/* Verdicts under faults, by their codes: faults REGISTRY, where REGISTRY is the program cosign-test-registry.
 *
 * Each request of sign and verify fails in several ways, alone or with everything after it. A call that succeeds shows
 * evidence for it, an error has the fault's own code, and what could not be read is never "no signatures". */
#define _GNU_SOURCE
#include <cosign.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Most of the time a case waits to try again. */
#define WORKERS 16
#define PATIENCE_MS 400

struct fault {
    const char *json;
    cosign_code code;
    int alone; /* Also as a fault of one request alone. */
};

static const struct fault faults[] = {
    { "{\"rate_limit\": \"absent\"}", COSIGN_ERR_RATE_LIMITED, 0 },
    { "{\"oci_error\": [500, \"UNKNOWN\"]}", COSIGN_ERR_NETWORK, 0 },
    { "{\"oci_error\": [403, \"DENIED\"]}", COSIGN_ERR_DENIED, 1 },
    { "{\"text\": [401, \"who?\"]}", COSIGN_ERR_AUTH, 1 },
    { "\"reset\"", COSIGN_ERR_NETWORK, 0 },
    { "\"truncate\"", COSIGN_ERR_NETWORK, 1 },
    { "\"wrong_bytes\"", COSIGN_ERR_CONTENT, 1 },
    { "\"portal\"", COSIGN_ERR_PROTOCOL, 1 },
    { "\"stall\"", COSIGN_ERR_TIMEOUT, 0 },
};
#define FAULTS (sizeof faults / sizeof faults[0])

struct registry {
    FILE *in, *out;
    pid_t pid;
    char host[64], image[128];
    int images;
};

static const char *program;
static cosign_private_key *ours, *theirs, *strangers;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int next_case, cases, met, failed;

static void die(const char *what)
{
    printf("%s\n", what);
    exit(1);
}

static void start(struct registry *registry)
{
    int to[2], from[2];
    char line[128];
    /* Two at once would inherit each other's pipes, and would not end with them. */
    pthread_mutex_lock(&lock);
    if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC)) die("no pipe");
    registry->pid = fork();
    if (registry->pid == 0) {
        dup2(to[0], 0);
        dup2(from[1], 1);
        execl(program, program, (char *)NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    pthread_mutex_unlock(&lock);
    registry->in = fdopen(to[1], "w");
    registry->out = fdopen(from[0], "r");
    registry->images = 0;
    if (!registry->in || !registry->out || !fgets(line, sizeof line, registry->out) || sscanf(line, "listening %63s", registry->host) != 1)
        die("no registry");
}

/* One command; its answer when that is a number. */
static long tell(struct registry *registry, const char *line)
{
    char answer[4096];
    long number = 0;
    fprintf(registry->in, "%s\n", line);
    fflush(registry->in);
    if (!fgets(answer, sizeof answer, registry->out) || strncmp(answer, "{\"ok\":", 6) != 0) die(line);
    sscanf(answer + 6, "%ld", &number);
    return number;
}

static void stop(struct registry *registry)
{
    int status = 1;
    fclose(registry->in);
    waitpid(registry->pid, &status, 0);
    fclose(registry->out);
    if (status != 0) die("the registry failed");
}

static void fresh_image(struct registry *registry)
{
    char line[256];
    snprintf(line, sizeof line, "{\"add_image\": {\"repository\": \"team/r%d\", \"tag\": \"v1\"}}", ++registry->images);
    tell(registry, line);
    snprintf(registry->image, sizeof registry->image, "%s/team/r%d:v1", registry->host, registry->images);
}

/* A new client each time, which knows nothing of the registry. */
static cosign_client *client(void)
{
    cosign_client *made = NULL;
    if (cosign_client_new(NULL, &made, NULL) != COSIGN_OK) die("no client");
    return made;
}

static cosign_call *patience(const struct fault *fault)
{
    cosign_call *call = cosign_call_new();
    if (fault && fault->code == COSIGN_ERR_TIMEOUT) cosign_call_set_timeout_ms(call, PATIENCE_MS);
    return call;
}

/* The code; what was said; whether the error tells what was done. */
static cosign_code sign(const char *image, const cosign_private_key *key, const struct fault *fault, char status[32], int *stages)
{
    cosign_client *with = client();
    cosign_call *call = patience(fault);
    cosign_sign_options *options = cosign_sign_options_new();
    cosign_signed *done = NULL;
    cosign_error *err = NULL;
    cosign_code code;
    cosign_sign_options_set_format(options, "both");
    cosign_sign_options_add_annotation(options, "a", "b");
    code = cosign_sign_image(with, image, key, options, call, &done, &err);
    if (code == COSIGN_OK) snprintf(status, 32, "%s", cosign_signed_status(done));
    if (code != COSIGN_OK) *stages = strstr(cosign_error_json(err), "\"stages\"") != NULL;
    cosign_error_free(err);
    cosign_signed_free(done);
    cosign_sign_options_free(options);
    cosign_call_free(call);
    cosign_client_free(with);
    return code;
}

static cosign_code verify(const char *image, const cosign_private_key *key, int journal, const struct fault *fault, size_t *count)
{
    cosign_client *with = client();
    cosign_call *call = patience(fault);
    cosign_policy *policy = cosign_policy_new();
    cosign_verify_options *options = cosign_verify_options_new();
    cosign_public_key *pub = NULL;
    cosign_verification *proof = NULL;
    cosign_code code;
    cosign_verify_options_set_journal(options, journal);
    if (cosign_private_key_public(key, &pub, NULL) != COSIGN_OK) die("no public key");
    cosign_policy_add_key(policy, pub);
    code = cosign_verify_image_with(with, image, policy, options, call, &proof, NULL);
    *count = code == COSIGN_OK ? cosign_verification_count(proof) : 0;
    if ((code == COSIGN_OK) != (proof != NULL)) die("a proof without success, or success without a proof");
    cosign_verification_free(proof);
    cosign_public_key_free(pub);
    cosign_verify_options_free(options);
    cosign_policy_free(policy);
    cosign_call_free(call);
    cosign_client_free(with);
    return code;
}

/* How many requests each operation makes: [0] sign, [1] verify by a signer, [2] verify for a stranger. */
static long requests[3];

static void wrong(const char *what, int operation, long k, const struct fault *fault, int alone, cosign_code code)
{
    pthread_mutex_lock(&lock);
    failed++;
    printf("%s: operation %d, request %ld %s %s: %s\n", what, operation, k, alone ? "alone" : "and all after it", fault->json, cosign_code_name(code));
    pthread_mutex_unlock(&lock);
}

static void one(struct registry *registry, int operation, long k, const struct fault *fault, int alone)
{
    char line[256], status[32] = "";
    size_t count = 0;
    long before;
    int stages = 0;
    cosign_code code;
    /* A bit flipped in a list of tags makes another list, or none at all. */
    cosign_code other = fault->code == COSIGN_ERR_CONTENT ? COSIGN_ERR_PROTOCOL : fault->code;
#define EXPECT(condition) do { if (!(condition)) wrong(#condition, operation, k, fault, alone, code); } while (0)

    fresh_image(registry);
    if (sign(registry->image, theirs, NULL, status, &stages) != COSIGN_OK || strcmp(status, "stored") != 0) die("the first signature is not stored");
    before = tell(registry, "{\"hits\": {}}");
    if (alone)
        snprintf(line, sizeof line, "{\"fail\": {\"request\": %ld, \"do\": %s}}", k, fault->json);
    else
        snprintf(line, sizeof line, "{\"fault\": {\"when\": \"\", \"skip\": %ld, \"do\": %s}}", k - 1, fault->json);
    tell(registry, line);

    if (operation == 0) {
        code = sign(registry->image, ours, fault, status, &stages);
        tell(registry, "{\"heal\": {}}");
        if (code == COSIGN_OK) {
            EXPECT(strcmp(status, "stored") == 0 || strcmp(status, "stored_unprotected") == 0 || strcmp(status, "journal_only") == 0);
            EXPECT(verify(registry->image, ours, strcmp(status, "journal_only") == 0, NULL, &count) == COSIGN_OK && count >= 1);
            EXPECT(strcmp(status, "stored") != 0 || count == 2);
        } else {
            EXPECT(code == fault->code || code == other);
            /* After the tag was resolved every error says how far it came; patience may end before. */
            EXPECT(stages || k <= 1 || code == COSIGN_ERR_TIMEOUT);
        }
        /* Whoever signed before is not lost, and nothing half written is in the way. */
        EXPECT(verify(registry->image, theirs, 0, NULL, &count) == COSIGN_OK && count == 2);
    } else if (operation == 1) {
        code = verify(registry->image, theirs, 1, fault, &count);
        EXPECT(code == COSIGN_OK ? count == 1 || count == 2 : code == fault->code || code == other);
    } else {
        code = verify(registry->image, strangers, 1, fault, &count);
        EXPECT(code == fault->code || code == other || code == COSIGN_ERR_NO_SIGNATURE_MATCHES);
        /* The first request is the image itself. */
        EXPECT(k > 1 || alone || code == fault->code);
    }
    pthread_mutex_lock(&lock);
    cases++;
    met += tell(registry, "{\"hits\": {}}") > before;
    pthread_mutex_unlock(&lock);
    tell(registry, "{\"heal\": {}}");
}

static void *work(void *unused)
{
    struct registry registry;
    start(&registry);
    for (;;) {
        long number, k;
        int operation;
        const struct fault *fault;
        pthread_mutex_lock(&lock);
        number = next_case++;
        pthread_mutex_unlock(&lock);
        for (operation = 0; operation < 3 && number >= requests[operation] * (long)(2 * FAULTS); operation++)
            number -= requests[operation] * (long)(2 * FAULTS);
        if (operation == 3) break;
        k = 1 + number / (long)(2 * FAULTS);
        fault = &faults[(number / 2) % (long)FAULTS];
        if (number % 2 == 0 || fault->alone) one(&registry, operation, k, fault, (int)(number % 2));
    }
    stop(&registry);
    return unused;
}

/* The requests of each operation when nothing fails. */
static void count_requests(void)
{
    struct registry registry;
    char status[32];
    size_t count;
    int stages;
    long mark[4];
    start(&registry);
    fresh_image(&registry);
    if (sign(registry.image, theirs, NULL, status, &stages) != COSIGN_OK) die("signing fails");
    mark[0] = tell(&registry, "{\"mark\": {}}");
    if (sign(registry.image, ours, NULL, status, &stages) != COSIGN_OK) die("signing again fails");
    mark[1] = tell(&registry, "{\"mark\": {}}");
    if (verify(registry.image, theirs, 1, NULL, &count) != COSIGN_OK || count != 2) die("verifying fails");
    mark[2] = tell(&registry, "{\"mark\": {}}");
    if (verify(registry.image, strangers, 1, NULL, &count) != COSIGN_ERR_NO_SIGNATURE_MATCHES) die("a stranger is a signer");
    mark[3] = tell(&registry, "{\"mark\": {}}");
    for (stages = 0; stages < 3; stages++) requests[stages] = mark[stages + 1] - mark[stages];
    stop(&registry);
}

int main(int argc, char **argv)
{
    pthread_t threads[WORKERS];
    int n;
    if (argc != 2) die("usage: faults REGISTRY");
    program = argv[1];
    if (cosign_private_key_generate(NULL, &ours, NULL) || cosign_private_key_generate(NULL, &theirs, NULL)
        || cosign_private_key_generate(NULL, &strangers, NULL))
        die("no keys");
    count_requests();
    for (n = 0; n < WORKERS; n++)
        if (pthread_create(&threads[n], NULL, work, NULL)) die("no thread");
    for (n = 0; n < WORKERS; n++) pthread_join(threads[n], NULL);
    cosign_private_key_free(ours);
    cosign_private_key_free(theirs);
    cosign_private_key_free(strangers);
    printf("%d cases, %d met their fault, %d failed\n", cases, met, failed);
    return failed || met < cases * 3 / 4 || cases < 300;
}
