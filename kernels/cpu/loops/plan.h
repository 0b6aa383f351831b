// The arguments of a kernel: where the tensors lie, and into which slices the work is cut. Plain data without torch.
//
// Both memory formats are one thing here. A frame is `rows` rows of `length` elements, and the channels of a group are
// `width` neighbouring elements of each row, the groups one after the other from the start of the row: in channels_last
// a row is a pixel, in a contiguous tensor the whole frame is one row. A slice is a part of all frames of a clip, cut
// by rows or within the row: what a slice writes depends on nothing outside of it. Slices depend on the shape alone, so
// that sums over them have the same bits whatever the number of threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include "image.h"

namespace tinkit {

struct Grid {
  int64_t clips, frames, groups;
  int64_t rows, length, width;
  int64_t slices;  // of a clip

  int64_t fold() const { return groups * width; }
};

struct Slice {
  int64_t clip;
  int64_t row, row_end;
  int64_t fold, fold_end;  // columns that move
  int64_t rest, rest_end;  // columns that do not
};

// Enough work for a slice to be worth a visit, little enough for its fold to stay in the nearest caches.
constexpr int64_t kSliceBytes = 1 << 16;
// Cuts within a row fall between whole cache lines where the row starts with one, whatever the dtype.
constexpr int64_t kColumns = 64;

inline int64_t slices_of(int64_t frames, int64_t rows, int64_t fold, int64_t bytes) {
  const int64_t wanted = (frames * rows * fold * bytes + kSliceBytes - 1) / kSliceBytes;
  const int64_t most = rows > 1 ? rows : (fold + kColumns - 1) / kColumns;
  return std::clamp<int64_t>(wanted, 1, std::max<int64_t>(most, 1));
}

// The `index`-th of `parts` nearly equal parts of `whole` starts here; all but the last are multiples of `step`.
inline int64_t cut(int64_t whole, int64_t index, int64_t parts, int64_t step) {
  if (index == parts) return whole;
  return whole * index / parts / step * step;
}

inline Slice slice_at(const Grid& grid, int64_t index) {
  const int64_t part = index % grid.slices, n = grid.slices, fold = grid.fold(), rest = grid.length - fold;
  if (grid.rows > 1)
    return {index / n, cut(grid.rows, part, n, 1), cut(grid.rows, part + 1, n, 1), 0, fold, fold, grid.length};
  return {index / n,
          0,
          grid.rows,
          cut(fold, part, n, kColumns),
          cut(fold, part + 1, n, kColumns),
          fold + cut(rest, part, n, kColumns),
          fold + cut(rest, part + 1, n, kColumns)};
}

// How a group moves through a clip that is walked frame by frame: step s writes the s-th frame met, mixed from the one
// met `whole` steps before (if it is in the clip) and from the one before that. A transposed move walks from the last
// frame.
template <typename Sum>
struct Path {
  int64_t whole;
  const Shares<Sum>* shares;  // [frames], by steps
};

// What becomes of the columns that do not move.
enum class Rest { absent, copied, zero };

// Every pointer is to the first element of a tensor of whole frames. `paths` is Path<Sum>[clips][groups].
struct Move {
  Grid grid;
  const void* from;
  void* to;
  int64_t from_length, to_length;  // of their rows
  const void* paths;
  bool transposed;
  Rest rest;
  bool streamed;  // written past the caches
};

// A clip of at most this many frames is kept on the stack while it is overwritten.
constexpr int64_t kKeptFrames = 64;

// x is overwritten by its own mixture, `saved` gets what was there. It may be null where all columns are whole cache
// lines and no clip has more than kKeptFrames. `added`, if given, is Sum[images][channels of the fold]: each number is
// added to a run of `run` neighbouring columns, which are the pixels of a contiguous channel (1: channels_last).
struct Exchange {
  Grid grid;
  void* x;
  void* saved;
  const void* paths;
  bool transposed;
  bool streamed;  // what is saved, past the caches
  const void* added;
  int64_t run;
};

struct Restore {
  Grid grid;
  void* x;
  const void* saved;
  bool streamed;  // past the caches
};

// The transposed move of the gradient, and its products with what each of its frames was mixed from: for each slice
// Sum[frames][groups][2], the late frame's and the early frame's.
struct Backward {
  Move move;
  const void* x;
  const void* offsets;  // Split<Sum>[clips][groups]
  void* products;
};

// The mean over the pixels of channels that lie `channel` apart, of pixels that lie `pixel` apart: one of them is 1.
struct Mean {
  const void* x;
  void* out;  // Sum[images][fold]
  int64_t fold, pixels;
  int64_t image, channel, pixel;
  int64_t blocks;  // of kMeanChannels channels in an image
};
constexpr int64_t kMeanChannels = 128;

// The end of a residual block: `count` numbers of x become relu(x + shortcut), in slices.
struct Ends {
  int64_t count, slice;
  void* x;
  const void* shortcut;
};

// A piece of memory whose bytes are to be told from others.
struct Piece {
  const unsigned char* bytes;
  int64_t size;
};

// The networks that steer, for clips of `frames` frames. The convolutions' filters are [tap][output][fold]: the
// offsets' first, then the gains'.
template <typename Sum>
struct Steer {
  int64_t frames, fold;
  const Sum* pooled;  // [clips][frames][fold]
  const Sum *filters, *bias;
  const Sum *fc1_weight, *fc1_bias, *fc2_weight, *fc2_bias;
  Sum *offset, *gain;  // [clips][4], [clips][frames][4]
};

// Images of 8 bits to (x - mean) * scale by channel. Where `by_pixel`, an item is `period` pixels, the last one what is
// left of `pixels`, and the channels' numbers are repeated in `mean` and `scale` for them all. Elsewhere an item is a
// channel of an image, of `plane` pixels, which go to `to` side by side and lie `step` bytes apart in `from`.
struct Normalise {
  const uint8_t* from;
  void* to;
  const void *mean, *scale;
  int64_t channels, pixels, period, plane, step;
  bool by_pixel;
};

// Each does the slices (blocks of Mean, items of Normalise) from begin up to end.
struct Kernels {
  void (*products)(const Backward&, int64_t begin, int64_t end);
  void (*move)(const Move&, int64_t begin, int64_t end);
  void (*exchange)(const Exchange&, int64_t begin, int64_t end);
  void (*restore)(const Restore&, int64_t begin, int64_t end);
  void (*backward)(const Backward&, int64_t begin, int64_t end);
  void (*mean)(const Mean&, int64_t begin, int64_t end);
  void (*add_relu)(const Ends&, int64_t begin, int64_t end);
  void (*normalise)(const Normalise&, int64_t begin, int64_t end);
};

// What the kernels are built for; each level has what the one before has.
struct Level {
  const char* name;
  Kernels float32, float64, float16, bfloat16;
  void (*steer32)(const Steer<float>&, float* room, int64_t begin, int64_t end);
  void (*steer64)(const Steer<double>&, double* room, int64_t begin, int64_t end);
  void (*along_rows)(const Image&, const MeanOf&, bool mirrored, const Target&, uint8_t* room);
  void (*along_columns)(const Image&, const MeanOf&, const Target&);
  void (*print_pieces)(const Piece*, uint64_t* prints, int64_t begin, int64_t end);
};

struct Half {
  uint16_t bits;
};
struct Brain {
  uint16_t bits;
};

template <typename Value>
struct SumOf {
  using type = float;
};
template <>
struct SumOf<double> {
  using type = double;
};

}  // namespace tinkit
