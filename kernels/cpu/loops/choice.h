// Which level runs.
#pragma once

#include <atomic>
#include <cstring>
#include <type_traits>

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

#include "levels.h"

namespace tinkit {

// An output of this many bytes or more is written past the caches: it would be gone when it is read. What is
// read again only after a convolution is sooner displaced.
constexpr int64_t kStreamedBytes = int64_t(4) << 20;
constexpr int64_t kSetAsideBytes = int64_t(1) << 20;

// Whether memory has pages yet, judged by its middle. A page that comes into being is cleared through the caches: to
// stream to it costs twice. Where that cannot be asked, memory is taken to be in use again.
inline bool has_pages(const void* memory, int64_t bytes) {
#if defined(__linux__)
  const uintptr_t page = uintptr_t(sysconf(_SC_PAGESIZE)), middle = reinterpret_cast<uintptr_t>(memory) + bytes / 2;
  unsigned char resident = 0;
  if (mincore(reinterpret_cast<void*>(middle / page * page), page, &resident) == 0) return resident & 1;
#endif
  return true;
}

// The levels that this processor has, the best one last, and how many they are.
inline int levels_here(const Level* (&found)[4]) {
  int count = 0;
  found[count++] = &baseline::level;
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (avx2) found[count++] = &avx2::level;
  if (avx512) found[count++] = &avx512::level;
  if (avx512 && __builtin_cpu_supports("avx512bf16")) found[count++] = &avx512bf16::level;
#endif
  return count;
}

inline const Level* level_named(const char* name) {
  const Level* found[4];
  const int count = levels_here(found);
  if (name == nullptr) return found[count - 1];
  for (int i = 0; i < count; ++i)
    if (std::strcmp(found[i]->name, name) == 0) return found[i];
  return nullptr;
}

// Not inline: a variable of an inline function would be one for all builds of this library in a process.
static std::atomic<const Level*>& current_level() {
  static std::atomic<const Level*> level{level_named(nullptr)};
  return level;
}

template <typename Value>
const Kernels& chosen() {
  const Level& level = *current_level().load(std::memory_order_relaxed);
  if constexpr (std::is_same_v<Value, float>) return level.float32;
  if constexpr (std::is_same_v<Value, double>) return level.float64;
  if constexpr (std::is_same_v<Value, Half>) return level.float16;
  return level.bfloat16;
}

template <typename Sum>
auto steer_kernel() {
  const Level& level = *current_level().load(std::memory_order_relaxed);
  if constexpr (std::is_same_v<Sum, float>)
    return level.steer32;
  else
    return level.steer64;
}

}  // namespace tinkit
