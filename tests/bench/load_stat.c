#include "load.h"

#include <stdlib.h>

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double load_quantile(double *values, size_t n, double q)
{
    qsort(values, n, sizeof *values, ascending);
    return n ? values[(size_t)(q * (double)(n - 1) + 0.5)] : -1;
}
