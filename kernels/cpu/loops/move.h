// The kernels that move features. Included once for each level, inside its namespace, after vector.h: no guard.

// One place in every frame of a walk, `stride` apart.
template <typename Value>
struct Walk {
  Value* at;
  int64_t stride;

  Walk operator+(int64_t elements) const { return {at + elements, stride}; }
  Value* frame(int64_t step) const { return at + step * stride; }
};

// Vectors side by side, through all frames: a frame is read once, and kept for the step after. One cache line is
// written whole before the next, or what is streamed would go to memory in pieces. Reads `ahead` elements are
// announced.
template <bool streamed, int lanes, int vectors, typename Value, typename Sum>
inline void mix_vectors(Walk<Value> to, Walk<const Value> from, const Path<Sum>* const* paths, int64_t frames,
                        int64_t ahead) {
  Packed<Sum, lanes> before[vectors];
  const auto read = [&](int v, int64_t frame) {
    return frame >= 0 && frame < frames ? load<Value, lanes>(from.frame(frame) + v * lanes) : Packed<Sum, lanes>{};
  };
  for (int v = 0; v < vectors; ++v) before[v] = read(v, -paths[v]->whole - 1);
  for (int64_t step = 0; step < frames; ++step) {
    __builtin_prefetch(from.frame(step) + ahead);
    for (int v = 0; v < vectors; ++v) {
      const Shares<Sum> shares = paths[v]->shares[step];
      const Packed<Sum, lanes> now = read(v, step - paths[v]->whole);
      store<streamed, Value, lanes>(to.frame(step) + v * lanes, shares.late * now + shares.early * before[v]);
      before[v] = now;
    }
  }
}

// Columns of one group that are not whole vectors of whole lines: by vectors, then by ever smaller ones.
template <int lanes, typename Value, typename Sum>
inline void mix_ragged(Walk<Value> to, Walk<const Value> from, const Path<Sum>* path, int64_t frames, int64_t size) {
  int64_t i = 0;
  for (; i + lanes <= size; i += lanes) mix_vectors<false, lanes, 1>(to + i, from + i, &path, frames, lanes);
  if constexpr (lanes > 1)
    if (i < size) mix_ragged<lanes / 2>(to + i, from + i, path, frames, size - i);
}

// The columns [begin, end) of a row of groups that are `width` wide: calls `line(at, paths)` for those that are whole
// cache lines of whole vectors, with the path of each vector, and `ragged(at, size, path)` for runs of one group that
// are not.
template <typename Value, typename Sum, typename Line, typename Ragged>
inline void for_columns(const Path<Sum>* paths, int64_t width, int64_t begin, int64_t end, const Line& line,
                        const Ragged& ragged) {
  constexpr int lanes = kLanes<Value>, vectors = kLineVectors<Value>;
  int64_t group = begin == 0 ? 0 : begin / width, at = begin;
  if (width % lanes == 0)
    for (; at + vectors * lanes <= end; at += vectors * lanes) {
      const Path<Sum>* chosen[vectors];
      for (int v = 0; v < vectors; ++v) {
        if (at + v * lanes == (group + 1) * width) ++group;
        chosen[v] = paths + group;
      }
      line(at, chosen);
    }
  while (at < end) {
    if (at == (group + 1) * width) ++group;
    const int64_t stop = (group + 1) * width < end ? (group + 1) * width : end;
    ragged(at, stop - at, paths + group);
    at = stop;
  }
}

template <bool streamed, typename Value, typename Sum>
inline void mix_row(Walk<Value> to, Walk<const Value> from, const Path<Sum>* paths, int64_t width, int64_t frames,
                    int64_t begin, int64_t end, int64_t ahead) {
  for_columns<Value>(
      paths, width, begin, end,
      [&](int64_t at, const Path<Sum>* const* chosen) {
        mix_vectors<streamed, kLanes<Value>, kLineVectors<Value>>(to + at, from + at, chosen, frames, ahead);
      },
      [&](int64_t at, int64_t size, const Path<Sum>* path) {
        mix_ragged<kLanes<Value>>(to + at, from + at, path, frames, size);
      });
}

