/* Records of hand-offs for the independent checker (patchbay_testkit::checker), written by a plugin
 * built with -DNAME="...". What was written survives the host: each record is one write to a file
 * opened for appending. */
#ifndef RECORDS_H
#define RECORDS_H

#include "fixture.h"

#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

/* Who published it, its number, and what to do with it: the payload. */
typedef struct order {
    char publisher[32], verb[16];
    uint64_t n;
} order;

static inline int read_order(pb_str payload, order *out)
{
    char text[96];
    size_t len = payload.len < sizeof text - 1 ? payload.len : sizeof text - 1;
    memcpy(text, payload.ptr, len);
    text[len] = 0;
    return sscanf(text, "%31s %" SCNu64 " %15s", out->publisher, &out->n, out->verb) == 3;
}

static inline int is(const order *order, const char *verb)
{
    return strcmp(order->verb, verb) == 0;
}

static inline uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* The file that the configuration names, or -1. */
static inline int open_records(pb_str config)
{
    char path[512];
    text_of(config, "records", path, sizeof path);
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

/* `more`: what stands in the record besides, from its comma on. */
static inline void put(int records, const char *record, const pb_delivery *it, const order *order, const char *more)
{
    char line[512];
    int len = snprintf(line, sizeof line,
                       "{\"record\":\"%s\",\"publisher\":\"%s\",\"n\":%" PRIu64
                       ",\"subscription\":\"" NAME ":%u\",\"delivery\":%" PRIu64 ",\"attempt\":%u%s,\"t\":%" PRIu64 "}\n",
                       record, order->publisher, order->n, it->subscription, it->id, it->attempt, more, now());
    if (len < 0 || len >= (int)sizeof line || write(records, line, (size_t)len) != len)
        abort();
}

static inline void began(int records, const pb_delivery *it, const order *order, const char *more)
{
    put(records, "began", it, order, more);
}

/* `status`: as JSON. */
static inline void ended(int records, const pb_delivery *it, const order *order, const char *status)
{
    char more[96];
    snprintf(more, sizeof more, ",\"status\":%s", status);
    put(records, "ended", it, order, more);
}

#endif
