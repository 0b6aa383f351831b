// The mean of each channel of the fold over a frame's pixels, (frames, fold), in sums of a fixed order.
#pragma once

#include "arguments.h"
#include "device.h"

namespace tinkit {

// Shared values `half` apart are added until one of a team of `team` is left; teams lie side by side.
template <typename Sum>
TINKIT_DEVICE void add_neighbours(Sum* sums, int team) {
  for (int half = team / 2; half > 0; half /= 2) {
    THREADS(t) {
      if (t % team < half) put(sums + t, get(sums + t) + get(sums + t + half));
    }
    SYNC();
  }
}

// A contiguous tensor: a channel's pixels lie in one run of `run` packs, channels one after another in a frame of
// `source_pitch` packs. `team` threads share a channel.
template <typename Value, int LANES, typename Index>
TINKIT_DEVICE void mean_planes(const Arguments& a) {
  using Item = Pack<Value, LANES>;
  using Sum = typename SumOf<Value>::type;
  SHARED(Sum, sums, BLOCK);
  const Index channels = Index(a.clips) * Index(a.fold), run = Index(a.run);
  const Index first = Index(block_index()) * (BLOCK / a.team);
  THREADS(t) {
    const Index channel = first + t / a.team;
    Sum sum = Sum(0);
    if (channel < channels) {
      const Index frame = channel / Index(a.fold);
      const auto* plane =
          static_cast<const Item*>(a.source) + frame * Index(a.source_pitch) + (channel - frame * Index(a.fold)) * run;
      UNROLL4
      for (Index i = t % a.team; i < run; i += a.team) {
        const Item item = load(plane + i);
        UNROLL
        for (int lane = 0; lane < LANES; ++lane) sum += widen(item.lane[lane]);
      }
    }
    put(sums + t, sum);
  }
  SYNC();
  add_neighbours(sums, a.team);
  THREADS(t) {
    const Index channel = first + t / a.team;
    if (t % a.team == 0 && channel < channels) {
      store(static_cast<Sum*>(a.target) + channel, get(sums + t) / Sum(a.area));
    }
  }
}

// A channels_last tensor: `rows` pixels of `source_pitch` packs each. A block adds up every `slices`-th part of a
// frame's pixels for `team` packs side by side, `BLOCK / team` pixels at once; blocks: frames x slices x parts of the
// fold. With one slice the mean is written, else the sums are, for `mean_finish`.
template <typename Value, int LANES, typename Index>
TINKIT_DEVICE void mean_pixels(const Arguments& a) {
  using Item = Pack<Value, LANES>;
  using Sum = typename SumOf<Value>::type;
  SHARED(Sum, sums, LANES * BLOCK);
  const int team = a.team, pixels = BLOCK / team;
  const Index moving = Index(a.moving), parts = (moving + team - 1) / team, rows = Index(a.rows);
  const Index block = Index(block_index()), line = block / parts, frame = line / Index(a.slices);
  const Index first = (block - line * parts) * team, slice = line - frame * Index(a.slices);
  THREADS(t) {
    const Index column = first + t % team;
    Sum sum[LANES] = {};
    if (column < moving) {
      const auto* packs = static_cast<const Item*>(a.source) + frame * rows * Index(a.source_pitch) + column;
      UNROLL4
      for (Index row = slice * pixels + t / team; row < rows; row += Index(a.slices) * pixels) {
        const Item item = load(packs + row * Index(a.source_pitch));
        UNROLL
        for (int lane = 0; lane < LANES; ++lane) sum[lane] += widen(item.lane[lane]);
      }
    }
    UNROLL
    for (int lane = 0; lane < LANES; ++lane) put(sums + lane * BLOCK + t, sum[lane]);
  }
  SYNC();
  for (int half = pixels / 2; half > 0; half /= 2) {
    THREADS(t) {
      if (t / team < half) {
        UNROLL
        for (int lane = 0; lane < LANES; ++lane) {
          Sum* at = sums + lane * BLOCK + t;
          put(at, get(at) + get(at + half * team));
        }
      }
    }
    SYNC();
  }
  const bool whole = a.slices == 1;
  auto* target = static_cast<Sum*>(whole ? a.target : a.partial) + line * Index(a.fold);
  THREADS(t) {
    if (t < team && first + t < moving) {
      UNROLL
      for (int lane = 0; lane < LANES; ++lane) {
        const Sum sum = get(sums + lane * BLOCK + t);
        store(target + (first + t) * LANES + lane, whole ? sum / Sum(a.area) : sum);
      }
    }
  }
}

// The slices' sums together: a thread a channel.
template <typename Value, typename Index>
TINKIT_DEVICE void mean_finish(const Arguments& a) {
  using Sum = typename SumOf<Value>::type;
  const Index fold = Index(a.fold), count = Index(a.clips) * fold;
  THREADS(t) {
    const Index i = Index(block_index()) * BLOCK + t;
    if (i < count) {
      const Index frame = i / fold;
      const auto* partial = static_cast<const Sum*>(a.partial) + frame * Index(a.slices) * fold + (i - frame * fold);
      Sum sum = Sum(0);
      for (Index s = 0; s < Index(a.slices); ++s) sum += load(partial + s * fold);
      store(static_cast<Sum*>(a.target) + i, sum / Sum(a.area));
    }
  }
}

}  // namespace tinkit
