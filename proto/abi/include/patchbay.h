/* patchbay.h - the contract between the Patchbay host and a plugin library, for C and C++.
 *
 * Self-contained: C99 or C++11, and GCC or Clang for the export macros. The Rust face of the same
 * contract is the crate patchbay-abi; layout.def lists every size and offset, and both are checked
 * against it.
 *
 * A plugin is a shared library that exports one function, patchbay_plugin_v1, which returns a table
 * of functions (pb_plugin), and carries a note with its manifest (PB_EXPORT_NOTE_FILE). The smallest
 * one is in plugin-template/starters/c.
 *
 * Rules of the boundary
 *  - Borrowed text (pb_str) is valid until the call returns unless a comment says longer. It is not
 *    NUL terminated.
 *  - Nobody frees across. Bytes that you hand out come with the function that frees them (pb_buf);
 *    messages are given back through their own operations.
 *  - The message of a delivery is valid until the call is over. To keep it longer, retain it.
 *  - Calls of different slots may run on different threads at once. One slot stays on one thread.
 *  - Nothing may unwind out of your functions: in C++, catch everything.
 *  - Structs grow at their end. Before you use a field that was added after version 1.0, ask
 *    PB_HAS(pointer, field).
 */
#ifndef PATCHBAY_H
#define PATCHBAY_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Breaking and additive version of the contract. */
#define PB_MAJOR 1
#define PB_MINOR 1
/* Largest alignment and size of a call slot that a library may ask for, in bytes. */
#define PB_CALL_ALIGN_MAX 64u
#define PB_CALL_SIZE_MAX 1048576u
/* Messages that one publish_many takes at most. */
#define PB_PUBLISH_MANY_MAX 1024u

/* Whether the struct that `pointer` points to was written by somebody who knew `field`. */
#define PB_HAS(pointer, field) \
    ((pointer)->size >= \
     (size_t)((const char *)&(pointer)->field - (const char *)(pointer)) + sizeof((pointer)->field))

/* === text ====================================================================================== */

/* Borrowed bytes; UTF-8 where the field says text. */
typedef struct pb_str {
    const uint8_t *ptr; /* may be null when len is 0 */
    size_t len;
} pb_str;

/* Bytes owned by whoever holds the value, freed only through `free`. */
typedef struct pb_buf {
    uint8_t *ptr; /* null when empty */
    size_t len;
    size_t cap; /* passed back to `free` as it is */
    void (*free)(uint8_t *ptr, size_t len, size_t cap); /* null when there is nothing to free */
} pb_buf;

/* === messages ================================================================================== */

typedef struct pb_header {
    pb_str name; /* compared without regard to ASCII case */
    pb_str value;
} pb_header;

typedef struct pb_message pb_message;

/* What can be done with a message, on any thread. */
typedef struct pb_message_ops {
    uint32_t size;
    uint32_t reserved;
    void (*retain)(const pb_message *message);
    void (*release)(const pb_message *message);
} pb_message_ops;

/* A message. Owned by the host, immutable, and at this address while a reference is held. */
struct pb_message {
    uint32_t size;
    uint32_t flags;
    const pb_message_ops *ops;
    uint64_t id_hi;
    uint64_t id_lo;
    uint64_t time_ns;    /* published, since the Unix epoch */
    uint64_t expires_ns; /* of no use any more, since the Unix epoch; 0 = never */
    pb_str topic;
    pb_str payload;
    pb_str key; /* what messages that must stay in order have in common; empty = none */
    const pb_header *headers;
    uint32_t nheaders;
    uint32_t hops; /* how many messages led to this one */
};

/* One attempt to hand one message to one subscription. */
typedef struct pb_delivery {
    const pb_message *message; /* borrowed until the call is over */
    uint64_t token;
    uint64_t id; /* the same for every attempt: deduplicate by it */
    uint64_t accepted_ns;
    uint32_t attempt;      /* 1 for the first */
    uint32_t subscription; /* counted from 0 as in the manifest; dynamic ones follow */
} pb_delivery;

