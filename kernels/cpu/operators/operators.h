// The operators on CPU tensors. Schemas, shape functions and gradients are Python's (tinkit/ops).
//
// Features are contiguous or channels_last and are worked on as they are; those that are neither are copied first.
#pragma once

#include "cpu/loops/choice.h"
#include "tensors.h"

namespace tinkit {

// How all groups of all clips move. The numbers that the paths point to live here.
template <typename Sum>
struct Steering {
  std::vector<Sum> gains;           // [clips][frames][groups]
  std::vector<Split<Sum>> offsets;  // [clips][groups]
  std::vector<Shares<Sum>> shares;  // [clips][groups][frames], by steps of the walk
  std::vector<Path<Sum>> paths;     // [clips][groups]

  Steering(const Steering&) = delete;
  Steering(const Problem& problem, const Tensor& offset, const Tensor& gain, bool transposed)
      : gains(numbers<Sum>(gain)), shares(gains.size()) {
    const int64_t frames = problem.frames, groups = problem.groups;
    for (const Sum value : numbers<Sum>(offset)) {
      const int64_t at = int64_t(offsets.size()), clip = at / groups, group = at % groups;
      offsets.push_back(split(value, int(frames)));
      paths.push_back({offsets.back().whole, shares.data() + at * frames});
      for (int64_t step = 0; step < frames; ++step)
        shares[at * frames + step] =
            tinkit::shares(offsets.back(), int(frames), int(transposed ? frames - 1 - step : step),
                           gains.data() + clip * frames * groups + group, int(groups), transposed);
    }
  }
};

// Streaming spares reading what is overwritten. It pays only where what is written leaves the caches before it is read,
// taken to be so from `least` bytes on. It can be done only where the columns that are written, of rows that are
// `length` long, start and end with cache lines.
template <typename Value>
bool can_stream(const Grid& grid, int64_t length, const void* to, bool rest, int64_t least) {
  constexpr int64_t line = 64, bytes = sizeof(Value);
  const auto whole = [](int64_t size) { return size * bytes % line == 0; };
  const int64_t written = grid.clips * grid.frames * grid.rows * (rest ? length : grid.fold()) * bytes;
  const bool aligned = reinterpret_cast<uintptr_t>(to) % line == 0 && whole(length) && whole(grid.fold());
  return written >= least && aligned && has_pages(to, grid.clips * grid.frames * grid.rows * length * bytes);
}

template <typename Value>
Move move_of(const Grid& grid, const void* from, int64_t from_length, void* to, int64_t to_length, Rest rest,
             const void* paths, bool transposed) {
  return {grid,        from,      to,
          from_length, to_length, paths,
          transposed,  rest,      can_stream<Value>(grid, to_length, to, rest != Rest::absent, kStreamedBytes)};
}

template <typename Value>
int64_t slice_bytes(const Grid& grid) {
  return grid.frames * grid.rows * grid.length * int64_t(sizeof(Value)) / grid.slices;
}

// Interlaces x into `out`, which is laid out alike and has all channels or those of the fold.
inline void move_into(const Tensor& out, const Tensor& x, const Tensor& offset, const Tensor& gain,
                      const Problem& problem, Rest rest) {
  if (problem.empty()) return;
  by_type(problem.type, [&](auto type) {
    using Value = decltype(type);
    const Steering<typename SumOf<Value>::type> steering(problem, offset, gain, false);
    const Grid grid = grid_of(problem, is_channels_last(x), sizeof(Value));
    const Move move =
        move_of<Value>(grid, x.const_data_ptr(), grid.length, out.mutable_data_ptr(),
                       rest == Rest::absent ? grid.fold() : grid.length, rest, steering.paths.data(), false);
    const Kernels& kernels = chosen<Value>();
    in_parallel(grid.clips * grid.slices, slice_bytes<Value>(grid),
                [&](int64_t begin, int64_t end) { kernels.move(move, begin, end); });
  });
}

// Result in the strides that `empty_like` of an operand gives, which are another's only where that is not dense.
inline Tensor like(const Tensor& result, const Tensor& dense_operand, const Tensor& operand) {
  if (dense_operand.get() == operand.get()) return result;
  Tensor out = torch::stable::empty_like(operand);
  return torch::stable::copy_(out, result);
}

inline Tensor interlace(Tensor given, Tensor offset, Tensor gain, int64_t fold) {
  const Problem problem = problem_of(given, offset, gain, fold);
  const Tensor x = dense(given);
  const Tensor out = torch::stable::empty_like(x);
  move_into(out, x, offset, gain, problem, Rest::copied);
  return like(out, x, given);
}

inline Tensor interlace_fold(Tensor given, Tensor offset, Tensor gain, int64_t fold) {
  const Problem problem = problem_of(given, offset, gain, fold);
  const Tensor x = dense(given);
  const Tensor out = empty({problem.images(), fold, problem.height, problem.width}, problem.type, is_channels_last(x));
  move_into(out, x, offset, gain, problem, Rest::absent);
  return out;
}

struct Gradients {
  std::vector<double> offset, gain;

