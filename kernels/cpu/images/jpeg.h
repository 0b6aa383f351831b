// A part of a JPEG: only the blocks that it touches are transformed, and nothing below it is read.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "libjpeg.h"

namespace tinkit {

// Interpolated chroma looks at the pixels beside a part; that it does right where these are decoded, too.
constexpr int64_t kBeside = 4;

constexpr uintptr_t kPastCaches = 32;

struct Rectangle {
  int64_t left, top, width, height;
};

// Errors and warnings both end the decoding: whoever asked decodes the whole file, and judges it.
struct JpegStop {
  JpegErrors errors;
  std::jmp_buf place;
};

inline void stop_jpeg(void* decoder) {
  std::longjmp(reinterpret_cast<JpegStop*>(static_cast<JpegDecoder*>(decoder)->errors)->place, 1);
}

inline void stop_jpeg_at_warning(void* decoder, int level) {
  if (level < 0) stop_jpeg(decoder);
}

// Whether the decoder is as libjpeg.h has it.
inline bool jpeg_is_known(const LibJpeg& jpeg) {
  JpegDecoder decoder{};
  JpegStop stop{};
  decoder.errors = jpeg.errors(&stop.errors);
  stop.errors.exit = stop_jpeg;
  stop.errors.message = stop_jpeg_at_warning;
  if (setjmp(stop.place)) return false;
  jpeg.create(&decoder, jpeg.version, jpeg.size);
  jpeg.destroy(&decoder);
  return true;
}

// `part` of the picture of `width` x `height` pixels in `data`, as RGB, into rows that lie `stride` bytes apart. False
// for a picture of another size, of several scans, of more than three colours, and for what is not without a fault.
inline bool jpeg_part(const LibJpeg& jpeg, const uint8_t* data, size_t size, int64_t width, int64_t height,
                      const Rectangle& part, uint8_t* to, int64_t stride) {
  thread_local std::vector<uint8_t> row;
  row.resize(width * 3 + 2 * kPastCaches);
  // Rows at whole multiples are written past the caches, and waited for when they are read.
  uint8_t* whole = row.data() + kPastCaches / 4 + kPastCaches - reinterpret_cast<uintptr_t>(row.data()) % kPastCaches;
  JpegDecoder decoder{};
  JpegStop stop{};
  decoder.errors = jpeg.errors(&stop.errors);
  stop.errors.exit = stop_jpeg;
  stop.errors.message = stop_jpeg_at_warning;
  if (setjmp(stop.place)) {
    jpeg.destroy(&decoder);
    return false;
  }
  jpeg.create(&decoder, jpeg.version, jpeg.size);
  jpeg.source(&decoder, data, size);
  jpeg.header(&decoder, 1);
  const bool wanted = decoder.width == width && decoder.height == height && !jpeg.scans(&decoder) &&
                      (decoder.colours == kYCbCr || decoder.colours == kRgb || decoder.colours == kGrey);
  if (wanted) {
    decoder.out_colours = kRgb;
    jpeg.start(&decoder);
    uint32_t first = uint32_t(std::max<int64_t>(0, part.left - kBeside));
    uint32_t count = uint32_t(std::min(width, part.left + part.width + kBeside) - first);
    jpeg.columns(&decoder, &first, &count);
    if (part.top > 0) jpeg.skip(&decoder, uint32_t(part.top));
    for (int64_t y = 0; y < part.height; ++y) {
      if (jpeg.rows(&decoder, &whole, 1) != 1) stop_jpeg(&decoder);
      std::memcpy(to + y * stride, whole + (part.left - first) * 3, part.width * 3);
    }
  }
  jpeg.destroy(&decoder);
  return wanted;
}

}  // namespace tinkit