/* What you ask for when you make a message. */
typedef struct pb_draft {
    uint32_t size;
    uint32_t flags; /* 0 */
    pb_str topic;
    pb_str key;
    const pb_header *headers;
    uint32_t nheaders;
    uint32_t reserved; /* 0 */
    size_t payload_len;
    uint64_t id_hi; /* both halves 0: the host makes one */
    uint64_t id_lo;
    uint64_t expires_ns;
} pb_draft;

/* Header names with a meaning. */
#define PB_HEADER_CONTENT_TYPE "content-type"
#define PB_HEADER_SOURCE "ce-source"
#define PB_HEADER_TYPE "ce-type"
#define PB_HEADER_SCHEMA "ce-dataschema"
#define PB_HEADER_VERSION "ce-msgversion"
#define PB_HEADER_TRACEPARENT "traceparent"
#define PB_HEADER_TRACESTATE "tracestate"
#define PB_HEADER_BAGGAGE "baggage"
#define PB_HEADER_REPLY_TO "Patchbay-Reply-To"
#define PB_HEADER_CORRELATION_ID "Patchbay-Correlation-Id"
#define PB_HEADER_FORWARDED_BY "Patchbay-Forwarded-By"

/* === outcomes ================================================================================== */

/* What a function of yours returns. */
enum {
    PB_READY = 0,    /* over; the outcome is written */
    PB_PENDING = 1,  /* waits; poll it after it woke its waker */
    PB_PANICKED = 2, /* it failed in a way that only a panic does in Rust */
    PB_ERROR = 3     /* create only: refused, the reason is in the outcome */
};

/* pb_outcome.code */
enum {
    PB_CODE_ACK = 0,      /* done; of a control call, `text` is the reply */
    PB_CODE_RETRY = 1,    /* again, not before delay_ns */
    PB_CODE_FAILED = 2,   /* never again: dead letter, with the reason in `text` */
    PB_CODE_FORWARD = 3,  /* done here; `message` goes on to the topic in `text` */
    PB_CODE_ERROR = 4,    /* an error of error_class, described by `text` */
    PB_CODE_PANIC = 5,    /* with PB_PANICKED */
    PB_CODE_CANCELLED = 6 /* dropped because the host asked for it */
};

/* pb_outcome.error_class */
enum {
    PB_TRANSIENT = 0,   /* may pass if tried again */
    PB_PERMANENT = 1,   /* will not pass */
    PB_INVALID_DATA = 2 /* the message itself is at fault */
};

/* How a call ended. Comes zeroed, which means done. */
typedef struct pb_outcome {
    uint32_t code;
    uint32_t error_class;
    uint64_t delay_ns;
    const pb_message *message; /* one reference goes to the reader */
    pb_buf text;
    uint64_t reserved; /* 0 */
} pb_outcome;

/* === wakers: made by the host only ============================================================= */

typedef struct pb_waker pb_waker;

typedef struct pb_waker_ops {
    const pb_waker *(*clone)(const pb_waker *waker);
    void (*wake)(const pb_waker *waker); /* and gives the reference back */
    void (*wake_by_ref)(const pb_waker *waker);
    void (*drop)(const pb_waker *waker);
} pb_waker_ops;

struct pb_waker {
    const pb_waker_ops *ops;
};

/* === the host ================================================================================== */

/* flags of pb_publish and pb_publish_many, and what publish and publish_many of pb_host return. */
enum {
    PB_PUBLISH_WAIT = 1, /* flag: on FULL, tell when there is room */
    PB_PUBLISH_ACCEPTED = 0,
    PB_PUBLISH_FULL = 1, /* a matching subscription has no room, and none got the message */
    PB_PUBLISH_INVALID = -1,
    PB_PUBLISH_TOO_LARGE = -2,
    PB_PUBLISH_CLOSED = -3,
    PB_PUBLISH_DENIED = -4,
    PB_PUBLISH_HOP_LIMIT = -5
};

/* pb_host.log */
enum { PB_LOG_ERROR = 1, PB_LOG_WARN = 2, PB_LOG_INFO = 3, PB_LOG_DEBUG = 4, PB_LOG_TRACE = 5 };

