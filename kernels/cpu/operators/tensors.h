// PyTorch's tensors as the kernels want them, through the stable ABI: checks, memory formats, the small tensors as
// numbers.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <string>
#include <vector>

#include "cpu/loops/levels.h"

namespace tinkit {

using torch::headeronly::MemoryFormat;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;

inline std::string shape(const Tensor& tensor) {
  std::string text = "(";
  for (int64_t d = 0; d < tensor.dim(); ++d) text += (d ? ", " : "") + std::to_string(tensor.size(d));
  return text + ")";
}

// Calls `body` with a value of the type that features are stored in.
template <typename Body>
auto by_type(ScalarType type, const Body& body) {
  switch (type) {
    case ScalarType::Float: return body(float());
    case ScalarType::Double: return body(double());
    case ScalarType::Half: return body(Half());
    case ScalarType::BFloat16: return body(Brain());
    default: STD_TORCH_CHECK(false, "expected floating tensors; got ", torch::headeronly::toString(type));
  }
}

// Whether a (N, C, H, W) tensor is dense with its dimensions in this order, the slowest first. Strides of dimensions of
// size one mean nothing.
inline bool dense_in_order(const Tensor& tensor, const int (&order)[4]) {
  if (tensor.numel() == 0) return true;
  int64_t expected = 1;
  for (int i = 3; i >= 0; --i) {
    const int64_t size = tensor.size(order[i]);
    if (size != 1 && tensor.stride(order[i]) != expected) return false;
    expected *= size;
  }
  return true;
}

inline bool is_contiguous(const Tensor& tensor) { return dense_in_order(tensor, {0, 1, 2, 3}); }

inline bool is_channels_last(const Tensor& tensor) {
  return !is_contiguous(tensor) && dense_in_order(tensor, {0, 2, 3, 1});
}

// What is neither contiguous nor channels_last is copied into a contiguous tensor.
inline Tensor dense(const Tensor& tensor) {
  return is_contiguous(tensor) || is_channels_last(tensor) ? tensor : torch::stable::contiguous(tensor);
}

inline MemoryFormat format(bool channels_last) {
  return channels_last ? MemoryFormat::ChannelsLast : MemoryFormat::Contiguous;
}

// `tensor` in a given format: itself if it is in that, else a copy. Neither format is ambiguous for a dense tensor.
inline Tensor dense_as(const Tensor& tensor, bool channels_last) {
  const bool fits = channels_last ? dense_in_order(tensor, {0, 2, 3, 1}) : is_contiguous(tensor);
  return fits ? tensor : torch::stable::contiguous(tensor, format(channels_last));
}

inline Tensor empty(const std::vector<int64_t>& sizes, ScalarType type, bool channels_last = false) {
  return torch::stable::empty(sizes, type, std::nullopt, torch::stable::Device(torch::headeronly::DeviceType::CPU),
                              std::nullopt, format(channels_last));
}

// All elements of a small tensor in order, whatever its dtype and strides.
template <typename Sum>
std::vector<Sum> numbers(const Tensor& tensor) {
  const auto sizes = tensor.sizes(), strides = tensor.strides();
  std::vector<Sum> values(tensor.numel());
  by_type(tensor.scalar_type(), [&](auto type) {
    using Value = decltype(type);
    const Value* data = static_cast<const Value*>(tensor.const_data_ptr());
    if constexpr (std::is_same_v<Value, Sum>)
      if (tensor.is_contiguous()) return values.assign(data, data + values.size());
    for (size_t i = 0; i < values.size(); ++i) {
      int64_t at = 0, left = int64_t(i);
      for (size_t d = sizes.size(); d-- > 0; left /= sizes[d]) at += left % sizes[d] * strides[d];
      values[i] = Sum(baseline::load<Value, 1>(data + at)[0]);
    }
  });
  return values;
}

// A small tensor of a given dtype.
inline Tensor tensor_of(const std::vector<double>& values, const std::vector<int64_t>& sizes, ScalarType type) {
  Tensor tensor = empty(sizes, type);
  by_type(type, [&](auto stored) {
    using Value = decltype(stored);
    using Sum = typename SumOf<Value>::type;
    Value* data = static_cast<Value*>(tensor.mutable_data_ptr());
    for (size_t i = 0; i < values.size(); ++i)
      baseline::store<false, Value, 1>(data + i, baseline::Packed<Sum, 1>{Sum(values[i])});
  });
  return tensor;
}

// The sizes of a call, checked. Raises a runtime error that names the shapes.
struct Problem {
  int64_t clips, frames, groups, channels, height, width, fold;
  ScalarType type;

  int64_t pixels() const { return height * width; }
  int64_t images() const { return clips * frames; }
  bool empty() const { return images() == 0 || pixels() == 0; }
};

inline Problem problem_of(const Tensor& x, const Tensor& offset, const Tensor& gain, int64_t fold) {
  const auto check = [&](bool holds, const char* expected) {
    STD_TORCH_CHECK(holds, "interlace: expected ", expected, "; got x ", shape(x), ", offset ", shape(offset),
                    ", gain ", shape(gain), ", fold ", fold);
  };
  check(x.dim() == 4 && offset.dim() == 2 && gain.dim() == 3, "x (B*T, C, H, W), offset (B, G) and gain (B, T, G)");
  check(x.is_cpu() && offset.is_cpu() && gain.is_cpu(), "all tensors on the CPU");
  const Problem problem = {gain.size(0), gain.size(1), gain.size(2), x.size(1),
                           x.size(2),    x.size(3),    fold,         x.scalar_type()};
  check(offset.size(0) == problem.clips && offset.size(1) == problem.groups, "the same B and G in offset and gain");
  check(x.size(0) == problem.images(), "as many rows in x as gain has frames, B*T");
  check(problem.groups >= 1 && fold > 0 && fold <= problem.channels && fold % problem.groups == 0,
        "fold to be a positive multiple of the groups and at most the channels");
  check(problem.frames < 1 << 29, "fewer frames in a clip");  // they are counted in 32 bits, with room to add
  return problem;
}

// How the kernels see a dense tensor of these sizes. Not for empty ones.
inline Grid grid_of(const Problem& problem, bool channels_last, int64_t bytes) {
  const int64_t group = problem.fold / problem.groups, pixels = problem.pixels();
  Grid grid = {problem.clips, problem.frames, problem.groups, 1, problem.channels * pixels, group * pixels, 1};
  if (channels_last && pixels > 1) grid.rows = pixels, grid.length = problem.channels, grid.width = group;
  grid.slices = slices_of(grid.frames, grid.rows, grid.fold(), bytes);
  return grid;
}

// Runs `work(begin, end)` over `count` items on PyTorch's threads, none of which gets fewer than is worth waking it
// for.
template <typename Work>
void in_parallel(int64_t count, int64_t bytes_of_item, const Work& work) {
  constexpr int64_t kWorthAThread = 1 << 16;
  const int64_t grain = std::max<int64_t>(1, kWorthAThread / std::max<int64_t>(bytes_of_item, 1));
  if (count > 0) torch::stable::parallel_for(0, count, grain, work);
}

}  // namespace tinkit