  explicit Gradients(const Problem& problem)
      : offset(problem.clips * problem.groups), gain(problem.images() * problem.groups) {}

  // In the dtypes of the two that they belong to.
  std::tuple<Tensor, Tensor> tensors(const Problem& problem, const Tensor& of_offset, const Tensor& of_gain) const {
    return {tensor_of(offset, {problem.clips, problem.groups}, of_offset.scalar_type()),
            tensor_of(gain, {problem.clips, problem.frames, problem.groups}, of_gain.scalar_type())};
  }
};

// Whether a gradient is of the images that x has, whatever its channels, and of its dtype.
inline bool fits(const Tensor& grad, const Problem& problem) {
  return grad.dim() == 4 && grad.size(0) == problem.images() && grad.size(2) == problem.height &&
         grad.size(3) == problem.width && grad.is_cpu() && grad.scalar_type() == problem.type;
}

// From the products of all slices, in the order of the slices.
template <typename Sum>
void add_gradients(Gradients& gradients, const Grid& grid, const Steering<Sum>& steering,
                   const std::vector<Sum>& products) {
  const int64_t per_slice = grid.frames * grid.groups;
  for (int64_t i = 0; i < grid.clips * per_slice; ++i) {
    const int64_t clip = i / per_slice, at = i % per_slice, steered = clip * grid.groups + at % grid.groups;
    double late = 0, early = 0;
    for (int64_t slice = clip * grid.slices; slice < (clip + 1) * grid.slices; ++slice) {
      late += products[(slice * per_slice + at) * 2];
      early += products[(slice * per_slice + at) * 2 + 1];
    }
    const double part = steering.offsets[steered].part;
    gradients.gain[i] = (1 - part) * late + part * early;
    gradients.offset[steered] += steering.gains[i] * (early - late);
  }
}

// `grad` has all channels, or those of the fold only.
inline std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& given_grad, const Tensor& given, const Tensor& offset,
                                                   const Tensor& gain, const Problem& problem, Rest rest) {
  const int64_t channels = rest == Rest::copied ? problem.channels : problem.fold;
  STD_TORCH_CHECK(fits(given_grad, problem) && given_grad.size(1) == channels, "interlace: expected a gradient of ",
                  channels, " channels beside x ", shape(given), " and of its dtype; got ", shape(given_grad));
  const Tensor x = dense(given), grad = dense_as(given_grad, is_channels_last(x));
  const Tensor grad_x = torch::stable::empty_like(x);
  Gradients gradients(problem);
  if (!problem.empty())
    by_type(problem.type, [&](auto type) {
      using Value = decltype(type);
      using Sum = typename SumOf<Value>::type;
      const Steering<Sum> steering(problem, offset, gain, true);
      const Grid grid = grid_of(problem, is_channels_last(x), sizeof(Value));
      const int64_t slices = grid.clips * grid.slices;
      std::vector<Sum> products(slices * grid.frames * grid.groups * 2);
      const Move move = move_of<Value>(grid, grad.const_data_ptr(), rest == Rest::copied ? grid.length : grid.fold(),
                                       grad_x.mutable_data_ptr(), grid.length, rest, steering.paths.data(), true);
      const Backward backward = {move, x.const_data_ptr(), steering.offsets.data(), products.data()};
      const Kernels& kernels = chosen<Value>();
      in_parallel(slices, slice_bytes<Value>(grid),
                  [&](int64_t begin, int64_t end) { kernels.backward(backward, begin, end); });
      add_gradients(gradients, grid, steering, products);
    });
  return std::tuple_cat(std::make_tuple(like(grad_x, x, given)), gradients.tensors(problem, offset, gain));
}