/* pb_host.metric */
enum { PB_METRIC_COUNTER = 1, PB_METRIC_GAUGE = 2, PB_METRIC_HISTOGRAM = 3 };

/* One publish. */
typedef struct pb_publish {
    uint32_t size;
    uint32_t flags;
    const pb_message *message; /* the reference is consumed only by PB_PUBLISH_ACCEPTED */
    const pb_message *cause;   /* the message whose handler publishes, or null */
    const pb_waker *waker;     /* with WAIT: that of the running call, or null for a token */
    uint64_t token;            /* out, with WAIT and no waker: what pb_source.ready will report */
    uint32_t routed;           /* out: how many subscriptions accepted it */
    uint32_t reserved;         /* 0 */
} pb_publish;

/* Many publishes, because of one message or of none. They are taken from the front, in order, until
 * one is not accepted: everything that holds for one publish holds for each of them. `messages` is
 * borrowed for the call. Since 1.1. */
typedef struct pb_publish_many {
    uint32_t size;
    uint32_t flags; /* PB_PUBLISH_WAIT or 0 */
    const pb_message *const *messages; /* references as for pb_publish: of the accepted ones */
    uint32_t count;          /* at most PB_PUBLISH_MANY_MAX, else nothing is tried: INVALID */
    uint32_t accepted;       /* out: how many from the front */
    const pb_message *cause; /* the message whose handler publishes, or null */
    const pb_waker *waker;   /* with WAIT: that of the running call, or null for a token */
    uint64_t token;          /* out, with WAIT and no waker: what pb_source.ready will report */
} pb_publish_many;

/* One timer. */
typedef struct pb_timer_request {
    uint32_t size;
    uint32_t flags; /* 0 */
    uint64_t delay_ns;
    const pb_waker *waker; /* that of the running call; never null */
} pb_timer_request;

/* The host's services. The first argument is always the context that came with the table. All may
 * be called on any thread, from `create` until `destroy` returns. */
typedef struct pb_host {
    uint32_t size;
    uint16_t major;
    uint16_t minor;
    int32_t (*publish)(void *context, pb_publish *request);
    void (*forget)(void *context, uint64_t token);
    /* A message with room for a payload, to be filled before it is published. Null when refused. */
    const pb_message *(*message_new)(void *context, const pb_draft *draft, uint8_t **payload);
    /* A message that shares the payload of `base`. Null when refused. */
    const pb_message *(*message_derive)(void *context, const pb_message *base,
                                        const pb_draft *draft);
    int64_t (*subscribe)(void *context, pb_str pattern, uint32_t flags);
    int32_t (*unsubscribe)(void *context, int64_t subscription);
    /* The value at a dotted path of the configuration as JSON; 0, or -1 when there is none. */
    int32_t (*config_get)(void *context, pb_str path, pb_buf *out);
    void (*log)(void *context, uint32_t level, pb_str target, pb_str file, uint32_t line,
                pb_str text);
    uint32_t (*metric)(void *context, uint32_t kind, pb_str name);
    void (*metric_record)(void *context, uint32_t metric, double value,
                          const pb_header *attributes, uint32_t nattributes);
    /* Begins a span below `parent`, else below the trace of `message`, else a new trace. `span_context`
     * receives the W3C traceparent when it is not null. */
    uint64_t (*span_begin)(void *context, pb_str name, const pb_message *message, uint64_t parent,
                           const pb_header *attributes, uint32_t nattributes,
                           pb_buf *span_context);
    void (*span_end)(void *context, uint64_t span, uint32_t status, pb_str text);
    uint64_t (*timer)(void *context, const pb_timer_request *request);
    uint32_t (*timer_fired)(void *context, uint64_t token);
    /* Publishes many messages. PB_PUBLISH_ACCEPTED: all of them. Else why messages[accepted] was not
     * accepted; those behind it were not tried. Messages of one topic that follow each other go to each
     * queue together, and what is durable is waited for once. Since 1.1. */
    int32_t (*publish_many)(void *context, pb_publish_many *request);
} pb_host;

