// Resizing of 8-bit images by weighted means of neighbours, as Pillow does it: along rows, along columns, to the bit.
// Included once for each level, inside its namespace: no guard.
//
// Along columns the values of a row lie side by side, so a vector holds neighbours. Along rows they do not: sixteen
// rows are turned into columns first (16x16 bytes at a time), so that a vector holds the same value of sixteen rows.

constexpr int kSums = kVectorBytes / 4;
using Bytes = Packed<uint8_t, 16>;
using FewBytes = Packed<uint8_t, kSums>;
using Words = Packed<uint16_t, kSums>;
using Sums = Packed<int32_t, kSums>;

// What compilers take apart, value by value, is spelt out for x86; in two steps it goes well elsewhere.
inline Sums widened(const uint8_t* from) {
#if defined(__x86_64__) && TINKIT_LEVEL >= 2
  return reinterpret_cast<Sums>(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
#elif defined(__x86_64__) && TINKIT_LEVEL == 1
  return reinterpret_cast<Sums>(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
#else
  return __builtin_convertvector(__builtin_convertvector(load_bits<FewBytes>(from), Words), Sums);
#endif
}

inline FewBytes narrowed(Sums sums) {
#if defined(__x86_64__) && TINKIT_LEVEL >= 2
  return reinterpret_cast<FewBytes>(_mm512_cvtepi32_epi8(reinterpret_cast<__m512i>(sums >> kWeightBits)));
#elif defined(__x86_64__) && TINKIT_LEVEL == 1
  const __m256i means = reinterpret_cast<__m256i>(sums >> kWeightBits);
  const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(means), _mm256_extracti128_si256(means, 1));
  const long long bytes = _mm_cvtsi128_si64(_mm_packus_epi16(words, words));
  return load_bits<FewBytes>(&bytes);
#else
  return __builtin_convertvector(__builtin_convertvector(sums >> kWeightBits, Words), FewBytes);
#endif
}

// kSums means of `taps` values each, `step` bytes apart.
inline void mean_of(const uint8_t* from, int64_t step, const int32_t* weight, int taps, uint8_t* to) {
  Sums sums = Sums{} + kHalf;
  for (int k = 0; k < taps; ++k) sums += widened(from + k * step) * weight[k];
  store_bits(to, narrowed(sums));
}

// Interleaving rows i and i + 8, four times, turns rows into columns.
inline void turn(Bytes (&rows)[16]) {
#pragma GCC unroll 4
  for (int round = 0; round < 4; ++round) {
    Bytes next[16];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      next[2 * i] =
          __builtin_shufflevector(rows[i], rows[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      next[2 * i + 1] =
          __builtin_shufflevector(rows[i], rows[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) rows[i] = next[i];
  }
}

// Sixteen columns of `from` (values of a row, turned) into those of `to`; taps is 0 where it is known at run time only.
template <int channels, int taps>
void mean_along(const MeanOf& x, const uint8_t* from, uint8_t* to, bool mirrored) {
  const int count = taps ? taps : x.taps;
  for (int64_t i = 0; i < x.size; ++i) {
    const int32_t* weight = x.weight + i * x.taps;
    const uint8_t* first = from + int64_t(x.first[i]) * channels * 16;
    uint8_t* place = to + (mirrored ? x.size - 1 - i : i) * channels * 16;
#pragma GCC unroll 12
    for (int c = 0; c < channels * 16; c += kSums) mean_of(first + c, channels * 16, weight, count, place + c);
  }
}

template <int channels>
void mean_of_row(const MeanOf& x, const uint8_t* from, uint8_t* to, bool mirrored) {
  switch (x.taps) {
    case 1: return mean_along<channels, 1>(x, from, to, mirrored);
    case 2: return mean_along<channels, 2>(x, from, to, mirrored);
    case 3: return mean_along<channels, 3>(x, from, to, mirrored);
    case 4: return mean_along<channels, 4>(x, from, to, mirrored);
    default: return mean_along<channels, 0>(x, from, to, mirrored);
  }
}

// Every row of `from` at another width. `turned` has room for 16 rows of either width, to whole sixteens.
inline void along_rows(const Image& from, const MeanOf& x, bool mirrored, const Target& to, uint8_t* turned) {
  const int64_t wide = from.width * from.channels, narrow = x.size * from.channels;
  uint8_t* out = turned + (wide + 15) / 16 * 256;
  for (int64_t top = 0; top < from.height; top += 16) {
    const int rows = int(std::min<int64_t>(16, from.height - top));
    for (int64_t at = 0; at < wide; at += 16) {
      const int64_t left = std::min<int64_t>(16, wide - at);
      Bytes block[16] = {};
      for (int i = 0; i < rows; ++i) {
        const uint8_t* row = from.pixels + (top + i) * from.stride + at;
        if (left == 16)
          block[i] = load_bits<Bytes>(row);
        else
          std::memcpy(&block[i], row, left);
      }
      turn(block);
      for (int i = 0; i < 16; ++i) store_bits(turned + (at + i) * 16, block[i]);
    }
    switch (from.channels) {
      case 1: mean_of_row<1>(x, turned, out, mirrored); break;
      case 2: mean_of_row<2>(x, turned, out, mirrored); break;
      default: mean_of_row<3>(x, turned, out, mirrored);
    }
    for (int64_t at = 0; at < narrow; at += 16) {
      Bytes block[16];
      for (int i = 0; i < 16; ++i) block[i] = load_bits<Bytes>(out + (at + i) * 16);
      turn(block);
      const int64_t left = std::min<int64_t>(16, narrow - at);
      for (int i = 0; i < rows; ++i) {
        uint8_t* row = to.pixels + (top + i) * to.stride + at;
        if (left == 16)
          store_bits(row, block[i]);
        else
          std::memcpy(row, &block[i], left);
      }
    }
  }
}

template <int taps>
void mean_of_rows(const Image& from, const MeanOf& y, const Target& to) {
  const int count = taps ? taps : y.taps;
  const int64_t width = from.width * from.channels;
  for (int64_t i = 0; i < y.size; ++i) {
    const int32_t* weight = y.weight + i * y.taps;
    const uint8_t* first = from.pixels + int64_t(y.first[i]) * from.stride;
    uint8_t* row = to.pixels + i * to.stride;
    int64_t at = 0;
    for (; at + kSums <= width; at += kSums) mean_of(first + at, from.stride, weight, count, row + at);
    for (; at < width; ++at) {
      int32_t sum = kHalf;
      for (int k = 0; k < count; ++k) sum += first[k * from.stride + at] * weight[k];
      row[at] = uint8_t(sum >> kWeightBits);
    }
  }
}

// Every column of `from` at another height.
inline void along_columns(const Image& from, const MeanOf& y, const Target& to) {
  switch (y.taps) {
    case 2: return mean_of_rows<2>(from, y, to);
    case 3: return mean_of_rows<3>(from, y, to);
    default: return mean_of_rows<0>(from, y, to);
  }
}
