// Images of 8 bits, and the means that make one of another size of them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace tinkit {

// Pillow's weights are integers with 32 - 8 - 2 bits behind the point; a sum starts from a half, so that it is rounded.
constexpr int kWeightBits = 22;
constexpr int32_t kHalf = int32_t(1) << (kWeightBits - 1);

// Rows of `width` pixels of `channels` bytes (1, 2 or 3), `stride` bytes apart.
struct Image {
  const uint8_t* pixels;
  int64_t stride, width, height, channels;
};

struct Target {
  uint8_t* pixels;
  int64_t stride;
};

// `size` values, each of `taps` neighbours: value i is the sum of those from `first[i]` on times `weight[i * taps +
// k]`.
struct MeanOf {
  const int32_t* first;
  const int32_t* weight;
  int64_t size;
  int taps;
};

}  // namespace tinkit