/* === control calls and lanes =================================================================== */

/* `which` of pb_plugin.op. Answer one you do not know with pb_error(PB_PERMANENT). */
enum {
    PB_OP_INIT = 1,
    PB_OP_START = 2,
    PB_OP_SHUTDOWN = 3,
    PB_OP_HEALTH = 4, /* ACK = healthy, FAILED = not */
    PB_OP_PAUSE = 5,
    PB_OP_RESUME = 6,
    PB_OP_RESET = 7,
    PB_OP_METRICS = 8, /* the reply is a JSON object */
    PB_OP_EXPORT_STATE = 9,
    PB_OP_IMPORT_STATE = 10
};

typedef struct pb_op {
    uint32_t size;
    uint32_t which;
    uint64_t id;
    pb_str arg; /* valid until op_done */
} pb_op;

/* A lane's source of work, for a library with a loop of its own (PB_NOTE_OWN_LOOP). Used on the
 * lane's thread only. Nothing here waits: who finds nothing waits for the bell, having registered
 * for its next ring and then asked once more. */
typedef struct pb_source {
    uint32_t size;
    uint32_t reserved;
    int32_t (*next)(void *lane, pb_delivery *out, uint32_t max); /* > 0; 0 none now; -1 closed */
    void (*complete)(void *lane, uint64_t token, pb_outcome *outcome);
    int32_t (*next_op)(void *lane, pb_op *out); /* 1; 0 none now; -1 closed */
    void (*op_done)(void *lane, uint64_t id, pb_outcome *outcome);
    uint32_t (*cancelled)(void *lane, uint64_t id, uint32_t is_op);
    uint32_t (*ready)(void *lane, uint64_t *tokens, uint32_t max);
    int32_t (*bell)(void *lane); /* an eventfd: watch it edge-triggered, never read it */
} pb_source;

/* === the library =============================================================================== */

/* The table that patchbay_plugin_v1 returns. Immutable, and alive while the library is loaded. */
typedef struct pb_plugin {
    uint32_t size;
    uint16_t major;
    uint16_t minor;
    uint64_t flags;  /* those of the note, with PB_NOTE_UNWIND */
    pb_str name;     /* equal to the manifest's */
    pb_str version;  /* equal to the manifest's */
    uint32_t call_size;  /* bytes of memory for one call in flight; may be 0 */
    uint32_t call_align; /* a power of two, at least 1 */
    /* Makes an instance; no I/O. `config` is a JSON object. PB_READY, or PB_ERROR with the reason. */
    uint32_t (*create)(const pb_host *host, void *context, pb_str config, void **instance,
                       pb_outcome *error);
    /* A control call. `arg` is valid until the call is over. */
    uint32_t (*op)(void *instance, uint32_t which, pb_str arg, uint8_t *slot,
                   const pb_waker *waker, pb_outcome *outcome);
    /* Handles a delivery. PB_READY with the outcome, or PB_PENDING with what is needed in `slot`. */
    uint32_t (*process)(void *instance, const pb_delivery *delivery, uint8_t *slot,
                        const pb_waker *waker, pb_outcome *outcome);
    uint32_t (*poll)(uint8_t *slot, const pb_waker *waker, pb_outcome *outcome);
    void (*cancel)(uint8_t *slot);
    uint32_t (*run_lane)(void *instance, uint32_t lane, const pb_source *source, void *context,
                         uint32_t concurrency, uint32_t batch); /* null without OWN_LOOP */
    /* Joins your own threads within the time. */
    uint32_t (*quiesce)(void *instance, uint64_t timeout_ns);
    uint32_t (*destroy)(void *instance);
} pb_plugin;

#if defined(__GNUC__)
#define PB_EXPORT __attribute__((visibility("default")))
#else
#define PB_EXPORT
#endif

/* The one function that a library exports. */
PB_EXPORT const pb_plugin *patchbay_plugin_v1(void);

/* === the note: what the host reads before any code of the library runs ========================= */

