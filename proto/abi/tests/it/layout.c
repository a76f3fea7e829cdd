/* Compiled, not run: every line of the table is a static assertion about the header. */
#include <patchbay.h>

#ifdef __cplusplus
#define ASSERT(condition, text) static_assert(condition, text)
#define ALIGN_OF(type) alignof(type)
#else
#define ASSERT(condition, text) _Static_assert(condition, text)
#define ALIGN_OF(type) _Alignof(type)
#endif

#define PB_STRUCT(c, rust, size, align)           \
    ASSERT(sizeof(c) == (size), "size of " #c);   \
    ASSERT(ALIGN_OF(c) == (align), "alignment of " #c);
#define PB_FIELD(c, rust, field, rust_field, offset, size)                \
    ASSERT(offsetof(c, field) == (offset), "offset of " #c "." #field);   \
    ASSERT(sizeof(((c *)0)->field) == (size), "size of " #c "." #field);
#define PB_VALUE(c, rust, value) ASSERT((c) == (value), "value of " #c);

#include <layout.def>
