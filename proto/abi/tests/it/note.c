/* Both ways to write the note, with the helpers compiled in. */
#include <patchbay.h>

#ifdef NOTE_FILE
PB_EXPORT_NOTE_FILE(PB_NOTE_SPAWNS_THREADS | PB_NOTE_NO_UNLOAD, "manifest.json");
#else
PB_EXPORT_NOTE(PB_NOTE_SPAWNS_THREADS | PB_NOTE_NO_UNLOAD, "{\"name\":\"noted\",\"version\":\"1.0.0\"}");
#endif

static const pb_plugin TABLE = {
    sizeof(pb_plugin), PB_MAJOR, PB_MINOR, PB_NOTE_UNWIND, PB_STR_INIT("noted"),
    PB_STR_INIT("1.0.0"), 0, 1, NULL, NULL, NULL, pb_never_polled, pb_never_cancelled, NULL,
    pb_nothing_to_quiesce, NULL,
};

const pb_plugin *patchbay_plugin_v1(void)
{
    return &TABLE;
}
