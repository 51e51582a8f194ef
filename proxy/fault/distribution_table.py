#!/usr/bin/env python3
"""Prints distribution_table.c: quantiles of the standard normal distribution and of netem's Pareto
distribution. test_distribution.c holds every entry against the formulas."""
from statistics import NormalDist

INTERVALS = 1024
ONE = 65536
END = 4.0  # of both tables, as in pipeline.h


def normal(p):
    if p in (0, 1):
        return -END if p == 0 else END
    return NormalDist().inv_cdf(p)


def pareto(p):
    return END if p == 1 else min(END, 4 / 3 * ((1 - p) ** (-1 / 3) - 1.5))


print("/* Quantile tables (distribution.h), printed by distribution_table.py. */")
print('#include "proxy/fault/distribution.h"')
for name, function in (("normal", normal), ("pareto", pareto)):
    print(f"\nconst int32_t distribution_{name}[DISTRIBUTION_INTERVALS + 1] = {{")
    values = [f"{round(function(i / INTERVALS) * ONE)}," for i in range(INTERVALS + 1)]
    line = "   "
    for value in values:
        if len(line) + 1 + len(value) > 100:
            print(line)
            line = "   "
        line += " " + value
    print(line)
    print("};")
