/* One shape for the audit entries of this room and of those above it. */
#pragma once

#include "store/store.h"

/* Whatever clients sent is made printable; long texts are cut. */
void audit_fill(struct store_audit *a, int64_t at, const char *event, const char *actor, const char *object,
                const char *fmt, ...) __attribute__((format(printf, 6, 7)));
