#include "base/memory.h"

static _Thread_local bool missed;

void memory_missed(void)
{
    missed = true;
}

void memory_forget(void)
{
    missed = false;
}

bool memory_failed(void)
{
    return missed;
}