/* Bits of the note's flags. Numbers, because the assembler reads them. */
#define PB_NOTE_OWN_LOOP 1
#define PB_NOTE_UNWIND 2 /* added by the macros: C cannot panic, and C++ catches everything */
#define PB_NOTE_SPAWNS_THREADS 4
#define PB_NOTE_NO_UNLOAD 8
#define PB_NOTE_SHARED_LOOP 16

typedef struct pb_note_head {
    uint16_t major;
    uint16_t minor;
    uint32_t flags;
    uint32_t required[2]; /* 0 */
    uint8_t ptr_width;
    uint8_t big_endian;
    uint8_t reserved[2];
    uint32_t manifest_len;
} pb_note_head;

#define PB_STRINGIFY_(x) #x
#define PB_STRINGIFY(x) PB_STRINGIFY_(x)

#if UINTPTR_MAX == 0xffffffffffffffffu
#define PB_PTR_WIDTH 8
#else
#define PB_PTR_WIDTH 4
#endif
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define PB_BIG_ENDIAN 1
#else
#define PB_BIG_ENDIAN 0
#endif
#if defined(__has_attribute)
#if __has_attribute(retain)
#define PB_RETAIN , retain
#endif
#endif
#ifndef PB_RETAIN
#define PB_RETAIN
#endif

/* PB_EXPORT_NOTE(flags, "{...}"): once, at file scope, with the manifest as a string literal. */
#define PB_EXPORT_NOTE(FLAGS, MANIFEST)                                                           \
    static const struct {                                                                         \
        uint32_t namesz, descsz, type;                                                            \
        char owner[8];                                                                            \
        pb_note_head head;                                                                        \
        char manifest[(sizeof(MANIFEST) + 3) / 4 * 4];                                            \
    } pb_note_ __attribute__((used, aligned(4), section(".note.patchbay") PB_RETAIN)) = {         \
        8,                                                                                        \
        sizeof(pb_note_head) + (sizeof(MANIFEST) + 3) / 4 * 4,                                    \
        1,                                                                                        \
        "PATCHBY",                                                                                \
        { PB_MAJOR,                                                                               \
          PB_MINOR,                                                                               \
          (FLAGS) | PB_NOTE_UNWIND,                                                               \
          { 0, 0 },                                                                               \
          PB_PTR_WIDTH,                                                                           \
          PB_BIG_ENDIAN,                                                                          \
          { 0, 0 },                                                                               \
          sizeof(MANIFEST) - 1 },                                                                 \
        MANIFEST                                                                                  \
    }

/* PB_EXPORT_NOTE_FILE(flags, "manifest.json"): the same from a file, which the assembler looks for
 * in the current folder and along -I. Flags: numbers and PB_NOTE_ names, joined by |. */
#define PB_EXPORT_NOTE_FILE(FLAGS, FILE_)                                                         \
    __asm__(".pushsection .note.patchbay,\"a\",%note\n"                                           \
            "  .balign 4\n"                                                                       \
            "  .long 8, .Lpb_note_end - .Lpb_note_desc, 1\n"                                      \
            "  .ascii \"PATCHBY\\0\"\n"                                                           \
            ".Lpb_note_desc:\n"                                                                   \
            "  .short " PB_STRINGIFY(PB_MAJOR) ", " PB_STRINGIFY(PB_MINOR) "\n"                   \
            "  .long " PB_STRINGIFY(FLAGS) " | " PB_STRINGIFY(PB_NOTE_UNWIND) "\n"                \
            "  .long 0, 0\n"                                                                      \
            "  .byte " PB_STRINGIFY(PB_PTR_WIDTH) ", " PB_STRINGIFY(PB_BIG_ENDIAN) ", 0, 0\n"     \
            "  .long .Lpb_note_padding - .Lpb_note_manifest\n"                                    \
            ".Lpb_note_manifest:\n"                                                               \
            "  .incbin \"" FILE_ "\"\n"                                                           \
            ".Lpb_note_padding:\n"                                                                \
            "  .balign 4\n"                                                                       \
            ".Lpb_note_end:\n"                                                                    \
            ".popsection\n")

/* === help ======================================================================================
 *
 * Nothing below belongs to the contract; all of it is compiled into your library. */

