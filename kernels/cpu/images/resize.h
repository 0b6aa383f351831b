// Resizing of images of 8 bits: the two passes, in either order, and neither where nothing changes.
#pragma once

#include <vector>

#include "cpu/loops/choice.h"

namespace tinkit {

inline void resize(const Image& image, const MeanOf& x, const MeanOf& y, bool columns_first, bool mirrored,
                   const Target& to) {
  const Level& level = *current_level().load(std::memory_order_relaxed);
  const bool rows = x.size != image.width || mirrored, columns = y.size != image.height;
  const int64_t bytes = image.channels;
  thread_local std::vector<uint8_t> between, turned;
  turned.resize((image.width * bytes + 15) / 16 * 256 + (x.size * bytes + 15) / 16 * 256);
  if (rows && columns) {
    const int64_t width = columns_first ? image.width : x.size, height = columns_first ? y.size : image.height;
    between.resize(width * height * bytes);
    const Target middle{between.data(), width * bytes};
    const Image half{middle.pixels, middle.stride, width, height, bytes};
    if (columns_first) {
      level.along_columns(image, y, middle);
      level.along_rows(half, x, mirrored, to, turned.data());
    } else {
      level.along_rows(image, x, mirrored, middle, turned.data());
      level.along_columns(half, y, to);
    }
  } else if (rows) {
    level.along_rows(image, x, mirrored, to, turned.data());
  } else if (columns) {
    level.along_columns(image, y, to);
  } else {
    for (int64_t i = 0; i < image.height; ++i)
      std::memcpy(to.pixels + i * to.stride, image.pixels + i * image.stride, image.width * bytes);
  }
}

}  // namespace tinkit