template <bool streamed, typename Value>
inline void copy_run(Value* to, const Value* from, int64_t size) {
  if constexpr (streamed) {
    constexpr int64_t step = kVectorBytes / sizeof(Value);
    int64_t i = 0;
    for (; i + step <= size; i += step) stream_bits(to + i, load_bits<Packed<uint8_t, kVectorBytes>>(from + i));
    to += i, from += i, size -= i;
  }
  __builtin_memcpy(to, from, size * sizeof(Value));
}

// A clip's frames at a row, in the order of the walk.
template <typename Value>
inline Walk<Value> walk_of(Value* tensor, const Grid& grid, int64_t clip, int64_t row, int64_t length, bool backwards) {
  const int64_t stride = grid.rows * length;
  Value* first = tensor + clip * grid.frames * stride + row * length;
  if (backwards) return {first + (grid.frames - 1) * stride, -stride};
  return {first, stride};
}

template <bool streamed, typename Value>
inline void move_slice(const Move& move, const Slice& slice) {
  using Sum = typename SumOf<Value>::type;
  const Grid& grid = move.grid;
  const Path<Sum>* paths = static_cast<const Path<Sum>*>(move.paths) + slice.clip * grid.groups;
  const int64_t rest = slice.rest_end - slice.rest, ahead = grid.rows > 1 ? 2 * move.from_length : kColumns;
  for (int64_t row = slice.row; row < slice.row_end; ++row) {
    const auto to = walk_of(static_cast<Value*>(move.to), grid, slice.clip, row, move.to_length, move.transposed);
    const auto from =
        walk_of(static_cast<const Value*>(move.from), grid, slice.clip, row, move.from_length, move.transposed);
    mix_row<streamed>(to, from, paths, grid.width, grid.frames, slice.fold, slice.fold_end, ahead);
    if (move.rest == Rest::copied)
      for (int64_t step = 0; step < grid.frames; ++step)
        copy_run<streamed>(to.frame(step) + slice.rest, from.frame(step) + slice.rest, rest);
    if (move.rest == Rest::zero)
      for (int64_t step = 0; step < grid.frames; ++step)
        __builtin_memset(to.frame(step) + slice.rest, 0, rest * sizeof(Value));
  }
}

template <typename Value>
void move_slices(const Move& move, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    const Slice slice = slice_at(move.grid, i);
    if (move.streamed)
      move_slice<true, Value>(move, slice);
    else
      move_slice<false, Value>(move, slice);
  }
  if (move.streamed) finish_streams();
}

// `x` plus a number, or plus numbers.
template <typename Value, int lanes = kLanes<Value>>
inline void add_number(Value* x, typename SumOf<Value>::type number, int64_t size) {
  int64_t i = 0;
  for (; i + lanes <= size; i += lanes) store<false, Value, lanes>(x + i, load<Value, lanes>(x + i) + number);
  if constexpr (lanes > 1)
    if (i < size) add_number<Value, lanes / 2>(x + i, number, size - i);
}

template <typename Value, int lanes = kLanes<Value>>
inline void add_numbers(Value* x, const typename SumOf<Value>::type* numbers, int64_t size) {
  using Vector = Packed<typename SumOf<Value>::type, lanes>;
  int64_t i = 0;
  for (; i + lanes <= size; i += lanes)
    store<false, Value, lanes>(x + i, load<Value, lanes>(x + i) + load_bits<Vector>(numbers + i));
  if constexpr (lanes > 1)
    if (i < size) add_numbers<Value, lanes / 2>(x + i, numbers + i, size - i);
}

// A cache line of every frame: saved, and mixed from a copy that stays at hand.
template <bool streamed, typename Value, typename Sum>
inline void exchange_line(Walk<Value> x, Walk<Value> saved, const Path<Sum>* const* paths, int64_t frames,
                          int64_t ahead) {
  constexpr int64_t line = 64 / sizeof(Value);
  alignas(64) Value kept[kKeptFrames * line];
  for (int64_t step = 0; step < frames; ++step) {
    __builtin_prefetch(x.frame(step) + ahead, 1);
    copy_run<false, Value>(kept + step * line, x.frame(step), line);
    if (saved.at) copy_run<streamed, Value>(saved.frame(step), kept + step * line, line);
  }
  mix_vectors<false, kLanes<Value>, kLineVectors<Value>>(x, Walk<const Value>{kept, line}, paths, frames, 0);
}

