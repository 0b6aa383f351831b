// What libjpeg-turbo has at the same place in every version since 1.5, on systems whose pointers and longs have 8
// bytes: the first fields of its decoder, and of what it reports errors to. It is called by address, in the library
// that Pillow has loaded: no header of its is needed, and a decoder of another make is refused by the sizes that it
// compares.
#pragma once

#include <csetjmp>
#include <cstddef>
#include <cstdint>

namespace tinkit {

constexpr int kGrey = 1, kRgb = 2, kYCbCr = 3;  // its colour spaces

struct JpegErrors {
  void (*exit)(void* decoder);                // of an error; must not return
  void (*message)(void* decoder, int level);  // below 0: a warning
  void* rest[62];
};

struct JpegDecoder {
  JpegErrors* errors;
  void *memory, *progress, *ours;
  int is_decoder, state;
  void* source;
  uint32_t width, height;
  int components, colours, out_colours;
  int settings[31];
  void* tables[12];  // of quantisation and of both Huffman codes: they stay from one file to the next
  void* rest[128];
};

static_assert(offsetof(JpegDecoder, width) == 48 && offsetof(JpegDecoder, out_colours) == 64 &&
              offsetof(JpegDecoder, tables) == 192);

// Its functions, and the version of its interface and the size of a decoder, both of which it compares with its own.
struct LibJpeg {
  int version;
  size_t size;
  JpegErrors* (*errors)(JpegErrors*);
  void (*create)(JpegDecoder*, int version, size_t size);
  void (*source)(JpegDecoder*, const uint8_t* data, unsigned long size);
  int (*header)(JpegDecoder*, int whole);
  int (*scans)(JpegDecoder*);
  int (*start)(JpegDecoder*);
  void (*columns)(JpegDecoder*, uint32_t* first, uint32_t* count);
  uint32_t (*skip)(JpegDecoder*, uint32_t rows);
  uint32_t (*rows)(JpegDecoder*, uint8_t** rows, uint32_t count);
  void (*abort)(JpegDecoder*);
  void (*destroy)(JpegDecoder*);
};

}  // namespace tinkit
