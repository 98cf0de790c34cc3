#include "scepd/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

bool notify_wanted(void)
{
    return getenv("NOTIFY_SOCKET") != NULL;
}

void notify_ready(void)
{
    sd_notify(0, "READY=1");
}

void notify_reloading(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
               (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000);
}

void notify_stopping(void)
{
    sd_notify(0, "STOPPING=1");
}

void notify_status(const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    sd_notifyf(0, "STATUS=%s", text);
}

int64_t notify_watchdog_us(void)
{
    uint64_t us = 0;
    return sd_watchdog_enabled(0, &us) > 0 && us <= INT64_MAX ? (int64_t)us : 0;
}

void notify_alive(void)
{
    sd_notify(0, "WATCHDOG=1");
}

/* ---- the socket ---- */

static bool is_ours(const char *name)
{
    return strcmp(name, "scepd") == 0 || strcmp(name, "scepd.socket") == 0;
}

static bool take(int fd, const char *name, int *out, struct err *err)
{
    if (!is_ours(name))
        return err_set(
            err, ERR_CONFIG,
            "the service manager handed over a socket named \"%.64s\", only \"scepd\" is "
            "known (FileDescriptorName=)",
            name);
    if (*out >= 0)
        return err_set(err, ERR_CONFIG,
                       "the service manager handed over several sockets named \"scepd\", one is "
                       "possible: ListenStream=80 takes IPv4 and IPv6");
    if (sd_is_socket_inet(fd, AF_UNSPEC, SOCK_STREAM, 1, 0) <= 0)
        return err_set(
            err, ERR_CONFIG,
            "what the service manager handed over as \"scepd\" is no listening TCP socket");
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        return err_errno(err, "cannot set up the socket of the service manager");
    *out = fd;
    return true;
}

bool notify_socket(int *out, struct err *err)
{
    char **names = NULL;
    int fd = -1, n = sd_listen_fds_with_names(1, &names);
    bool ok = n >= 0;
    if (!ok) {
        errno = -n;
        err_errno(err, "cannot take over sockets of the service manager");
    }
    for (int i = 0; ok && i < n; i++)
        ok = take(SD_LISTEN_FDS_START + i, names[i], &fd, err);
    for (int i = 0; !ok && i < n; i++)
        close(SD_LISTEN_FDS_START + i);
    for (int i = 0; i < n; i++)
        free(names[i]);
    free(names);
    if (ok)
        *out = fd;
    return ok;
}

const char *notify_number(uint64_t n, char out[NOTIFY_NUMBER])
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%" PRIu64, n), at = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}
