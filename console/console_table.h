/* What console/bundle.c writes, or console_none.c says. */
#pragma once

#include "console/console.h"

extern const struct console console_table;
