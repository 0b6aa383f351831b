// The end of a residual block: add, ReLU, and the mean of the channels that move next. Included once for each level,
// inside its namespace, after sums.h: no guard.

// Columns [begin, end) of one pixel: x becomes relu(x + other). The result goes to x if `whole`, to `aside` if that is
// given; `sums` (if given) gets it added, as it is stored. `other` and `aside` may be the same.
template <typename Value, int lanes = kLanes<Value>>
inline void add_columns(Value* x, const Value* other, Value* aside, bool whole, typename SumOf<Value>::type* sums,
                        int64_t size) {
  using Sum = typename SumOf<Value>::type;
  using Vector = Packed<Sum, lanes>;
  int64_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    const Vector sum = load<Value, lanes>(x + i) + load<Value, lanes>(other + i);
    const Vector value = sum < 0 ? Vector{} : sum;  // NaN stays NaN
    if (whole) store<false, Value, lanes>(x + i, value);
    if (aside) store<false, Value, lanes>(aside + i, value);
    if (sums) store_bits(sums + i, load_bits<Vector>(sums + i) + rounded<lanes>(Value{}, value));
  }
  if constexpr (lanes > 1)
    if (i < size)
      add_columns<Value, lanes / 2>(x + i, other + i, aside ? aside + i : aside, whole, sums ? sums + i : sums,
                                    size - i);
}

template <typename Value>
void residual_slices(const Residual& residual, int64_t begin, int64_t end) {
  using Sum = typename SumOf<Value>::type;
  const int64_t fold = residual.fold, channels = residual.channels;
  for (int64_t i = begin; i < end; ++i) {
    const int64_t image = i / residual.slices, part = i % residual.slices;
    const int64_t first = image * residual.pixels + cut(residual.pixels, part, residual.slices, 1);
    const int64_t last = image * residual.pixels + cut(residual.pixels, part + 1, residual.slices, 1);
    Sum* sums = residual.sums ? static_cast<Sum*>(residual.sums) + i * fold : nullptr;
    for (int64_t pixel = first; pixel < last; ++pixel) {
      Value* x = static_cast<Value*>(residual.x) + pixel * channels;
      const Value* shortcut = static_cast<const Value*>(residual.shortcut) + pixel * channels;
      Value* beside = fold ? static_cast<Value*>(residual.beside) + pixel * fold : nullptr;
      if (fold)
        add_columns<Value>(x, residual.held ? beside : shortcut, residual.aside ? beside : nullptr, residual.whole,
                           sums, fold);
      add_columns<Value>(x + fold, shortcut + fold, nullptr, true, nullptr, channels - fold);
    }
  }
}
