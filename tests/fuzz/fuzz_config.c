/* The configuration file: any text is loaded or complained about. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "config/config.h"

/* libconfig 1.5 loses the text it was reading when a file ends inside a string: once, at start, in ours. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libconfig.so";
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    return 0;
}

static void complain(void *ctx, const char *message)
{
    unsigned *n = ctx;
    *n += strlen(message) > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* An include directive would read files of this machine. */
    if (size > 8192 || memmem(data, size, "@include", 8))
        return 0;
    int fd = memfd_create("conf", MFD_CLOEXEC);
    char path[64];
    unsigned complaints = 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    struct config *c = config_load(path, complain, &complaints);
    if ((c == NULL) != (complaints > 0))
        abort(); /* a refused file says why, an accepted one does not */
    config_free(c);
    close(fd);
    return 0;
}
