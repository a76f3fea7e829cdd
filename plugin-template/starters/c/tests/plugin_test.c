/* Calls the plugin as the host does. From the plugin's folder:
 *
 *   cc -std=c11 -Wall -Wextra -I. tests/plugin_test.c -o plugin_test && ./plugin_test
 */
#include "../plugin.c"

#undef NDEBUG
#include <assert.h>

static double recorded;

static uint32_t test_metric(void *context, uint32_t kind, pb_str name)
{
    (void)context;
    (void)name;
    assert(kind == PB_METRIC_COUNTER);
    return 7;
}

static void test_record(void *context, uint32_t metric, double value, const pb_header *attributes,
                        uint32_t nattributes)
{
    (void)context;
    (void)attributes;
    assert(metric == 7 && nattributes == 0);
    recorded += value;
}

static void test_log(void *context, uint32_t level, pb_str target, pb_str file, uint32_t line,
                     pb_str text)
{
    (void)context;
    (void)target;
    (void)file;
    assert(level == PB_LOG_INFO && line > 0 && pb_str_eq(text, PB_STR("ready")));
}

static int references = 1;

static void test_retain(const pb_message *message)
{
    (void)message;
    references++;
}

static void test_release(const pb_message *message)
{
    (void)message;
    references--;
}

int main(void)
{
    /* What the plugin does not use may be missing from a host of a test. */
    const pb_host host = { .size = sizeof host, .major = PB_MAJOR, .minor = PB_MINOR,
                           .metric = test_metric, .metric_record = test_record, .log = test_log };
    const pb_message_ops ops = { sizeof ops, 0, test_retain, test_release };
    pb_message message = { .size = sizeof message, .ops = &ops };
    const pb_delivery delivery = { .message = &message, .attempt = 1 };
    const pb_plugin *table = patchbay_plugin_v1();
    void *instance = NULL;
    pb_outcome outcome = { 0 };

    assert(table->create(&host, NULL, PB_STR("{}"), &instance, &outcome) == PB_READY);
    assert(table->op(instance, PB_OP_INIT, PB_STR(""), NULL, NULL, &outcome) == PB_READY);
    assert(outcome.code == PB_CODE_ACK);

    message.payload = PB_STR("hello");
    assert(table->process(instance, &delivery, NULL, NULL, &outcome) == PB_READY);
    assert(outcome.code == PB_CODE_FORWARD && outcome.message == &message && references == 2);
    assert(pb_str_eq(pb_str_of(outcome.text.ptr, outcome.text.len),
                     PB_STR("plugin.my_plugin.seen")));
    assert(recorded == 1.0);
    outcome.message->ops->release(outcome.message);
    pb_buf_release(&outcome.text);

    memset(&outcome, 0, sizeof outcome);
    message.payload = PB_STR("");
    assert(table->process(instance, &delivery, NULL, NULL, &outcome) == PB_READY);
    assert(outcome.code == PB_CODE_FAILED && references == 1);
    pb_buf_release(&outcome.text);

    memset(&outcome, 0, sizeof outcome);
    assert(table->op(instance, PB_OP_METRICS, PB_STR(""), NULL, NULL, &outcome) == PB_READY);
    assert(pb_str_eq(pb_str_of(outcome.text.ptr, outcome.text.len), PB_STR("{\"seen\":1}")));
    pb_buf_release(&outcome.text);

    assert(table->destroy(instance) == PB_READY);
    puts("ok");
    return 0;
}
