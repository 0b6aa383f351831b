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

struct JpegFile {
  const uint8_t* data;
  int64_t size;
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

// One decoder for file after file.
class JpegReader {
 public:
  explicit JpegReader(const LibJpeg& jpeg) : jpeg_(jpeg) {
    decoder_.errors = jpeg.errors(&stop_.errors);
    stop_.errors.exit = stop_jpeg;
    stop_.errors.message = stop_jpeg_at_warning;
    if (setjmp(stop_.place)) return;
    jpeg.create(&decoder_, jpeg.version, jpeg.size);
    made_ = true;
  }
  ~JpegReader() {
    if (made_) jpeg_.destroy(&decoder_);
  }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  // Whether the decoder is as libjpeg.h has it.
  bool made() const { return made_; }

  // `part` of the picture of `width` x `height` pixels in `file`, as RGB, into rows that lie `stride` bytes apart.
  // False for a picture of another size, of several scans, of more than three colours, for what is not without a fault
  // and for what has no end: such a file was cut off.
  bool read(const JpegFile& file, int64_t width, int64_t height, const Rectangle& part, uint8_t* to, int64_t stride) {
    if (!made_ || file.size < 4 || file.data[file.size - 2] != 0xff || file.data[file.size - 1] != 0xd9) return false;
    row_.resize(width * 3 + 2 * kPastCaches);
    if (setjmp(stop_.place)) {
      forget();
      return false;
    }
    const bool wanted = decode(file, width, height, part, to, stride);
    forget();
    return wanted;
  }

 private:
  bool decode(const JpegFile& file, int64_t width, int64_t height, const Rectangle& part, uint8_t* to, int64_t stride) {
    // Rows at whole multiples are written past the caches, and waited for when they are read.
    uint8_t* row = row_.data() + kPastCaches / 4 + kPastCaches - reinterpret_cast<uintptr_t>(row_.data()) % kPastCaches;
    jpeg_.source(&decoder_, file.data, file.size);
    jpeg_.header(&decoder_, 1);
    if (decoder_.width != width || decoder_.height != height || jpeg_.scans(&decoder_) ||
        (decoder_.colours != kYCbCr && decoder_.colours != kRgb && decoder_.colours != kGrey))
      return false;
    decoder_.out_colours = kRgb;
    jpeg_.start(&decoder_);
    uint32_t first = uint32_t(std::max<int64_t>(0, part.left - kBeside));
    uint32_t count = uint32_t(std::min(width, part.left + part.width + kBeside) - first);
    jpeg_.columns(&decoder_, &first, &count);
    if (part.top > 0) jpeg_.skip(&decoder_, uint32_t(part.top));
    for (int64_t y = 0; y < part.height; ++y) {
      if (jpeg_.rows(&decoder_, &row, 1) != 1) return false;
      std::memcpy(to + y * stride, row + (part.left - first) * 3, part.width * 3);
    }
    return true;
  }

  // A file that lacks tables must not be decoded with those of the one before.
  void forget() {
    jpeg_.abort(&decoder_);
    std::fill_n(decoder_.tables, std::size(decoder_.tables), nullptr);
  }

  const LibJpeg& jpeg_;
  JpegDecoder decoder_{};
  JpegStop stop_{};
  std::vector<uint8_t> row_;
  bool made_ = false;
};

}  // namespace tinkit
