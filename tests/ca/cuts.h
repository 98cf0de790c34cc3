/* Ends the process as by kill -9 at a call that changes the file system: the linker puts these in front of the library's
 * (--wrap, see meson.build). */
#pragma once

/* At the `n`-th such call from now, before it is made; 0: never. */
void cuts_after(unsigned n);
