#include "load.h"

#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Ticks of one process by /proc/PID/stat, all its threads; its parent too. */
static unsigned long long ticks(int pid, int *parent)
{
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "r");
    *parent = 0;
    if (!f)
        return 0;
    size_t n = fread(line, 1, sizeof line - 1, f);
    fclose(f);
    line[n] = '\0';
    char *rest = strrchr(line, ')'); /* the name may hold anything */
    unsigned long long user = 0, system = 0;
    if (!rest || sscanf(rest + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", parent,
                        &user, &system) != 3)
        return 0;
    return user + system;
}

/* Its keeper is its child, its signers are its keeper's. */
static bool is_below(int pid, int other)
{
    int parent = 0;
    for (int depth = 0; depth < 3 && other > 1; depth++) {
        ticks(other, &parent);
        if (parent == pid)
            return true;
        other = parent;
    }
    return false;
}

double load_cpu_seconds(int pid)
{
    int parent;
    unsigned long long sum = ticks(pid, &parent);
    DIR *proc = opendir("/proc");
    for (struct dirent *e; proc && (e = readdir(proc));) {
        int other = atoi(e->d_name);
        if (other > 0 && other != pid && is_below(pid, other))
            sum += ticks(other, &parent);
    }
    if (proc)
        closedir(proc);
    return (double)sum / (double)sysconf(_SC_CLK_TCK);
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