// To all pixels of a channel, in each frame, the number that `added` has for it.
template <typename Value>
inline void add_to_slice(const Exchange& exchange, const Slice& slice) {
  using Sum = typename SumOf<Value>::type;
  const Grid& grid = exchange.grid;
  const int64_t channels = grid.fold() / exchange.run;
  for (int64_t t = 0; t < grid.frames; ++t) {
    const int64_t frame = slice.clip * grid.frames + t;
    const Sum* added = static_cast<const Sum*>(exchange.added) + frame * channels;
    for (int64_t row = slice.row; row < slice.row_end; ++row) {
      Value* x = static_cast<Value*>(exchange.x) + (frame * grid.rows + row) * grid.length;
      if (exchange.run == 1)
        add_numbers<Value>(x + slice.fold, added + slice.fold, slice.fold_end - slice.fold);
      else
        for (int64_t at = slice.fold, stop; at < slice.fold_end; at = stop) {
          stop = std::min(slice.fold_end, (at / exchange.run + 1) * exchange.run);
          add_number<Value>(x + at, added[at / exchange.run], stop - at);
        }
    }
  }
}

template <bool streamed, typename Value>
inline void exchange_slice(const Exchange& exchange, const Slice& slice) {
  using Sum = typename SumOf<Value>::type;
  const Grid& grid = exchange.grid;
  const Path<Sum>* paths = static_cast<const Path<Sum>*>(exchange.paths) + slice.clip * grid.groups;
  const int64_t frames = grid.frames, ahead = grid.rows > 1 ? 2 * grid.length : kColumns;
  for (int64_t row = slice.row; row < slice.row_end; ++row) {
    const auto x = walk_of(static_cast<Value*>(exchange.x), grid, slice.clip, row, grid.length, exchange.transposed);
    const auto saved = exchange.saved ? walk_of(static_cast<Value*>(exchange.saved), grid, slice.clip, row, grid.fold(),
                                                exchange.transposed)
                                      : Walk<Value>{nullptr, 0};
    const auto ragged = [&](int64_t at, int64_t size, const Path<Sum>* path) {
      for (int64_t step = 0; step < frames; ++step)
        copy_run<false, Value>(saved.frame(step) + at, x.frame(step) + at, size);
      mix_ragged<kLanes<Value>>(x + at, Walk<const Value>{saved.at, saved.stride} + at, path, frames, size);
    };
    const auto line = [&](int64_t at, const Path<Sum>* const* chosen) {
      if (frames <= kKeptFrames)
        exchange_line<streamed>(x + at, exchange.saved ? saved + at : saved, chosen, frames, ahead);
      else
        for (int v = 0; v < kLineVectors<Value>; ++v) ragged(at + v * kLanes<Value>, kLanes<Value>, chosen[v]);
    };
    for_columns<Value>(paths, grid.width, slice.fold, slice.fold_end, line, ragged);
  }
  if (exchange.added) add_to_slice<Value>(exchange, slice);
}

template <typename Value>
void exchange_slices(const Exchange& exchange, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    if (exchange.streamed)
      exchange_slice<true, Value>(exchange, slice_at(exchange.grid, i));
    else
      exchange_slice<false, Value>(exchange, slice_at(exchange.grid, i));
  }
  if (exchange.streamed) finish_streams();
}

template <bool streamed, typename Value>
inline void restore_slice(const Restore& restore, const Slice& slice) {
  const Grid& grid = restore.grid;
  for (int64_t row = slice.row; row < slice.row_end; ++row) {
    const auto x = walk_of(static_cast<Value*>(restore.x), grid, slice.clip, row, grid.length, false);
    const auto saved = walk_of(static_cast<const Value*>(restore.saved), grid, slice.clip, row, grid.fold(), false);
    for (int64_t step = 0; step < grid.frames; ++step)
      copy_run<streamed>(x.frame(step) + slice.fold, saved.frame(step) + slice.fold, slice.fold_end - slice.fold);
  }
}

template <typename Value>
void restore_slices(const Restore& restore, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    if (restore.streamed)
      restore_slice<true, Value>(restore, slice_at(restore.grid, i));
    else
      restore_slice<false, Value>(restore, slice_at(restore.grid, i));
  }
  if (restore.streamed) finish_streams();
}
