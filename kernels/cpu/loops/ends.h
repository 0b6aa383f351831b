// The end of a residual block, add and ReLU in one pass. Included once for each level, inside its namespace, after
// vector.h: no guard.

template <typename Value, int lanes = kLanes<Value>>
inline void add_relu_run(Value* x, const Value* other, int64_t size) {
  using Vector = Packed<typename SumOf<Value>::type, lanes>;
  int64_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    const Vector sum = load<Value, lanes>(x + i) + load<Value, lanes>(other + i);
    store<false, Value, lanes>(x + i, sum < 0 ? Vector{} : sum);  // NaN stays NaN
  }
  if constexpr (lanes > 1)
    if (i < size) add_relu_run<Value, lanes / 2>(x + i, other + i, size - i);
}

template <typename Value>
void add_relu_slices(const Ends& ends, int64_t begin, int64_t end) {
  const int64_t first = begin * ends.slice, last = end * ends.slice < ends.count ? end * ends.slice : ends.count;
  add_relu_run<Value>(static_cast<Value*>(ends.x) + first, static_cast<const Value*>(ends.shortcut) + first,
                      last - first);
}
