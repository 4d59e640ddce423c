/* fdatasync, as on a slower disk: preloaded into the servers of a benchmark, it returns FLUSH_DELAY_US later. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

int fdatasync(int descriptor)
{
    static int (*flush)(int);
    static long delay;

    if (flush == NULL) {
        const char *told = getenv("FLUSH_DELAY_US");
        delay = told == NULL ? 0 : atol(told);
        flush = (int (*)(int)) dlsym(RTLD_NEXT, "fdatasync");
    }
    int outcome = flush(descriptor);
    struct timespec pause = {delay / 1000000, delay % 1000000 * 1000};
    nanosleep(&pause, NULL);
    return outcome;
}