inline std::tuple<Tensor, Tensor, Tensor> interlace_backward(Tensor grad, Tensor x, Tensor offset, Tensor gain,
                                                             int64_t fold) {
  return backward(grad, x, offset, gain, problem_of(x, offset, gain, fold), Rest::copied);
}

inline std::tuple<Tensor, Tensor, Tensor> interlace_fold_backward(Tensor grad, Tensor x, Tensor offset, Tensor gain,
                                                                  int64_t fold) {
  return backward(grad, x, offset, gain, problem_of(x, offset, gain, fold), Rest::zero);
}

// What `interlace_backward` gives for offset and gain. `grad` has at least the channels of x, which is a fold alone.
inline std::tuple<Tensor, Tensor> interlace_products(Tensor given_grad, Tensor given, Tensor offset, Tensor gain) {
  const Problem problem = problem_of(given, offset, gain, given.size(1));
  STD_TORCH_CHECK(fits(given_grad, problem) && given_grad.size(1) >= problem.fold,
                  "interlace: expected a gradient beside the fold ", shape(given), " and of its dtype; got ",
                  shape(given_grad));
  const Tensor grad = dense(given_grad), x = dense_as(given, is_channels_last(grad));
  Gradients gradients(problem);
  if (!problem.empty())
    by_type(problem.type, [&](auto type) {
      using Value = decltype(type);
      using Sum = typename SumOf<Value>::type;
      const Steering<Sum> steering(problem, offset, gain, false);
      const Grid grid = grid_of(problem, is_channels_last(grad), sizeof(Value));
      const int64_t slices = grid.clips * grid.slices;
      std::vector<Sum> products(slices * grid.frames * grid.groups * 2);
      const int64_t length = grid.length * grad.size(1) / problem.fold;
      const Move move = {grid, grad.const_data_ptr(), nullptr, length, 0, nullptr, true, Rest::absent, false};
      const Backward backward = {move, x.const_data_ptr(), steering.offsets.data(), products.data()};
      const Kernels& kernels = chosen<Value>();
      in_parallel(slices, slice_bytes<Value>(grid),
                  [&](int64_t begin, int64_t end) { kernels.products(backward, begin, end); });
      add_gradients(gradients, grid, steering, products);
    });
  return gradients.tensors(problem, offset, gain);
}

inline Tensor fold_mean(Tensor given, int64_t fold) {
  STD_TORCH_CHECK(given.dim() == 4 && given.is_cpu() && fold > 0 && fold <= given.size(1),
                  "fold_mean: expected x (B*T, C, H, W) on the CPU and 0 < fold <= C; got ", shape(given), ", fold ",
                  fold);
  const Tensor x = dense(given);
  const ScalarType type = x.scalar_type();
  const Tensor out = empty({x.size(0), fold}, type == ScalarType::Double ? ScalarType::Double : ScalarType::Float);
  by_type(type, [&](auto value) {
    using Value = decltype(value);
    const int64_t pixels = x.size(2) * x.size(3), channels = x.size(1), blocks = (fold - 1) / kMeanChannels + 1;
    const bool last = is_channels_last(x);
    const Mean mean = {x.const_data_ptr(), out.mutable_data_ptr(), fold,  pixels, channels * pixels,
                       last ? 1 : pixels,  last ? channels : 1,    blocks};
    const Kernels& kernels = chosen<Value>();
    in_parallel(x.size(0) * blocks, pixels * std::min(fold, kMeanChannels) * int64_t(sizeof(Value)),
                [&](int64_t begin, int64_t end) { kernels.mean(mean, begin, end); });
  });
  return out;
}

}  // namespace tinkit
