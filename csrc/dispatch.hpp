// Run-time choice of the instruction set.
//
// POSERT_CLONES before a function definition makes GCC compile it for x86-64-v4 (AVX-512), x86-64-v3 (AVX2) and the
// baseline; the loader picks the best that the CPU runs. It needs ifuncs and a GCC that knows these names (12), so it
// is plain code elsewhere, and in builds with POSERT_PLAIN. What such a function calls is compiled for the baseline
// unless it is inlined: helpers are marked POSERT_INLINE, and lambdas only wrap calls of cloned functions.
#pragma once
#include <cstdlib>  // defines __GLIBC__ where there is one

#if !defined(POSERT_PLAIN) && defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && __GNUC__ >= 12 && \
    !defined(__clang__)
#define POSERT_HAS_CLONES 1
#define POSERT_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define POSERT_HAS_CLONES 0
#define POSERT_CLONES
#endif

#if defined(__GNUC__)
#define POSERT_INLINE inline __attribute__((always_inline))
#elif defined(_MSC_VER)
#define POSERT_INLINE __forceinline
#else
#define POSERT_INLINE inline
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#define POSERT_RESTRICT __restrict
#else
#define POSERT_RESTRICT __restrict__
#endif

// Before a loop that works in place and whose iterations read only what lies at or after the element they write. A
// vector of them reads all that it needs before it writes, and what it reads no earlier one wrote, so the result is
// that of the plain loop; compilers cannot know the distances, and would keep the loop scalar where these are short.
#if defined(__clang__)
#define POSERT_READS_AHEAD _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define POSERT_READS_AHEAD _Pragma("GCC ivdep")
#else
#define POSERT_READS_AHEAD
#endif
