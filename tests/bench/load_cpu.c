#include "load.h"

#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The parent of a process; 0: there is none such. */
static int parent_of(int pid)
{
    char path[64], line[1024];
    int parent = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "r");
    if (!f)
        return 0;
    size_t n = fread(line, 1, sizeof line - 1, f);
    fclose(f);
    line[n] = '\0';
    char *rest = strrchr(line, ')'); /* the name may hold anything */
    return rest && sscanf(rest + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

/* Its keeper is its child, its signers are its keeper's. */
static bool is_below(int pid, int other)
{
    for (int depth = 0; depth < 3 && other > 1; depth++) {
        other = parent_of(other);
        if (other == pid)
            return true;
    }
    return false;
}

/* Of all threads of one process, to the nanosecond: what /proc/PID/stat says comes in ticks. */
static double seconds_of(int pid)
{
    clockid_t clock;
    struct timespec t;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
        return 0;
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double load_cpu_seconds(int pid)
{
    double sum = seconds_of(pid);
    DIR *proc = opendir("/proc");
    for (struct dirent *e; proc && (e = readdir(proc));) {
        int other = atoi(e->d_name);
        if (other > 0 && other != pid && is_below(pid, other))
            sum += seconds_of(other);
    }
    if (proc)
        closedir(proc);
    return sum;
}

double load_idle_seconds(int pid)
{
    cpu_set_t place;
    unsigned long long sum = 0, idle, iowait;
    char line[4096];
    unsigned cpu;
    FILE *f = sched_getaffinity(pid, sizeof place, &place) == 0 ? fopen("/proc/stat", "r") : NULL;
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "cpu%u %*u %*u %*u %llu %llu", &cpu, &idle, &iowait) == 3 &&
            cpu < CPU_SETSIZE && CPU_ISSET(cpu, &place))
            sum += idle + iowait;
    if (f)
        fclose(f);
    return (double)sum / (double)sysconf(_SC_CLK_TCK);
}
