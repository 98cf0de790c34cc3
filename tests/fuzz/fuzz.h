/* What every target has: libFuzzer's entry.  Built without libFuzzer the same file is linked with replay.c, which feeds it
 * files, so that every compiler runs the corpus as an ordinary test. */
#pragma once

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
