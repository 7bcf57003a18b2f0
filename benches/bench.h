// Shared by the bench programs: a clock, and the one line of JSON that they print.
//
// Each program times its own loop, so that starting it is not part of the figure.
#ifndef BENCH_H
#define BENCH_H
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#define UNUSED __attribute__((unused))

static uint64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
UNUSED static uint64_t wall_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

// This process and the children that it waited for.
UNUSED static uint64_t cpu_ns(void) {
    struct rusage usage;
    getrusage(RUSAGE_CHILDREN, &usage);
    uint64_t us = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000u
                + (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID) + us * 1000u;
}

UNUSED static long count_argument(int argc, char **argv, int index, long otherwise) {
    return argc > index ? atol(argv[index]) : otherwise;
}

UNUSED static void report(long iterations, uint64_t wall, uint64_t cpu) {
    printf("{\"iterations\":%ld,\"wall_ns\":%llu,\"cpu_ns\":%llu}\n", iterations,
           (unsigned long long)wall, (unsigned long long)cpu);
}

UNUSED static void die(const char *what) {
    perror(what);
    exit(1);
}
#endif
