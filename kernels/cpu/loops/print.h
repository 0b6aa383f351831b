// A number that tells the bytes of a piece of memory from others. Included once for each level, inside its namespace:
// no guard. Every eight bytes are multiplied half by half, with a key of their place, as fast as memory is read; levels
// agree to the bit.

inline uint64_t print_of(const unsigned char* bytes, int64_t size) {
  constexpr int lanes = 32;
  constexpr uint64_t odd = 0x9e3779b97f4a7c15u, prime = 0xd6e8feb86659fd93u;
  uint64_t sums[lanes], keys[lanes], values[lanes];
  for (int i = 0; i < lanes; ++i) sums[i] = keys[i] = (uint64_t(i) + 1) * prime;
  const auto take = [&]() {
    for (int i = 0; i < lanes; ++i) {
      const uint64_t mixed = values[i] ^ keys[i];
      sums[i] += (mixed & 0xffffffffu) * (mixed >> 32) + values[i];
      keys[i] += odd;
    }
  };
  int64_t at = 0;
  for (; at + int64_t(sizeof values) <= size; at += sizeof values) {
    __builtin_memcpy(values, bytes + at, sizeof values);
    take();
  }
  for (int i = 0; i < lanes; ++i) values[i] = 0;
  __builtin_memcpy(values, bytes + at, size_t(size - at));
  take();
  uint64_t print = uint64_t(size);
  for (int i = 0; i < lanes; ++i) {
    print = (print ^ sums[i]) * prime;
    print ^= print >> 29;
  }
  return print;
}

inline void print_pieces(const Piece* pieces, uint64_t* prints, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) prints[i] = print_of(pieces[i].bytes, pieces[i].size);
}
