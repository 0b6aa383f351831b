// The kernels that add up. Included once for each level, inside its namespace, after move.h: no guard.
// Orders are fixed by the shape: lanes first, then within a slice, then over slices.

template <typename Sum, int lanes>
inline Sum across(Packed<Sum, lanes> values) {
  for (int half = lanes / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) values[i] += values[i + half];
  return values[0];
}

// Adds to `sum` the products of `grad` with two runs, over `rows` rows of `size` columns that lie `length` apart.
template <typename Value, typename Sum, int lanes = kLanes<Value>>
inline void add_products(Sum sum[2], const Value* grad, int64_t grad_length, const Value* late, const Value* early,
                         int64_t length, int64_t rows, int64_t size) {
  Packed<Sum, lanes> late_sum = {}, early_sum = {};
  const int64_t whole = size - size % lanes;
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t i = 0; i < whole; i += lanes) {
      const Packed<Sum, lanes> value = load<Value, lanes>(grad + row * grad_length + i);
      if (late) late_sum += value * load<Value, lanes>(late + row * length + i);
      if (early) early_sum += value * load<Value, lanes>(early + row * length + i);
    }
  sum[0] += across<Sum, lanes>(late_sum);
  sum[1] += across<Sum, lanes>(early_sum);
  if constexpr (lanes > 1)
    if (whole < size)
      add_products<Value, Sum, lanes / 2>(sum, grad + whole, grad_length, late ? late + whole : late,
                                          early ? early + whole : early, length, rows, size - whole);
}

template <typename Value>
inline void add_slice_products(const Backward& backward, const Slice& slice, typename SumOf<Value>::type* products) {
  using Sum = typename SumOf<Value>::type;
  const Grid& grid = backward.move.grid;
  const int64_t grad_length = backward.move.from_length, rows = slice.row_end - slice.row;
  const int64_t first = slice.clip * grid.frames * grid.rows + slice.row;
  const Value* grads = static_cast<const Value*>(backward.move.from) + first * grad_length;
  const Value* clip = static_cast<const Value*>(backward.x) + first * grid.length;
  const Split<Sum>* offsets = static_cast<const Split<Sum>*>(backward.offsets) + slice.clip * grid.groups;
  for (int64_t t = 0; t < grid.frames; ++t)
    for (int64_t group = slice.fold / grid.width; group * grid.width < slice.fold_end; ++group) {
      const int64_t at = group * grid.width > slice.fold ? group * grid.width : slice.fold;
      const int64_t stop = (group + 1) * grid.width < slice.fold_end ? (group + 1) * grid.width : slice.fold_end;
      const int64_t late = t - offsets[group].whole, early = late - 1;
      const auto frame = [&](int64_t s) {
        return s >= 0 && s < grid.frames ? clip + s * grid.rows * grid.length + at : nullptr;
      };
      add_products(products + (t * grid.groups + group) * 2, grads + t * grid.rows * grad_length + at, grad_length,
                   frame(late), frame(early), grid.length, rows, stop - at);
    }
}

// The products alone: the gradient is moved by another call.
template <typename Value>
void product_slices(const Backward& backward, int64_t begin, int64_t end) {
  using Sum = typename SumOf<Value>::type;
  const Grid& grid = backward.move.grid;
  for (int64_t i = begin; i < end; ++i)
    add_slice_products<Value>(backward, slice_at(grid, i),
                              static_cast<Sum*>(backward.products) + i * grid.frames * grid.groups * 2);
}

template <typename Value>
void backward_slices(const Backward& backward, int64_t begin, int64_t end) {
  using Sum = typename SumOf<Value>::type;
  const Grid& grid = backward.move.grid;
  Sum* products = static_cast<Sum*>(backward.products);
  for (int64_t i = begin; i < end; ++i) {
    const Slice slice = slice_at(grid, i);
    add_slice_products<Value>(backward, slice, products + i * grid.frames * grid.groups * 2);
    if (backward.move.streamed)
      move_slice<true, Value>(backward.move, slice);
    else
      move_slice<false, Value>(backward.move, slice);
  }
  if (backward.move.streamed) finish_streams();
}

// Values that are added up before their sum is added to the others: rounding grows with the longer of the two.
constexpr int64_t kRun = 64;

// Pixels lie too far apart for the processor to predict the next read.
constexpr int64_t kPixelsAhead = 8;

// Channels side by side: a vector of them at a time, down the pixels.
template <typename Value, int lanes = kLanes<Value>>
inline void mean_columns(typename SumOf<Value>::type* out, const Value* x, int64_t pixels, int64_t pixel,
                         int64_t channels) {
  using Sum = typename SumOf<Value>::type;
  constexpr int most = kMeanChannels / lanes;
  const int64_t vectors = channels / lanes < most ? channels / lanes : most;
  Packed<Sum, lanes> total[most] = {};
  for (int64_t begin = 0; begin < pixels; begin += kRun) {
    const int64_t end = begin + kRun < pixels ? begin + kRun : pixels;
    Packed<Sum, lanes> sum[most] = {};
    for (int64_t p = begin; p < end; ++p)
      for (int64_t v = 0; v < vectors; ++v) {
        __builtin_prefetch(x + (p + kPixelsAhead) * pixel + v * lanes);
        sum[v] += load<Value, lanes>(x + p * pixel + v * lanes);
      }
    for (int64_t v = 0; v < vectors; ++v) total[v] += sum[v];
  }
  for (int64_t v = 0; v < vectors; ++v) store_bits(out + v * lanes, total[v] / Sum(pixels));
  const int64_t done = vectors * lanes;
  if constexpr (lanes > 1)
    if (done < channels) mean_columns<Value, lanes / 2>(out + done, x + done, pixels, pixel, channels - done);
}

// Pixels side by side: the sum of one channel.
template <typename Value, int lanes = kLanes<Value>>
inline typename SumOf<Value>::type sum_run(const Value* x, int64_t size) {
  using Sum = typename SumOf<Value>::type;
  const int64_t whole = size - size % lanes;
  Packed<Sum, lanes> total = {};
  for (int64_t begin = 0; begin < whole; begin += kRun * lanes) {
    const int64_t end = begin + kRun * lanes < whole ? begin + kRun * lanes : whole;
    Packed<Sum, lanes> sum = {};
    for (int64_t i = begin; i < end; i += lanes) sum += load<Value, lanes>(x + i);
    total += sum;
  }
  Sum sum = across<Sum, lanes>(total);
  if constexpr (lanes > 1)
    if (whole < size) sum += sum_run<Value, lanes / 2>(x + whole, size - whole);
  return sum;
}

template <typename Value>
void mean_blocks(const Mean& mean, int64_t begin, int64_t end) {
  using Sum = typename SumOf<Value>::type;
  for (int64_t i = begin; i < end; ++i) {
    const int64_t image = i / mean.blocks, first = i % mean.blocks * kMeanChannels;
    const int64_t channels = first + kMeanChannels < mean.fold ? kMeanChannels : mean.fold - first;
    const Value* x = static_cast<const Value*>(mean.x) + image * mean.image + first * mean.channel;
    Sum* out = static_cast<Sum*>(mean.out) + image * mean.fold + first;
    if (mean.channel == 1)
      mean_columns<Value>(out, x, mean.pixels, mean.pixel, channels);
    else
      for (int64_t c = 0; c < channels; ++c) out[c] = sum_run(x + c * mean.channel, mean.pixels) / Sum(mean.pixels);
  }
}
