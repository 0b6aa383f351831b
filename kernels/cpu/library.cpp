// The one file to compile: the CPU kernels of the operators of tinkit/ops, for PyTorch 2.11 and later (stable ABI).
//
//     g++ -std=c++20 -O3 -fPIC -shared -DTORCH_TARGET_VERSION=0x020b000000000000 -I kernels -I TORCH/include
//         kernels/cpu/library.cpp -L TORCH/lib -ltorch_cpu -o library.so
//
// Threads are PyTorch's own, so no -fopenmp; the instruction set is chosen at run time, so no -march.

#include <torch/csrc/stable/library.h>

#include "images/clip.h"
#include "operators/borrowed.h"
#include "operators/ends.h"
#include "operators/normalise.h"
#include "operators/operators.h"
#include "operators/prints.h"
#include "operators/steering_backward.h"

STABLE_TORCH_LIBRARY_IMPL(tinkit, CPU, m) {
  m.impl("interlace", TORCH_BOX(&tinkit::interlace));
  m.impl("interlace_backward", TORCH_BOX(&tinkit::interlace_backward));
  m.impl("interlace_fold", TORCH_BOX(&tinkit::interlace_fold));
  m.impl("interlace_fold_backward", TORCH_BOX(&tinkit::interlace_fold_backward));
  m.impl("interlace_write_", TORCH_BOX(&tinkit::interlace_write));
  m.impl("fold_restore_", TORCH_BOX(&tinkit::fold_restore));
  m.impl("interlace_products", TORCH_BOX(&tinkit::interlace_products));
  m.impl("interlace_transpose_", TORCH_BOX(&tinkit::interlace_transpose));
  m.impl("fold_mean", TORCH_BOX(&tinkit::fold_mean));
  m.impl("steer", TORCH_BOX(&tinkit::steer));
  m.impl("steer_backward", TORCH_BOX(&tinkit::steer_backward));
  m.impl("add_relu_", TORCH_BOX(&tinkit::add_relu));
  m.impl("normalise_into_", TORCH_BOX(&tinkit::normalise));
}

// The instruction set that runs: baseline, AVX2, AVX-512 or AVX512-BF16.
extern "C" __attribute__((visibility("default"))) const char* tinkit_level() {
  return tinkit::current_level().load()->name;
}

// Makes another level run, for tests and measurements; a null pointer stands for the best. 0 if this processor lacks
// it.
extern "C" __attribute__((visibility("default"))) int tinkit_use_level(const char* name) {
  const tinkit::Level* level = tinkit::level_named(name);
  if (level != nullptr) tinkit::current_level() = level;
  return level != nullptr;
}

// A number for each of `count` pieces of memory, which tells its bytes from others (tinkit/ops/prints.py).
extern "C" __attribute__((visibility("default"))) void tinkit_prints(const void* const* memory, const int64_t* sizes,
                                                                     int64_t count, uint64_t* found) {
  tinkit::prints(memory, sizes, count, found);
}

// An image at another size, as Pillow's bilinear filter gives it (tinkit/data/sampling/resize.py has the weights).
extern "C" __attribute__((visibility("default"))) void tinkit_resize(
    const uint8_t* pixels, int64_t stride, int64_t width, int64_t height, int64_t channels, const int32_t* x_first,
    const int32_t* x_weight, int64_t x_size, int64_t x_taps, const int32_t* y_first, const int32_t* y_weight,
    int64_t y_size, int64_t y_taps, int columns_first, int mirrored, uint8_t* to, int64_t to_stride) {
  tinkit::resize({pixels, stride, width, height, channels}, {x_first, x_weight, x_size, int(x_taps)},
                 {y_first, y_weight, y_size, int(y_taps)}, columns_first, mirrored, {to, to_stride});
}

// Whether libjpeg is one whose decoder is known.
extern "C" __attribute__((visibility("default"))) int tinkit_jpeg_is_known(const tinkit::LibJpeg* jpeg) {
  return tinkit::JpegReader(*jpeg).made();
}

// A part of a JPEG as RGB; 0 if the whole of it is to be decoded by other means (tinkit/data/decode/jpeg_part.py).
extern "C" __attribute__((visibility("default"))) int tinkit_jpeg_part(const tinkit::LibJpeg* jpeg, const uint8_t* data,
                                                                       int64_t size, int64_t width, int64_t height,
                                                                       int64_t left, int64_t top, int64_t part_width,
                                                                       int64_t part_height, uint8_t* to,
                                                                       int64_t stride) {
  return tinkit::JpegReader(*jpeg).read({data, size}, width, height, {left, top, part_width, part_height}, to, stride);
}

// The frames of a clip, from JPEGs to where they are shown; how many were (tinkit/data/sampling/jpegs.py).
extern "C" __attribute__((visibility("default"))) int64_t tinkit_show_jpegs(
    const tinkit::LibJpeg* jpeg, const tinkit::JpegFile* files, int64_t count, int64_t width, int64_t height,
    const tinkit::Rectangle* part, const tinkit::Cut* cuts, int64_t cut_count, uint8_t* const* targets) {
  return tinkit::show_jpegs(*jpeg, files, count, width, height, *part, cuts, cut_count, targets);
}
