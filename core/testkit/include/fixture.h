/* What plugins that tests are made with have in common. */
#ifndef FIXTURE_H
#define FIXTURE_H

#include <patchbay.h>

#include <stdio.h>
#include <time.h>

/* The value of a text key of a flat JSON object, without escapes. */
static inline void text_of(pb_str config, const char *key, char *out, size_t size)
{
    char copy[4096], pattern[64];
    const char *at, *end;
    size_t len = config.len < sizeof copy - 1 ? config.len : sizeof copy - 1;
    out[0] = 0;
    memcpy(copy, config.ptr, len);
    copy[len] = 0;
    snprintf(pattern, sizeof pattern, "\"%s\":\"", key);
    at = strstr(copy, pattern);
    if (at == NULL)
        return;
    at += strlen(pattern);
    end = strchr(at, '"');
    if (end != NULL && (size_t)(end - at) < size) {
        memcpy(out, at, (size_t)(end - at));
        out[end - at] = 0;
    }
}

static inline void nap(long milliseconds)
{
    struct timespec time = { milliseconds / 1000, milliseconds % 1000 * 1000000 };
    while (nanosleep(&time, &time) != 0)
        ;
}

#endif
