/* What every target has: libFuzzer's entry.  Built without libFuzzer the same file is linked with replay.c, which feeds it
 * files, so that every compiler runs the corpus as an ordinary test. */
#pragma once

#include "mutate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* A target may have it: a change that keeps the input's structure, appended to out.  False: it has none for this input.
 * libFuzzer (custom.c) and replay.c use it. */
bool fuzz_change(struct view in, struct random *r, struct buf *out) __attribute__((weak));
