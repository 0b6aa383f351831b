// Average precision of the rows of a score matrix by comparing positives only: for each positive of a row, how many
// scores of the row are at least as high, and how many positives among them. Equal scores share one threshold.
//
// C++17 and no library but the standard one; tinkit/average_precision/compiled.py compiles and calls it.

#include <cstdint>
#include <cstring>

#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GLIBC__) && !defined(__clang__)
#define TINKIT_LEVELS __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define TINKIT_LEVELS
#endif

namespace {

// At most this many positives a row are compared: beyond, sorting the row is faster.
constexpr int64_t most = 256;
// Scores compared before the count is widened: it stays exact in 32 bits, and the row's part in the first cache.
constexpr int64_t part = 4096;

template <typename T>
inline __attribute__((always_inline)) int64_t count_at_least(const T* scores, int64_t width, T own) {
  int64_t found = 0;
  for (int64_t begin = 0; begin < width; begin += part) {
    const int64_t end = begin + part < width ? begin + part : width;
    int32_t count = 0;
    for (int64_t at = begin; at < end; ++at) count += scores[at] >= own;
    found += count;
  }
  return found;
}

template <typename T>
inline __attribute__((always_inline)) bool has_nan(const T* scores, int64_t width) {
  int32_t found = 0;
  for (int64_t at = 0; at < width; ++at) found |= scores[at] != scores[at];
  return found != 0;
}

// The places of the positives, at most `most` of them, into `places`; how many there are, or -1 for a mark above 1.
inline __attribute__((always_inline)) int64_t positives(const uint8_t* marks, int64_t width, int64_t* places) {
  int64_t count = 0, at = 0;
  bool strange = false;
  auto look = [&](int64_t place) {
    if (marks[place] == 0) return;
    strange |= marks[place] > 1;
    if (count < most) places[count] = place;
    ++count;
  };
  for (; at + 8 <= width; at += 8) {
    uint64_t eight;
    std::memcpy(&eight, marks + at, 8);
    if (eight == 0) continue;
    for (int64_t place = at; place < at + 8; ++place) look(place);
  }
  for (; at < width; ++at) look(at);
  return strange ? -1 : count;
}

// Into `result` (rows): average precision; NaN for a row without a positive; -1 for one with more than `most`, which is
// left to the caller. Returns the first row with a score that is NaN or a mark above 1; `rows` if there is none.
template <typename T>
inline __attribute__((always_inline)) int64_t all_rows(const T* scores, int64_t score_stride, const uint8_t* marks,
                                                       int64_t mark_stride, int64_t rows, int64_t width,
                                                       double* result) {
  int64_t places[most];
  for (int64_t row = 0; row < rows; ++row) {
    const T* own = scores + row * score_stride;
    const int64_t count = positives(marks + row * mark_stride, width, places);
    if (count < 0 || has_nan(own, width)) return row;
    if (count == 0 || count > most) {
      result[row] = count == 0 ? __builtin_nan("") : -1.0;
      continue;
    }
    double sum = 0;
    for (int64_t which = 0; which < count; ++which) {
      const T threshold = own[places[which]];
      int64_t among = 0;
      for (int64_t other = 0; other < count; ++other) among += own[places[other]] >= threshold;
      sum += static_cast<double>(among) / static_cast<double>(count_at_least(own, width, threshold));
    }
    result[row] = sum / static_cast<double>(count);
  }
  return rows;
}

}  // namespace

extern "C" TINKIT_LEVELS int64_t tinkit_row_ap_float32(const float* scores, int64_t score_stride, const uint8_t* marks,
                                                       int64_t mark_stride, int64_t rows, int64_t width,
                                                       double* result) {
  return all_rows(scores, score_stride, marks, mark_stride, rows, width, result);
}

extern "C" TINKIT_LEVELS int64_t tinkit_row_ap_float64(const double* scores, int64_t score_stride, const uint8_t* marks,
                                                       int64_t mark_stride, int64_t rows, int64_t width,
                                                       double* result) {
  return all_rows(scores, score_stride, marks, mark_stride, rows, width, result);
}
