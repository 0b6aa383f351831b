// What a kernel is written in: the device's words, or (TINKIT_HOST) the same words for a host compiler, see host.h.
//
// A kernel is a row of phases. `THREADS(t) { ... }` is done by every thread of a block, once on the device and as a
// loop on the host; `SYNC();` parts two phases. What a thread keeps from one phase to the next is an `OWN` array with
// one element a thread, `mine(t)` its index. `SHARED` arrays are the block's, touched through `get` and `put`; global
// memory is touched through `load` and `store`. The host build watches both and counts the latter. No standard or CUDA
// header is included: NVRTC needs none.
#pragma once

namespace tinkit {

constexpr int BLOCK = 256;  // threads a block
constexpr int CHUNK = 4;    // frames whose reads a thread has under way at once

// Half precision is stored as its bits, and only stored: sums are float.
struct Half {
  unsigned short bits;
};
struct Bfloat16 {
  unsigned short bits;
};

}  // namespace tinkit

#if defined(TINKIT_HOST)
#include "host.h"
#else

#define TINKIT_DEVICE __device__ __forceinline__
#define THREADS(t) if (const int t = int(threadIdx.x); true)
#define SYNC() __syncthreads()
#define SHARED(Type, name, count) __shared__ Type name[count]
#define OWN(Type, name) Type name[1]
#define UNROLL _Pragma("unroll")
#define UNROLL4 _Pragma("unroll 4")
// Two blocks a multiprocessor at least. Without that number ptxas aims for more of them and spills a register here and
// there.
#define ENTRY(name, body)                                                                                            \
  extern "C" __global__ void __launch_bounds__(tinkit::BLOCK, 2) name(const __grid_constant__ tinkit::Arguments a) { \
    body(a);                                                                                                         \
  }

namespace tinkit {

TINKIT_DEVICE constexpr int mine(int) { return 0; }
TINKIT_DEVICE unsigned block_index() { return blockIdx.x; }

template <typename Item>
TINKIT_DEVICE Item load(const Item* from) {
  return *from;
}

template <typename Item>
TINKIT_DEVICE void store(Item* to, const Item& item) {
  *to = item;
}

template <typename Item>
TINKIT_DEVICE Item get(const Item* from) {
  return *from;
}

template <typename Item>
TINKIT_DEVICE void put(Item* to, const Item& item) {
  *to = item;
}

}  // namespace tinkit
#endif

namespace tinkit {

template <typename Value>
struct SumOf {
  using type = float;
};
template <>
struct SumOf<double> {
  using type = double;
};

// As many values as one access moves: 16 bytes where the alignment allows it.
template <typename Value, int LANES>
struct alignas(sizeof(Value) * LANES) Pack {
  Value lane[LANES];
};

TINKIT_DEVICE float widen(float value) { return value; }
TINKIT_DEVICE double widen(double value) { return value; }

#if !defined(TINKIT_HOST)
TINKIT_DEVICE float widen(Half value) {
  float wide;
  asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(value.bits));
  return wide;
}

TINKIT_DEVICE float widen(Bfloat16 value) { return __uint_as_float(unsigned(value.bits) << 16); }
TINKIT_DEVICE unsigned bits_of(float value) { return __float_as_uint(value); }
TINKIT_DEVICE float exponential(float value) { return expf(value); }
TINKIT_DEVICE double exponential(double value) { return exp(value); }
// The hyperbolic one.
TINKIT_DEVICE float tangent(float value) { return tanhf(value); }
TINKIT_DEVICE double tangent(double value) { return tanh(value); }
#endif

// Rounds to nearest even. Turing has no such instruction for bfloat16, nor has a host compiler.
TINKIT_DEVICE Bfloat16 round_bfloat16(float value) {
  const unsigned bits = bits_of(value);
  const unsigned rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return {(unsigned short)(value != value ? 0x7fffu : rounded)};
}

template <typename Value>
struct Narrow {
  static TINKIT_DEVICE Value of(Value value) { return value; }
};

template <>
struct Narrow<Half> {
  static TINKIT_DEVICE Half of(float value) {
#if defined(TINKIT_HOST)
    return round_half(value);
#else
    Half narrow;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(narrow.bits) : "f"(value));
    return narrow;
#endif
  }
};

template <>
struct Narrow<Bfloat16> {
  static TINKIT_DEVICE Bfloat16 of(float value) {
#if !defined(TINKIT_HOST) && __CUDA_ARCH__ >= 800
    Bfloat16 narrow;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(narrow.bits) : "f"(value));
    return narrow;
#else
    return round_bfloat16(value);
#endif
  }
};

}  // namespace tinkit
