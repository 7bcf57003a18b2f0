// The tracepoint of lttng_event.c. LTTng reads this file several times, so the guard is its own form.
#undef TRACEPOINT_PROVIDER
#define TRACEPOINT_PROVIDER glassbox_bench
#undef TRACEPOINT_INCLUDE
#define TRACEPOINT_INCLUDE "./lttng_event_tp.h"
#if !defined(LTTNG_EVENT_TP_H) || defined(TRACEPOINT_HEADER_MULTI_READ)
#define LTTNG_EVENT_TP_H
#include <lttng/tracepoint.h>
TRACEPOINT_EVENT(glassbox_bench, open,
    TP_ARGS(const char *, path, int, ret, int, flags, int, mode, int, number),
    TP_FIELDS(ctf_string(path, path) ctf_integer(int, ret, ret) ctf_integer(int, flags, flags)
              ctf_integer(int, mode, mode) ctf_integer(int, number, number)))
#endif
#include <lttng/tracepoint-event.h>
