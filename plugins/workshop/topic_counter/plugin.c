/* Counts messages and words per topic: a whole plugin in C, without allocating for a message.
 *
 * Every message on `transcript.>` is acknowledged. The host's metrics topic_counter.messages and
 * topic_counter.words, with the attribute `topic`, and the plugin's own metrics
 * (`patchbay plugin info topic_counter`) show the counts. Of a JSON object the words of its
 * first member `text` are counted, of anything else all words.
 *
 * Bounds: TOPICS_MAX topics are told apart, further ones are counted together.
 */
#include "patchbay.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOPICS_MAX 64
/* Longest topic, by contract. */
#define TOPIC_BYTES_MAX 255

struct topic {
    char name[TOPIC_BYTES_MAX + 1];
    size_t len;
    uint64_t messages;
    uint64_t words;
};

struct counter {
    const pb_host *host;
    void *context;
    uint32_t messages_metric;
    uint32_t words_metric;
    /* Calls of several slots may run at once; everything below is behind this lock. */
    pthread_mutex_t lock;
    struct topic topics[TOPICS_MAX];
    size_t ntopics;
    struct topic others;
};

/* --- words ------------------------------------------------------------------------------------ */

static bool is_space(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static uint64_t count_words(const uint8_t *bytes, size_t len)
{
    uint64_t words = 0;
    bool inside = false;
    for (size_t i = 0; i < len; i++) {
        bool space = is_space(bytes[i]);
        words += !space && !inside;
        inside = !space;
    }
    return words;
}

/* The characters of the string member `text`, still escaped. False when there is none. */
static bool find_text(pb_str json, pb_str *text)
{
    static const char NAME[] = "\"text\"";
    const size_t name_len = sizeof NAME - 1;
    for (size_t i = 0; i + name_len <= json.len; i++) {
        if (memcmp(json.ptr + i, NAME, name_len) != 0)
            continue;
        size_t at = i + name_len;
        while (at < json.len && (is_space(json.ptr[at]) || json.ptr[at] == ':'))
            at++;
        if (at >= json.len || json.ptr[at] != '"')
            continue;
        size_t start = ++at;
        while (at < json.len && json.ptr[at] != '"')
            at += json.ptr[at] == '\\' ? 2 : 1;
        if (at >= json.len)
            return false;
        *text = (pb_str){ json.ptr + start, at - start };
        return true;
    }
    return false;
}

static uint64_t words_of(pb_str payload)
{
    pb_str text = payload;
    if (payload.len > 0 && payload.ptr[0] == '{')
        (void)find_text(payload, &text);
    return count_words(text.ptr, text.len);
}

/* --- topics ----------------------------------------------------------------------------------- */

/* The caller holds the lock. */
static struct topic *topic_of(struct counter *counter, pb_str name)
{
    for (size_t i = 0; i < counter->ntopics; i++) {
        struct topic *topic = &counter->topics[i];
        if (topic->len == name.len && memcmp(topic->name, name.ptr, name.len) == 0)
            return topic;
    }
    if (counter->ntopics == TOPICS_MAX || name.len > TOPIC_BYTES_MAX)
        return &counter->others;
    struct topic *topic = &counter->topics[counter->ntopics++];
    memcpy(topic->name, name.ptr, name.len);
    topic->len = name.len;
    return topic;
}

static void forget(struct counter *counter)
{
    memset(counter->topics, 0, sizeof counter->topics);
    memset(&counter->others, 0, sizeof counter->others);
    counter->ntopics = 0;
}

static void record(const struct counter *counter, uint32_t metric, uint64_t value, pb_str topic)
{
    pb_header attribute = { PB_STR("topic"), topic };
    counter->host->metric_record(counter->context, metric, (double)value, &attribute, 1);
}

/* --- control calls ---------------------------------------------------------------------------- */

/* {"topics":{"transcript.raw":{"messages":1,"words":2}},"others":0}; topics need no escaping. */
static uint32_t report(struct counter *counter, pb_outcome *outcome)
{
    const size_t cap = 64 + TOPICS_MAX * (TOPIC_BYTES_MAX + 80);
    char *text = malloc(cap);
    if (text == NULL)
        return pb_error(outcome, PB_TRANSIENT, PB_STR("no memory for the metrics"));
    size_t len = (size_t)snprintf(text, cap, "{\"topics\":{");
    pthread_mutex_lock(&counter->lock);
    for (size_t i = 0; i < counter->ntopics; i++) {
        const struct topic *topic = &counter->topics[i];
        len += (size_t)snprintf(text + len, cap - len,
                                "%s\"%s\":{\"messages\":%llu,\"words\":%llu}", i == 0 ? "" : ",",
                                topic->name, (unsigned long long)topic->messages,
                                (unsigned long long)topic->words);
    }
    len += (size_t)snprintf(text + len, cap - len, "},\"others\":%llu}",
                            (unsigned long long)counter->others.messages);
    pthread_mutex_unlock(&counter->lock);
    /* Handed over, with the function that frees it. */
    outcome->text = (pb_buf){ (uint8_t *)text, len, cap, pb_buf_free_ };
    return pb_ack(outcome);
}

static uint32_t op(void *instance, uint32_t which, pb_str arg, uint8_t *slot, const pb_waker *waker,
                   pb_outcome *outcome)
{
    struct counter *counter = instance;
    (void)slot;
    (void)waker;
    switch (which) {
    case PB_OP_INIT:
    case PB_OP_START:
    case PB_OP_SHUTDOWN:
    case PB_OP_HEALTH:
    case PB_OP_PAUSE:
    case PB_OP_RESUME:
    case PB_OP_EXPORT_STATE:
        return pb_ack(outcome);
    case PB_OP_IMPORT_STATE:
        if (arg.len > 0)
            return pb_error(outcome, PB_PERMANENT, PB_STR("this plugin takes over no state"));
        return pb_ack(outcome);
    case PB_OP_RESET:
        pthread_mutex_lock(&counter->lock);
        forget(counter);
        pthread_mutex_unlock(&counter->lock);
        return pb_ack(outcome);
    case PB_OP_METRICS:
        return report(counter, outcome);
    default:
        return pb_error(outcome, PB_PERMANENT, PB_STR("a control call of a later host"));
    }
}

/* --- the plugin ------------------------------------------------------------------------------- */

static uint32_t create(const pb_host *host, void *context, pb_str config, void **instance,
                       pb_outcome *error)
{
    (void)config;
    struct counter *counter = calloc(1, sizeof *counter);
    if (counter == NULL || pthread_mutex_init(&counter->lock, NULL) != 0) {
        free(counter);
        return pb_refuse(error, PB_STR("no memory for the counts"));
    }
    counter->host = host;
    counter->context = context;
    counter->messages_metric =
        host->metric(context, PB_METRIC_COUNTER, PB_STR("topic_counter.messages"));
    counter->words_metric = host->metric(context, PB_METRIC_COUNTER, PB_STR("topic_counter.words"));
    *instance = counter;
    return PB_READY;
}

static uint32_t process(void *instance, const pb_delivery *delivery, uint8_t *slot,
                        const pb_waker *waker, pb_outcome *outcome)
{
    struct counter *counter = instance;
    const pb_message *message = delivery->message;
    (void)slot;
    (void)waker;
    uint64_t words = words_of(message->payload);
    pthread_mutex_lock(&counter->lock);
    struct topic *topic = topic_of(counter, message->topic);
    topic->messages++;
    topic->words += words;
    pthread_mutex_unlock(&counter->lock);
    record(counter, counter->messages_metric, 1, message->topic);
    record(counter, counter->words_metric, words, message->topic);
    return pb_ack(outcome);
}

static uint32_t destroy(void *instance)
{
    struct counter *counter = instance;
    pthread_mutex_destroy(&counter->lock);
    free(counter);
    return PB_READY;
}

static const pb_plugin PLUGIN = {
    .size = sizeof(pb_plugin),
    .major = PB_MAJOR,
    .minor = PB_MINOR,
    .flags = PB_NOTE_UNWIND,
    .name = PB_STR_INIT("topic_counter"),
    .version = PB_STR_INIT("1.0.0"),
    .call_size = 0,
    .call_align = 1,
    .create = create,
    .op = op,
    .process = process,
    .poll = pb_never_polled,
    .cancel = pb_never_cancelled,
    .run_lane = NULL,
    .quiesce = pb_nothing_to_quiesce,
    .destroy = destroy,
};

PB_EXPORT const pb_plugin *patchbay_plugin_v1(void)
{
    return &PLUGIN;
}

/* The manifest, for the host to read before any of the above runs. */
PB_EXPORT_NOTE_FILE(0, "manifest.json");
