// What tells whether weights have changed since they were last seen, however they were written to.
#pragma once

#include "tensors.h"

namespace tinkit {

inline void prints(const void* const* memory, const int64_t* sizes, int64_t count, uint64_t* found) {
  constexpr int64_t kPiece = 1 << 18;
  std::vector<Piece> pieces;
  for (int64_t i = 0; i < count; ++i)
    for (int64_t at = 0; at == 0 || at < sizes[i]; at += kPiece)
      pieces.push_back({static_cast<const unsigned char*>(memory[i]) + at, std::min(kPiece, sizes[i] - at)});
  std::vector<uint64_t> each(pieces.size());
  const Level& level = *current_level().load(std::memory_order_relaxed);
  in_parallel(int64_t(pieces.size()), kPiece,
              [&](int64_t begin, int64_t end) { level.print_pieces(pieces.data(), each.data(), begin, end); });
  const uint64_t* piece = each.data();
  for (int64_t i = 0; i < count; ++i) {
    uint64_t print = uint64_t(sizes[i]);
    for (int64_t at = 0; at == 0 || at < sizes[i]; at += kPiece) {
      print = (print ^ *piece++) * 0xd6e8feb86659fd93u;
      print ^= print >> 31;
    }
    found[i] = print;
  }
}

}  // namespace tinkit
