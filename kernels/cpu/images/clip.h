// The frames of a clip, from JPEGs to where they are shown, at the size at which they are shown.
#pragma once

#include <vector>

#include "jpeg.h"
#include "resize.h"

namespace tinkit {

// What is shown of a decoded part: a rectangle in it, resized by the means `x` and `y` and perhaps mirrored, in rows
// that lie `stride` bytes apart. As tinkit/data/sampling/jpegs.py has it: whole numbers of 8 bytes all through.
struct Cut {
  Rectangle place;
  const int32_t *x_first, *x_weight;
  int64_t x_size, x_taps;
  const int32_t *y_first, *y_weight;
  int64_t y_size, y_taps;
  int64_t columns_first, mirrored, stride;
};

static_assert(sizeof(Cut) == 15 * 8);

// Of each of `count` pictures of `width` x `height` pixels decodes `part` and shows it at `targets`, which has a place
// or a null pointer for every one of the `cut_count` cuts, picture after picture. Gives how many it has shown: less
// than all where one is not to be read so (see JpegReader).
inline int64_t show_jpegs(const LibJpeg& jpeg, const JpegFile* files, int64_t count, int64_t width, int64_t height,
                          const Rectangle& part, const Cut* cuts, int64_t cut_count, uint8_t* const* targets) {
  constexpr int64_t kColours = 3;
  JpegReader reader(jpeg);
  std::vector<uint8_t> pixels(part.width * part.height * kColours);
  const int64_t stride = part.width * kColours;
  for (int64_t i = 0; i < count; ++i) {
    if (!reader.read(files[i], width, height, part, pixels.data(), stride)) return i;
    for (int64_t k = 0; k < cut_count; ++k) {
      const Cut& cut = cuts[k];
      uint8_t* target = targets[i * cut_count + k];
      if (target == nullptr) continue;
      const uint8_t* from = pixels.data() + cut.place.top * stride + cut.place.left * kColours;
      resize({from, stride, cut.place.width, cut.place.height, kColours},
             {cut.x_first, cut.x_weight, cut.x_size, int(cut.x_taps)},
             {cut.y_first, cut.y_weight, cut.y_size, int(cut.y_taps)}, cut.columns_first, cut.mirrored,
             {target, cut.stride});
    }
  }
  return count;
}

}  // namespace tinkit
