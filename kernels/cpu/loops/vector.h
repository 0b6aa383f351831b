// Vectors of features, in what they are added up in. Included once for each level, inside its namespace: no guard.
//
// TINKIT_LEVEL is 0 baseline, 1 AVX2, 2 AVX-512, 3 AVX512-BF16. The vectors are the compiler's own, so the same text
// serves any processor; only what a compiler does not find by itself is spelt out for x86.

#if TINKIT_LEVEL >= 2
constexpr int kVectorBytes = 64;
#elif TINKIT_LEVEL == 1
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

// What aliases nothing of another type: a vector is moved with memcpy, which compiles to one instruction.
template <typename Number, int lanes>
struct Pack {
  typedef Number type __attribute__((vector_size(sizeof(Number) * lanes)));
};
template <typename Number, int lanes>
using Packed = typename Pack<Number, lanes>::type;

template <typename Vector>
inline Vector load_bits(const void* from) {
  Vector value;
  __builtin_memcpy(&value, from, sizeof(value));
  return value;
}

template <typename Vector>
inline void store_bits(void* to, Vector value) {
  __builtin_memcpy(to, &value, sizeof(value));
}

// Past the caches, where the processor can and the vector is a whole one; `to` is aligned to the vector then.
template <typename Vector>
inline void stream_bits(void* to, Vector value) {
#if defined(__x86_64__)
  if constexpr (sizeof(Vector) == 16) return _mm_stream_si128(static_cast<__m128i*>(to), load_bits<__m128i>(&value));
#if TINKIT_LEVEL >= 1
  if constexpr (sizeof(Vector) == 32) return _mm256_stream_si256(static_cast<__m256i*>(to), load_bits<__m256i>(&value));
#endif
#if TINKIT_LEVEL >= 2
  if constexpr (sizeof(Vector) == 64) return _mm512_stream_si512(static_cast<__m512i*>(to), load_bits<__m512i>(&value));
#endif
#endif
  store_bits(to, value);
}

// Streamed stores are not ordered with others: this puts them before whatever another thread is told next.
inline void finish_streams() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

template <int lanes>
inline Packed<float, lanes> widen(Brain, Packed<uint16_t, lanes> stored) {
  using Bits = Packed<uint32_t, lanes>;
  return reinterpret_cast<Packed<float, lanes>>(__builtin_convertvector(stored, Bits) << 16);
}

// To nearest, ties to even; NaN stays NaN.
template <int lanes>
inline Packed<uint16_t, lanes> narrow(Brain, Packed<float, lanes> value) {
#if TINKIT_LEVEL >= 3
  if constexpr (lanes == 16) {
    const __m256bh converted = _mm512_cvtneps_pbh(reinterpret_cast<__m512>(value));
    return load_bits<Packed<uint16_t, lanes>>(&converted);
  }
#endif
  using Bits = Packed<uint32_t, lanes>;
  const Bits bits = reinterpret_cast<Bits>(value);
  const Bits rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const Bits none = (bits >> 16) | 0x40;
  const Bits chosen = value == value ? rounded : none;
  return __builtin_convertvector(chosen, Packed<uint16_t, lanes>);
}

template <int lanes>
inline Packed<float, lanes> widen(Half, Packed<uint16_t, lanes> stored) {
#if TINKIT_LEVEL >= 2
  if constexpr (lanes == 16)
    return reinterpret_cast<Packed<float, lanes>>(_mm512_cvtph_ps(reinterpret_cast<__m256i>(stored)));
#endif
#if TINKIT_LEVEL >= 1
  if constexpr (lanes == 8)
    return reinterpret_cast<Packed<float, lanes>>(_mm256_cvtph_ps(reinterpret_cast<__m128i>(stored)));
#endif
  using Bits = Packed<uint32_t, lanes>;
  const Bits bits = __builtin_convertvector(stored, Bits);
  const Bits magnitude = (bits & 0x7fff) << 13;
  // The exponent is counted from 15 there and from 127 here; the product makes numbers of subnormal ones, too.
  const Bits scaled = reinterpret_cast<Bits>(reinterpret_cast<Packed<float, lanes>>(magnitude) * 0x1p112f);
  const Bits infinite = magnitude >= (0x7c00u << 13) ? scaled | 0x7f800000u : scaled;
  return reinterpret_cast<Packed<float, lanes>>(infinite | (bits & 0x8000) << 16);
}

// To nearest, ties to even; subnormal numbers are kept, 65520 and more is infinite.
template <int lanes>
inline Packed<uint16_t, lanes> narrow(Half, Packed<float, lanes> value) {
#if TINKIT_LEVEL >= 2
  if constexpr (lanes == 16)
    return reinterpret_cast<Packed<uint16_t, lanes>>(_mm512_cvtps_ph(reinterpret_cast<__m512>(value), 0));
#endif
#if TINKIT_LEVEL >= 1
  if constexpr (lanes == 8)
    return reinterpret_cast<Packed<uint16_t, lanes>>(_mm256_cvtps_ph(reinterpret_cast<__m256>(value), 0));
#endif
  using Bits = Packed<uint32_t, lanes>;
  const Bits bits = reinterpret_cast<Bits>(value), magnitude = bits & 0x7fffffff;
  const Bits normal = (magnitude - (112u << 23) + 0xfff + ((magnitude >> 13) & 1)) >> 13;
  // Beside a half the last place of a float is that of the smallest numbers: the sum rounds as they do.
  const Packed<float, lanes> beside = reinterpret_cast<Packed<float, lanes>>(magnitude) + 0.5f;
  const Bits subnormal = reinterpret_cast<Bits>(beside) - 0x3f000000;
  const Bits finite = magnitude < 0x38800000u ? subnormal : normal;
  const Bits bounded = magnitude < 0x47800000u ? finite : Bits{} + 0x7c00;
  const Bits chosen = magnitude > 0x7f800000u ? Bits{} + 0x7e00 : bounded;
  return __builtin_convertvector(chosen | (bits >> 16 & 0x8000), Packed<uint16_t, lanes>);
}

template <typename Value, int lanes>
inline Packed<typename SumOf<Value>::type, lanes> load(const Value* from) {
  if constexpr (sizeof(Value) == 2)
    return widen<lanes>(Value{}, load_bits<Packed<uint16_t, lanes>>(from));
  else
    return load_bits<Packed<Value, lanes>>(from);
}

template <bool streamed, typename Value, int lanes>
inline void store(Value* to, Packed<typename SumOf<Value>::type, lanes> value) {
  const auto put = [to](auto bits) {
    if constexpr (streamed)
      stream_bits(to, bits);
    else
      store_bits(to, bits);
  };
  if constexpr (sizeof(Value) == 2)
    put(narrow<lanes>(Value{}, value));
  else
    put(value);
}

// A value as it is after it was stored.
template <int lanes, typename Value, typename Vector>
inline Vector rounded(Value, Vector value) {
  if constexpr (sizeof(Value) == 2)
    return widen<lanes>(Value{}, narrow<lanes>(Value{}, value));
  else
    return value;
}

// Numbers in a whole vector of a level.
template <typename Value>
constexpr int kLanes = kVectorBytes / int(sizeof(typename SumOf<Value>::type));

// Whole vectors in what a cache line stores.
template <typename Value>
constexpr int kLineVectors = 64 / (kLanes<Value> * int(sizeof(Value)));
