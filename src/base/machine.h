// SPDX-License-Identifier: BSD-3-Clause
/* What the machine gives a process. */
#ifndef SC_BASE_MACHINE_H
#define SC_BASE_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Bytes of memory that this process may have: the machine's, or less where its control group or one above it says so (memory.max of cgroup
 * v2, memory.limit_in_bytes of v1), as in a container. `root`: where /proc and /sys lie, "" but in tests. At least 1 GiB is said
 * where nothing is known.
 */
uint64_t sc_machine_memory(const char *root);

/* The variants of code that works on many numbers at a time: each is compiled for machines that have so much, all give the same. */
enum sc_vectors { SC_VECTORS_PORTABLE, SC_VECTORS_AVX2, SC_VECTORS_AVX512, SC_VECTORS_COUNT };
bool sc_machine_has(enum sc_vectors vectors);
/* The most that it has, and that SC_VECTORS in the environment allows: "portable", "avx2", "avx512". */
enum sc_vectors sc_machine_vectors(void);

/* Before a function that is compiled for them, and what it is to take in. */
#if defined(__x86_64__)
#define SC_FOR_AVX2   __attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt")))
#define SC_FOR_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,bmi,bmi2,lzcnt,popcnt")))
#else
#define SC_FOR_AVX2
#define SC_FOR_AVX512
#endif
#define SC_IN_EACH inline __attribute__((always_inline))

#endif
