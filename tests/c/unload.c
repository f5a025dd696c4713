/* dlopen, use, dlclose, in a thread each time: unload LIBRARY IMAGE. Thread-local destructors run after the close. */
#include <cosign.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static const char *library, *image;
static int good;

static void *look_up(void *handle, const char *name, void *function)
{
    void *symbol = dlsym(handle, name);
    memcpy(function, &symbol, sizeof symbol);
    return symbol;
}

static void *use(void *unused)
{
    cosign_code (*client_new)(const cosign_client_options *, cosign_client **, cosign_error **);
    cosign_code (*resolve)(const cosign_client *, const char *, const cosign_call *, cosign_buffer **, cosign_error **);
    void (*client_free)(cosign_client *);
    void (*buffer_free)(cosign_buffer *);
    cosign_client *client = NULL;
    cosign_buffer *pinned = NULL;
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    (void)unused;
    if (handle && look_up(handle, "cosign_client_new", &client_new) && look_up(handle, "cosign_client_resolve", &resolve)
        && look_up(handle, "cosign_client_free", &client_free) && look_up(handle, "cosign_buffer_free", &buffer_free)
        && client_new(NULL, &client, NULL) == COSIGN_OK && resolve(client, image, NULL, &pinned, NULL) == COSIGN_OK) {
        /* The second answer is an error: it makes the client's own thread, which outlives the close. */
        buffer_free(pinned);
        if (resolve(client, "127.0.0.1:9/app:v1", NULL, &pinned, NULL) != COSIGN_OK && pinned == NULL)
            __sync_fetch_and_add(&good, 1);
        client_free(client);
    }
    if (handle) dlclose(handle);
    return NULL;
}

int main(int argc, char **argv)
{
    enum { ROUNDS = 100 };
    int i;
    if (argc != 3) return 2;
    library = argv[1];
    image = argv[2];
    for (i = 0; i < ROUNDS; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, use, NULL);
        pthread_join(thread, NULL);
    }
    printf("%d of %d rounds\n", good, ROUNDS);
    return good != ROUNDS;
}
