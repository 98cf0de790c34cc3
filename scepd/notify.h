/* The service manager, if one started this process (sd_notify(3), sd_listen_fds(3)): told when scepd serves, reloads,
 * stops, and that it is alive; asked for the socket to listen on.  Without one nothing happens. */
#pragma once

#include <stdint.h>

#include "base/err.h"

/* Is anybody told? */
bool notify_wanted(void);
void notify_ready(void);
void notify_reloading(void); /* ends with notify_ready */
void notify_stopping(void);
/* One line for people. */
void notify_status(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* How often it wants to hear that all is alive, in microseconds; 0: it does not. */
int64_t notify_watchdog_us(void);
void notify_alive(void);

/* A listening TCP socket that was handed over under the name "scepd"; -1: none was.  ERR_CONFIG: what was handed over is
 * something else. */
bool notify_socket(int *out, struct err *err);

#define NOTIFY_NUMBER 32
/* "1,284". */
const char *notify_number(uint64_t n, char out[NOTIFY_NUMBER]);
