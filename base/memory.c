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

bool memory_begin(void)
{
    bool before = missed;
    missed = false;
    return before;
}

bool memory_end(bool before)
{
    bool enough = !missed;
    missed = missed || before;
    return enough;
}
