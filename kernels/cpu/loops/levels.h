// The kernels built for several instruction sets.
//
// The same text is compiled under other target options each time, in its own namespace: nothing that is built for
// a newer processor can be taken for what runs everywhere. Sums are contracted to fused multiply-adds where there are
// such, so levels differ in the last bit.
#pragma once

#include <cmath>

#include "interlace.h"
#include "plan.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace tinkit::baseline {
#define TINKIT_LEVEL 0
#define TINKIT_LEVEL_NAME "baseline"
#include "level.h"
#undef TINKIT_LEVEL
#undef TINKIT_LEVEL_NAME
}  // namespace tinkit::baseline

#if defined(__x86_64__)

// What follows, up to TINKIT_ANY_TARGET, may use these instructions.
#define TINKIT_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define TINKIT_TARGET(features) \
  TINKIT_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define TINKIT_ANY_TARGET _Pragma("clang attribute pop")
#else
#define TINKIT_TARGET(features) _Pragma("GCC push_options") TINKIT_PRAGMA(GCC target(features))
#define TINKIT_ANY_TARGET _Pragma("GCC pop_options")
#endif

TINKIT_TARGET("avx,avx2,fma,f16c,bmi,bmi2")
namespace tinkit::avx2 {
#define TINKIT_LEVEL 1
#define TINKIT_LEVEL_NAME "AVX2"
#include "level.h"
#undef TINKIT_LEVEL
#undef TINKIT_LEVEL_NAME
}  // namespace tinkit::avx2
TINKIT_ANY_TARGET

TINKIT_TARGET("avx,avx2,fma,f16c,bmi,bmi2,avx512f,avx512bw,avx512vl,avx512dq")
namespace tinkit::avx512 {
#define TINKIT_LEVEL 2
#define TINKIT_LEVEL_NAME "AVX-512"
#include "level.h"
#undef TINKIT_LEVEL
#undef TINKIT_LEVEL_NAME
}  // namespace tinkit::avx512
TINKIT_ANY_TARGET

TINKIT_TARGET("avx,avx2,fma,f16c,bmi,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")
namespace tinkit::avx512bf16 {
#define TINKIT_LEVEL 3
#define TINKIT_LEVEL_NAME "AVX512-BF16"
#include "level.h"
#undef TINKIT_LEVEL
#undef TINKIT_LEVEL_NAME
}  // namespace tinkit::avx512bf16
TINKIT_ANY_TARGET

#endif