/* A string literal as pb_str: in an expression, and as an initialiser of a static. */
#define PB_STR(literal) pb_str_of((const uint8_t *)("" literal), sizeof(literal) - 1)
#define PB_STR_INIT(literal) { (const uint8_t *)("" literal), sizeof(literal) - 1 }

static inline pb_str pb_str_of(const uint8_t *ptr, size_t len)
{
    pb_str text;
    text.ptr = ptr;
    text.len = len;
    return text;
}

/* A NUL terminated string as pb_str. */
static inline pb_str pb_str_from(const char *text)
{
    return pb_str_of((const uint8_t *)text, strlen(text));
}

/* 1 when both are the same bytes. */
static inline int pb_str_eq(pb_str a, pb_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline void pb_buf_free_(uint8_t *ptr, size_t len, size_t cap)
{
    (void)len;
    (void)cap;
    free(ptr);
}

/* A copy that you own and may hand out. Empty when there is no memory. */
static inline pb_buf pb_buf_copy(pb_str text)
{
    pb_buf copy = { NULL, 0, 0, NULL };
    if (text.len == 0)
        return copy;
    copy.ptr = (uint8_t *)malloc(text.len);
    if (copy.ptr == NULL)
        return copy;
    memcpy(copy.ptr, text.ptr, text.len);
    copy.len = copy.cap = text.len;
    copy.free = pb_buf_free_;
    return copy;
}

/* Gives bytes back to whoever made them. */
static inline void pb_buf_release(pb_buf *buf)
{
    if (buf->free != NULL)
        buf->free(buf->ptr, buf->len, buf->cap);
    memset(buf, 0, sizeof *buf);
}

/* The value of a header, ASCII case ignored; ptr is null when there is none. */
static inline pb_str pb_message_header(const pb_message *message, pb_str name)
{
    uint32_t i;
    size_t j;
    for (i = 0; i < message->nheaders; i++) {
        const pb_header *header = &message->headers[i];
        if (header->name.len != name.len)
            continue;
        for (j = 0; j < name.len; j++) {
            uint8_t a = header->name.ptr[j], b = name.ptr[j];
            if (a >= 'A' && a <= 'Z')
                a = (uint8_t)(a + 32);
            if (b >= 'A' && b <= 'Z')
                b = (uint8_t)(b + 32);
            if (a != b)
                break;
        }
        if (j == name.len)
            return header->value;
    }
    return pb_str_of(NULL, 0);
}

/* The outcomes. Each returns PB_READY: `return pb_ack(outcome);` ends process, op and poll. */

static inline uint32_t pb_ack(pb_outcome *outcome)
{
    outcome->code = PB_CODE_ACK;
    return PB_READY;
}

/* Done, with the reply of a control call, which is copied. */
static inline uint32_t pb_reply(pb_outcome *outcome, pb_str text)
{
    outcome->code = PB_CODE_ACK;
    outcome->text = pb_buf_copy(text);
    return PB_READY;
}

static inline uint32_t pb_retry(pb_outcome *outcome, uint64_t delay_ns)
{
    outcome->code = PB_CODE_RETRY;
    outcome->delay_ns = delay_ns;
    return PB_READY;
}

static inline uint32_t pb_failed(pb_outcome *outcome, pb_str reason)
{
    outcome->code = PB_CODE_FAILED;
    outcome->text = pb_buf_copy(reason);
    return PB_READY;
}

/* Takes a reference of its own. */
static inline uint32_t pb_forward(pb_outcome *outcome, pb_str topic, const pb_message *message)
{
    message->ops->retain(message);
    outcome->code = PB_CODE_FORWARD;
    outcome->message = message;
    outcome->text = pb_buf_copy(topic);
    return PB_READY;
}

static inline uint32_t pb_error(pb_outcome *outcome, uint32_t error_class, pb_str reason)
{
    outcome->code = PB_CODE_ERROR;
    outcome->error_class = error_class;
    outcome->text = pb_buf_copy(reason);
    return PB_READY;
}

/* `create` refuses: `return pb_refuse(error, ...)`. */
static inline uint32_t pb_refuse(pb_outcome *error, pb_str reason)
{
    (void)pb_error(error, PB_PERMANENT, reason);
    return PB_ERROR;
}

/* A message of bytes, to be published or released. Null when the host refuses it. */
static inline const pb_message *pb_message_bytes(const pb_host *host, void *context, pb_str topic,
                                                 pb_str payload)
{
    pb_draft draft;
    uint8_t *room = NULL;
    const pb_message *message;
    memset(&draft, 0, sizeof draft);
    draft.size = sizeof draft;
    draft.topic = topic;
    draft.payload_len = payload.len;
    message = host->message_new(context, &draft, &room);
    if (message != NULL && payload.len > 0)
        memcpy(room, payload.ptr, payload.len);
    return message;
}

/* Publishes a message, now or not at all. Accepted, its reference is gone. Returns one of
 * PB_PUBLISH_. */
static inline int32_t pb_publish_message(const pb_host *host, void *context,
                                         const pb_message *message, const pb_message *cause)
{
    pb_publish request;
    memset(&request, 0, sizeof request);
    request.size = sizeof request;
    request.message = message;
    request.cause = cause;
    return host->publish(context, &request);
}

/* Publishes bytes, now or not at all. `cause` is the message that is being handled, or null.
 * Returns one of PB_PUBLISH_. */
static inline int32_t pb_publish_bytes(const pb_host *host, void *context, pb_str topic,
                                       pb_str payload, const pb_message *cause)
{
    const pb_message *message = pb_message_bytes(host, context, topic, payload);
    int32_t code;
    if (message == NULL)
        return PB_PUBLISH_INVALID;
    code = pb_publish_message(host, context, message, cause);
    if (code != PB_PUBLISH_ACCEPTED)
        message->ops->release(message);
    return code;
}

/* Publishes any number of messages in order, now or not at all, and stops at the first that is not
 * accepted: `*accepted` says how many were, and whose reference is gone; the others are still yours.
 * A host of 1.0 gets them one by one. Returns one of PB_PUBLISH_. */
static inline int32_t pb_publish_batch(const pb_host *host, void *context,
                                       const pb_message *const *messages, uint32_t count,
                                       const pb_message *cause, uint32_t *accepted)
{
    int32_t code = PB_PUBLISH_ACCEPTED;
    *accepted = 0;
    while (code == PB_PUBLISH_ACCEPTED && *accepted < count) {
        if (PB_HAS(host, publish_many)) {
            uint32_t left = count - *accepted;
            pb_publish_many request;
            memset(&request, 0, sizeof request);
            request.size = sizeof request;
            request.messages = messages + *accepted;
            request.count = left < PB_PUBLISH_MANY_MAX ? left : PB_PUBLISH_MANY_MAX;
            request.cause = cause;
            code = host->publish_many(context, &request);
            *accepted += request.accepted;
        } else {
            code = pb_publish_message(host, context, messages[*accepted], cause);
            *accepted += code == PB_PUBLISH_ACCEPTED;
        }
    }
    return code;
}

/* Writes a log line with the place it comes from: PB_LOG(host, context, PB_LOG_INFO, PB_STR("up")). */
#define PB_LOG(host, context, level, text) \
    (host)->log((context), (level), PB_STR("c"), PB_STR(__FILE__), __LINE__, (text))

/* For tables of plugins whose calls never wait. */
static inline uint32_t pb_never_polled(uint8_t *slot, const pb_waker *waker, pb_outcome *outcome)
{
    (void)slot;
    (void)waker;
    return pb_error(outcome, PB_PERMANENT, PB_STR("a call that never waits was polled"));
}

static inline void pb_never_cancelled(uint8_t *slot)
{
    (void)slot;
}

/* For plugins without threads of their own. */
static inline uint32_t pb_nothing_to_quiesce(void *instance, uint64_t timeout_ns)
{
    (void)instance;
    (void)timeout_ns;
    return PB_READY;
}

#ifdef __cplusplus
}
#endif

#endif /* PATCHBAY_H */
