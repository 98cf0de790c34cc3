/* -Dconsole=disabled: no file. */
#include "console_table.h"

const struct console console_table = {NULL, 0};
