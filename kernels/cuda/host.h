// The words of device.h for a host compiler, so that a kernel runs, and is watched, without a device.
//
// A phase is a loop over the block's threads, in the order that `order` says; a launch is a loop over its blocks.
// Besides the numbers the host build gives what a device would not tell:
// - bytes read and written in global memory, by `load` and `store`;
// - races: two threads that touch one address, one of them writing, with no SYNC between them or in two blocks
//   (TINKIT_WATCH, slow). A missing barrier shows here although the loop runs the phases one after another;
// - shared memory starts as NaN in every block.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <unordered_map>

#define TINKIT_DEVICE inline
#define UNROLL
#define UNROLL4
#define THREADS(t)                                                                                                  \
  for (int t##_turn = 0, t; t##_turn < tinkit::BLOCK && tinkit::host::enter(t = tinkit::host::thread_of(t##_turn)); \
       ++t##_turn)
#define SYNC() (++tinkit::host::state().phase, tinkit::host::state().thread = tinkit::host::MANY)
#define SHARED(Type, name, count) \
  static Type name[count];        \
  tinkit::host::poison(name, sizeof(name))
#define OWN(Type, name) Type name[tinkit::BLOCK]
#define ENTRY(name, body)                                             \
  extern "C" void name(unsigned blocks, const tinkit::Arguments* a) { \
    tinkit::host::launch(blocks, [a] { body(*a); });                  \
  }

namespace tinkit {
namespace host {

enum Order { FORWARD = 0, REVERSED = 1, MIXED = 2 };

constexpr int NONE = -1, MANY = -2;  // threads; outside a phase all are meant
constexpr long long SEVERAL = -2;

// Who touched a byte last: as writer, and as reader (MANY for several of them in one phase).
struct Touch {
  long long block = -1;               // SEVERAL once two have
  long long written = -1, read = -1;  // the phase
  int writer = NONE, reader = NONE;
};

struct State {
  int order = FORWARD, thread = MANY;
  unsigned block = 0;
  long long phase = 0;
  long long bytes_read = 0, bytes_written = 0, races = 0, unaligned = 0;
  std::unordered_map<std::uintptr_t, Touch> global, shared;
};

inline State& state() {
  static State the_state;
  return the_state;
}

inline int thread_of(int turn) {
  switch (state().order) {
    case REVERSED: return BLOCK - 1 - turn;
    case MIXED: return (turn * 97 + 31) % BLOCK;
    default: return turn;
  }
}

inline bool enter(int thread) {
  state().thread = thread;
  return true;
}

template <typename Body>
void launch(unsigned blocks, Body body) {
  State& s = state();
  s.global.clear();
  for (unsigned turn = 0; turn < blocks; ++turn) {
    s.block = s.order == REVERSED ? blocks - 1 - turn : turn;
    s.shared.clear();
    ++s.phase;
    s.thread = MANY;
    body();
  }
}

inline void poison(void* memory, std::size_t size) { std::memset(memory, 0xff, size); }

inline void race(const char* what, const Touch& touch) {
  State& s = state();
  if (s.races++ == 0) {
    std::fprintf(stderr, "race: %s in block %u by thread %d, before it block %lld, writer %d, reader %d\n", what,
                 s.block, s.thread, touch.block, touch.writer, touch.reader);
  }
}

inline void watch(std::unordered_map<std::uintptr_t, Touch>& memory, const void* at, std::size_t size, bool writes) {
  State& s = state();
  const auto first = reinterpret_cast<std::uintptr_t>(at);
  for (std::uintptr_t byte = first; byte < first + size; byte += 2) {  // no value is smaller
    Touch& touch = memory[byte];
    const bool elsewhere = touch.block != -1 && touch.block != s.block;
    const bool written_now = touch.written == s.phase && touch.writer != s.thread;
    const bool read_now = touch.read == s.phase && touch.reader != s.thread;
    const bool foreign_write = touch.writer != NONE && (elsewhere || written_now);
    const bool foreign_read = touch.reader != NONE && (elsewhere || read_now);
    if (foreign_write || (writes && foreign_read)) race(writes ? "write" : "read", touch);
    if (writes) {
      touch.written = s.phase;
      touch.writer = s.thread;
    } else {
      touch.reader = touch.reader != NONE && touch.read == s.phase && touch.reader != s.thread ? MANY : s.thread;
      touch.read = s.phase;
    }
    touch.block = touch.block == -1 || touch.block == s.block ? s.block : SEVERAL;
  }
}

inline void align(const void* at, std::size_t size) {
  if (reinterpret_cast<std::uintptr_t>(at) % size != 0) ++state().unaligned;
}

}  // namespace host

inline int mine(int thread) { return thread; }
inline unsigned block_index() { return host::state().block; }

template <typename Item>
Item load(const Item* from) {
  host::align(from, sizeof(Item));
  host::state().bytes_read += sizeof(Item);
#if defined(TINKIT_WATCH)
  host::watch(host::state().global, from, sizeof(Item), false);
#endif
  return *from;
}

template <typename Item>
void store(Item* to, const Item& item) {
  host::align(to, sizeof(Item));
  host::state().bytes_written += sizeof(Item);
#if defined(TINKIT_WATCH)
  host::watch(host::state().global, to, sizeof(Item), true);
#endif
  *to = item;
}

template <typename Item>
Item get(const Item* from) {
#if defined(TINKIT_WATCH)
  host::watch(host::state().shared, from, sizeof(Item), false);
#endif
  return *from;
}

template <typename Item>
void put(Item* to, const Item& item) {
#if defined(TINKIT_WATCH)
  host::watch(host::state().shared, to, sizeof(Item), true);
#endif
  *to = item;
}

inline unsigned bits_of(float value) {
  unsigned bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

inline float float_of(unsigned bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

template <typename Sum>
Sum exponential(Sum value) {
  return std::exp(value);
}

// The hyperbolic one.
template <typename Sum>
Sum tangent(Sum value) {
  return std::tanh(value);
}

inline float widen(Bfloat16 value) { return float_of(unsigned(value.bits) << 16); }

inline float widen(Half value) {
  const unsigned sign = unsigned(value.bits & 0x8000u) << 16, rest = value.bits & 0x7fffu;
  if (rest >= 0x7c00u) return float_of(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
  // As if it were a float's bits: the exponents differ by 112, which a product mends, for subnormal numbers as well.
  return float_of(sign | bits_of(float_of(rest << 13) * float_of(0x77800000u)));
}

inline Half round_half(float value) {
  const unsigned bits = bits_of(value), sign = bits >> 16 & 0x8000u, size = bits & 0x7fffffffu;
  unsigned half;
  if (size > 0x7f800000u) {
    half = 0x7fffu;
  } else if (size >= 0x477ff000u) {  // 65520: what is rounded to 65536 is infinite
    half = 0x7c00u;
  } else if (size >= 0x38800000u) {
    half = (size - 0x38000000u + 0xfffu + (size >> 13 & 1u)) >> 13;
  } else {  // subnormal: 0.5 has the half's unit, 2^-24, for its last bit
    half = bits_of(float_of(size) + 0.5f) - bits_of(0.5f);
  }
  return {(unsigned short)(sign | half)};
}

}  // namespace tinkit

extern "C" {

// 0 forward, 1 reversed (blocks too), 2 mixed.
void tinkit_host_order(int order) { tinkit::host::state().order = order; }

// What launches did since the last call: bytes read, bytes written, races, accesses that were not aligned.
void tinkit_host_counts(long long* counts) {
  auto& s = tinkit::host::state();
  counts[0] = s.bytes_read;
  counts[1] = s.bytes_written;
  counts[2] = s.races;
  counts[3] = s.unaligned;
  s.bytes_read = s.bytes_written = s.races = s.unaligned = 0;
}
}
