"""A checksum of many bytes at the speed of memory: sums of blocks, and the SHA-256 of the sums.

A block is 8 KiB, 1024 words of 64 bits in little-endian order; the last one is filled up with zeros. With odd constants
``w[i]`` of 64 bits, a block of the words ``x[i]`` has two sums, modulo 2**64: that of ``w[i] * x[i]`` and that of
``w[i] * (x[i] >> 32)``. Together they are the sums over the even and over the odd half words (multilinear hashing:
Carter and Wegman 1979; Lemire and Kaser 2014, "Strongly universal string hashing is fast"). The checksum is the SHA-256
of all sums, in the order of the blocks, and of the number of bytes.

What it finds: in a block, every change within a half word (32 bits), every exchange of two words or half words, and the
same change of two half words (the constants differ modulo 2**32, and so do their negatives); and every exchange of two
blocks that differ in such a way. Any other damage that does not know the constants is missed in one of
2**32 cases at most, and in far fewer where several blocks have it. It is no protection from somebody who builds another
file of the same checksum on purpose: the constants are public, and the sums are linear.
"""

from __future__ import annotations

import hashlib

import numpy as np

BLOCK = 1 << 13  # bytes
_WORDS = BLOCK // 8
_AT_A_TIME = 64 * BLOCK  # bytes summed at a time: they and their halves stay in the processor's cache
WEIGHTS = np.frombuffer(hashlib.shake_256(b"tinkit: sums of blocks").digest(BLOCK), "<u8") | np.uint64(1)
"""The odd constants ``w``, (1024,) uint64."""

_HALF = np.uint64(32)


class BlockSums:
    """The checksum of bytes that come in pieces of any length, in order."""

    def __init__(self) -> None:
        self.length = 0
        self._digest = hashlib.sha256()
        self._rest = b""  # of a block that is not full yet

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Add bytes. Where pieces begin at whole blocks, nothing is copied."""
        memory = memoryview(data).cast("B")
        self.length += len(memory)
        if self._rest:
            missing = BLOCK - len(self._rest)
            self._rest += bytes(memory[:missing])
            memory = memory[missing:]
            if len(self._rest) < BLOCK:
                return
            self._add(memoryview(self._rest))
        whole = len(memory) - len(memory) % BLOCK
        for start in range(0, whole, _AT_A_TIME):
            self._add(memory[start : min(start + _AT_A_TIME, whole)])
        self._rest = bytes(memory[whole:])

    def hexdigest(self) -> str:
        """The checksum of all bytes so far, as 64 hexadecimal digits."""
        last = self.copy()
        if last._rest:
            last._add(memoryview(last._rest.ljust(BLOCK, b"\0")))
        last._digest.update(last.length.to_bytes(8, "little"))
        return last._digest.hexdigest()

    def copy(self) -> BlockSums:
        """The same state, to be continued in another way."""
        other = BlockSums()
        other.length, other._rest, other._digest = self.length, self._rest, self._digest.copy()
        return other

    def _add(self, blocks: memoryview) -> None:
        """Add whole blocks."""
        words = np.frombuffer(blocks, "<u8").reshape(-1, _WORDS)
        high = np.right_shift(words, _HALF)
        sums = np.empty((len(words), 2), "<u8")
        # Four times as fast as a product and its sum; integers wrap around, as they should.
        np.einsum("ij,j->i", words, WEIGHTS, out=sums[:, 0])
        np.einsum("ij,j->i", high, WEIGHTS, out=sums[:, 1])
        self._digest.update(sums.data)
