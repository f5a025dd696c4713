/*
 * Runs a command and prints "wall_us user_us system_us peak_kib" to the file that the first argument names.
 *
 * The peak memory that the kernel reports for a child starts with what its parent held when it forked, so a parent as
 * small as this one has to do it: measured from Python, every program seems to need Python's 14 MiB.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct timespec started, ended;
    struct rusage usage;
    int status;
    FILE *out;
    pid_t pid;

    if (argc < 3)
        return 2;
    clock_gettime(CLOCK_MONOTONIC, &started);
    pid = fork();
    if (pid == 0) {
        execvp(argv[2], argv + 2);
        _exit(127);
    }
    if (pid < 0 || wait4(pid, &status, 0, &usage) != pid)
        return 126;
    clock_gettime(CLOCK_MONOTONIC, &ended);
    out = fopen(argv[1], "w");
    if (out == NULL)
        return 126;
    fprintf(out, "%ld %ld %ld %ld\n",
            (ended.tv_sec - started.tv_sec) * 1000000L + (ended.tv_nsec - started.tv_nsec) / 1000L,
            usage.ru_utime.tv_sec * 1000000L + (long)usage.ru_utime.tv_usec,
            usage.ru_stime.tv_sec * 1000000L + (long)usage.ru_stime.tv_usec, usage.ru_maxrss);
    fclose(out);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
