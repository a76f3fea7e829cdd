/* Forwards every text on `texts.>` to `plugin.my_plugin.seen`, and refuses empty ones.
 *
 * patchbay.h describes everything that is used here. The test is tests/plugin_test.c.
 */
#include <patchbay.h>

#include <stdatomic.h>
#include <stdio.h>

/* Calls may run on several threads at once: what changes is atomic. */
struct plugin {
    const pb_host *host;
    void *context;
    uint32_t seen_metric;
    atomic_ullong seen;
};

static uint32_t create(const pb_host *host, void *context, pb_str config, void **instance,
                       pb_outcome *error)
{
    (void)config; /* a JSON object; single values: host->config_get */
    struct plugin *plugin = calloc(1, sizeof *plugin);
    if (plugin == NULL)
        return pb_refuse(error, PB_STR("out of memory"));
    plugin->host = host;
    plugin->context = context;
    plugin->seen_metric = host->metric(context, PB_METRIC_COUNTER, PB_STR("my_plugin.seen"));
    *instance = plugin;
    return PB_READY;
}

static uint32_t process(void *instance, const pb_delivery *delivery, uint8_t *slot,
                        const pb_waker *waker, pb_outcome *outcome)
{
    struct plugin *plugin = instance;
    (void)slot; /* for calls that wait: see pb_plugin in patchbay.h */
    (void)waker;
    if (delivery->message->payload.len == 0)
        return pb_failed(outcome, PB_STR("the text is empty"));
    atomic_fetch_add(&plugin->seen, 1);
    plugin->host->metric_record(plugin->context, plugin->seen_metric, 1.0, NULL, 0);
    return pb_forward(outcome, PB_STR("plugin.my_plugin.seen"), delivery->message);
}

/* Control calls: acknowledge those that need nothing, answer those that ask something. */
static uint32_t op(void *instance, uint32_t which, pb_str arg, uint8_t *slot,
                   const pb_waker *waker, pb_outcome *outcome)
{
    struct plugin *plugin = instance;
    char metrics[64];
    (void)arg;
    (void)slot;
    (void)waker;
    switch (which) {
    case PB_OP_INIT:
        PB_LOG(plugin->host, plugin->context, PB_LOG_INFO, PB_STR("ready"));
        return pb_ack(outcome);
    case PB_OP_METRICS:
        snprintf(metrics, sizeof metrics, "{\"seen\":%llu}", atomic_load(&plugin->seen));
        return pb_reply(outcome, pb_str_from(metrics));
    case PB_OP_RESET:
        atomic_store(&plugin->seen, 0);
        return pb_ack(outcome);
    case PB_OP_START:
    case PB_OP_SHUTDOWN:
    case PB_OP_HEALTH:
    case PB_OP_PAUSE:
    case PB_OP_RESUME:
        return pb_ack(outcome);
    default:
        return pb_error(outcome, PB_PERMANENT, PB_STR("unknown control call"));
    }
}

static uint32_t destroy(void *instance)
{
    free(instance);
    return PB_READY;
}

static const pb_plugin TABLE = {
    .size = sizeof(pb_plugin),
    .major = PB_MAJOR,
    .minor = PB_MINOR,
    .flags = PB_NOTE_UNWIND,
    .name = PB_STR_INIT("my_plugin"),
    .version = PB_STR_INIT("0.1.0"),
    .call_align = 1,
    .create = create,
    .op = op,
    .process = process,
    .poll = pb_never_polled,
    .cancel = pb_never_cancelled,
    .quiesce = pb_nothing_to_quiesce,
    .destroy = destroy,
};

const pb_plugin *patchbay_plugin_v1(void)
{
    return &TABLE;
}

PB_EXPORT_NOTE_FILE(0, "manifest.json");
