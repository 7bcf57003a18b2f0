/* Waits in system calls, for victims that something is attached to meanwhile. */
#include "victim.h"
#include <poll.h>
#include <time.h>

/* Waits in the call of that name until `go` can be read, or its time is over, and says how that ended. False
   for a call that it does not know. */
static inline int waits_in(const char *call, int go) {
    char byte;
    if (!strcmp(call, "read")) {
        SHOW(read(go, &byte, 1));
    } else if (!strcmp(call, "poll")) {
        struct pollfd polled = {go, POLLIN, 0};
        SHOW(poll(&polled, 1, 20000));
    } else if (!strcmp(call, "nanosleep")) {
        struct timespec before, after, wish = {1, 500000000};
        clock_gettime(CLOCK_MONOTONIC, &before);
        SHOW(nanosleep(&wish, NULL));
        clock_gettime(CLOCK_MONOTONIC, &after);
        long ms = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
        say("slept %s\n", ms < 1500 ? "too little" : ms < 2700 ? "as long as it wished" : "too long");
    } else {
        return 0;
    }
    return 1;
}
