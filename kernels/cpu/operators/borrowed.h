// The operators that write to features for a while, or for good to a gradient that has no other reader.
#pragma once

#include "operators.h"

namespace tinkit {

inline void check_borrowed(const Tensor& x) {
  STD_TORCH_CHECK(is_contiguous(x) || is_channels_last(x),
                  "interlace: only a contiguous or channels_last tensor can be written in place; got ", shape(x),
                  " with other strides");
}

inline Tensor interlace_write(Tensor x, Tensor offset, Tensor gain, int64_t fold, bool transposed) {
  const Problem problem = problem_of(x, offset, gain, fold);
  check_borrowed(x);
  const Tensor saved =
      empty({problem.images(), fold, problem.height, problem.width}, problem.type, is_channels_last(x));
  if (problem.empty()) return saved;
  by_type(problem.type, [&](auto type) {
    using Value = decltype(type);
    const Steering<typename SumOf<Value>::type> steering(problem, offset, gain, transposed);
    const Grid grid = grid_of(problem, is_channels_last(x), sizeof(Value));
    const Exchange exchange = {grid,
                               x.mutable_data_ptr(),
                               saved.mutable_data_ptr(),
                               steering.paths.data(),
                               transposed,
                               can_stream<Value>(grid, grid.fold(), saved.mutable_data_ptr(), false, kSetAsideBytes),
                               nullptr,
                               1};
    const Kernels& kernels = chosen<Value>();
    in_parallel(grid.clips * grid.slices, slice_bytes<Value>(grid),
                [&](int64_t begin, int64_t end) { kernels.exchange(exchange, begin, end); });
  });
  return saved;
}

inline void fold_restore(Tensor x, Tensor given) {
  STD_TORCH_CHECK(x.dim() == 4 && given.dim() == 4 && x.size(0) == given.size(0) && given.size(1) <= x.size(1) &&
                      x.size(2) == given.size(2) && x.size(3) == given.size(3) && x.is_cpu() && given.is_cpu() &&
                      x.scalar_type() == given.scalar_type(),
                  "fold_restore_: expected what was saved of x ", shape(x), "; got ", shape(given));
  check_borrowed(x);
  // Frames are all alike here: each is a clip of one.
  const Problem problem = {x.size(0), 1, 1, x.size(1), x.size(2), x.size(3), given.size(1), x.scalar_type()};
  if (problem.empty() || problem.fold == 0) return;
  const Tensor saved = dense_as(given, is_channels_last(x));
  by_type(problem.type, [&](auto type) {
    using Value = decltype(type);
    const Grid grid = grid_of(problem, is_channels_last(x), sizeof(Value));
    const Restore restore = {grid, x.mutable_data_ptr(), saved.const_data_ptr(),
                             can_stream<Value>(grid, grid.length, x.mutable_data_ptr(), false, kSetAsideBytes)};
    const Kernels& kernels = chosen<Value>();
    in_parallel(grid.clips * grid.slices, slice_bytes<Value>(grid),
                [&](int64_t begin, int64_t end) { kernels.restore(restore, begin, end); });
  });
}

// The fold of a gradient moves back in place; to all pixels of its channels in an image, `added` is added.
inline void interlace_transpose(Tensor grad, Tensor offset, Tensor gain, int64_t fold, std::optional<Tensor> added) {
  const Problem problem = problem_of(grad, offset, gain, fold);
  check_borrowed(grad);
  if (problem.empty()) return;
  const bool last = is_channels_last(grad);
  by_type(problem.type, [&](auto type) {
    using Value = decltype(type);
    using Sum = typename SumOf<Value>::type;
    const Steering<Sum> steering(problem, offset, gain, true);
    const Grid grid = grid_of(problem, last, sizeof(Value));
    std::vector<Sum> numbers_added;
    if (added) {
      STD_TORCH_CHECK(added->dim() == 2 && added->size(0) == problem.images() && added->size(1) == fold,
                      "interlace_transpose_: expected (B*T, fold) to add to ", shape(grad), "; got ", shape(*added));
      numbers_added = numbers<Sum>(*added);
    }
    constexpr int64_t lanes = 64 / int64_t(sizeof(Value));  // of a line; a vector is a line or a part of one
    const bool lines = grid.fold() % lanes == 0 && grid.width % lanes == 0 && grid.frames <= kKeptFrames;
    const Tensor room = empty({lines ? 0 : problem.images(), fold, problem.height, problem.width}, problem.type, last);
    const Exchange exchange = {grid,
                               grad.mutable_data_ptr(),
                               lines ? nullptr : room.mutable_data_ptr(),
                               steering.paths.data(),
                               true,
                               false,
                               added ? numbers_added.data() : nullptr,
                               grid.rows > 1 ? 1 : problem.pixels()};
    const Kernels& kernels = chosen<Value>();
    in_parallel(grid.clips * grid.slices, slice_bytes<Value>(grid),
                [&](int64_t begin, int64_t end) { kernels.exchange(exchange, begin, end); });
  });
}

}  // namespace tinkit
