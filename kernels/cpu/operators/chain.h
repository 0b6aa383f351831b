// The operators of a chain of residual blocks (tinkit/ops/residual.py), on channels_last CPU tensors.
#pragma once

#include "operators.h"

namespace tinkit {

inline bool by_pixels(const Tensor& tensor) { return tensor.dim() == 4 && dense_in_order(tensor, {0, 2, 3, 1}); }

inline void check_chain(const Tensor& x, const Tensor& other, int64_t channels) {
  STD_TORCH_CHECK(by_pixels(x) && by_pixels(other) && x.is_cpu() && other.is_cpu() &&
                      x.scalar_type() == other.scalar_type() && x.size(0) == other.size(0) &&
                      other.size(1) == channels && x.size(2) == other.size(2) && x.size(3) == other.size(3),
                  "residual_: expected channels_last (", x.size(0), ", ", channels, ", H, W) beside x ", shape(x),
                  " and of its dtype; got ", shape(other));
}

// The mean over pixels of each image from the sums of its slices, in their order.
template <typename Sum>
void mean_of_slices(const Residual& residual, int64_t images, Sum* out) {
  const Sum* sums = static_cast<const Sum*>(residual.sums);
  for (int64_t image = 0; image < images; ++image, out += residual.fold) {
    std::copy_n(sums, residual.fold, out);
    sums += residual.fold;
    for (int64_t slice = 1; slice < residual.slices; ++slice, sums += residual.fold)
      for (int64_t c = 0; c < residual.fold; ++c) out[c] += sums[c];
    for (int64_t c = 0; c < residual.fold; ++c) out[c] /= Sum(residual.pixels);
  }
}

inline Tensor residual(Tensor x, Tensor shortcut, std::optional<Tensor> beside, bool held, bool aside, bool whole) {
  check_chain(x, shortcut, x.size(1));
  const int64_t images = x.size(0), channels = x.size(1), pixels = x.size(2) * x.size(3);
  const int64_t fold = beside ? beside->size(1) : 0;
  if (beside) check_chain(x, *beside, fold);
  STD_TORCH_CHECK(fold <= channels && (aside || whole) && (beside || !(held || aside)),
                  "residual_: expected a place for the result");
  const ScalarType type = x.scalar_type();
  const Tensor pooled =
      empty({aside ? images : 0, fold}, type == ScalarType::Double ? ScalarType::Double : ScalarType::Float);
  if (images * pixels == 0) return torch::stable::zero_(const_cast<Tensor&>(pooled));
  by_type(type, [&](auto value) {
    using Value = decltype(value);
    using Sum = typename SumOf<Value>::type;
    const int64_t bytes = channels * int64_t(sizeof(Value));
    const int64_t slices = std::clamp<int64_t>(pixels * bytes / kSliceBytes, 1, pixels);
    std::vector<Sum> sums(aside ? images * slices * fold : 0);
    const Residual residual = {pixels,
                               slices,
                               channels,
                               fold,
                               x.mutable_data_ptr(),
                               shortcut.const_data_ptr(),
                               beside ? beside->mutable_data_ptr() : nullptr,
                               held,
                               aside,
                               whole,
                               aside ? sums.data() : nullptr};
    const Kernels& kernels = chosen<Value>();
    in_parallel(images * slices, pixels * bytes / slices,
                [&](int64_t begin, int64_t end) { kernels.residual(residual, begin, end); });
    if (aside) mean_of_slices(residual, images, static_cast<Sum*>(pooled.mutable_data_ptr()));
  });
  return pooled;
}

// The fold of x becomes the interlacing of `beside`, a tensor of the fold alone.
inline void interlace_into(Tensor x, Tensor beside, Tensor offset, Tensor gain) {
  const int64_t fold = beside.size(1);
  const Problem problem = problem_of(x, offset, gain, fold);
  check_chain(x, beside, fold);
  if (problem.empty()) return;
  by_type(problem.type, [&](auto type) {
    using Value = decltype(type);
    const Steering<typename SumOf<Value>::type> steering(problem, offset, gain, false);
    Grid grid = {
        problem.clips, problem.frames, problem.groups, problem.pixels(), problem.channels, fold / problem.groups, 1};
    grid.slices = slices_of(grid.frames, grid.rows, fold, sizeof(Value));
    Move move = move_of<Value>(grid, beside.const_data_ptr(), fold, x.mutable_data_ptr(), grid.length, Rest::absent,
                               steering.paths.data(), false);
    move.last_first = true;
    const Kernels& kernels = chosen<Value>();
    in_parallel(grid.clips * grid.slices, slice_bytes<Value>(grid),
                [&](int64_t begin, int64_t end) { kernels.move(move, begin, end); });
  });
}

}  // namespace tinkit
