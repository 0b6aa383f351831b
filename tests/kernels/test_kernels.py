"""The arithmetic in kernels/, built for the host and held against the reference implementation's golden numbers."""

from __future__ import annotations

import ctypes
import json
import shutil
import subprocess

import numpy as np
import pytest

from tests.helpers.places import GOLDEN as GOLDEN_FOLDER
from tinkit.files.shipped import shipped

GOLDEN = GOLDEN_FOLDER / "interlace.npz"

# The loops are the test's own and as slow as can be; only the arithmetic of an element comes from kernels/.
DRIVER = """
#include "interlace.h"
using namespace tinkit;
extern "C" void run(const float* x, const float* grad, const float* offset, const float* gain, float* y, float* grad_x,
                    float* grad_offset, float* grad_gain, int B, int T, int C, int HW, int F, int G) {
  const long long frame = (long long)C * HW;
  for (int b = 0; b < B; ++b)
    for (int c = 0; c < F; ++c) {
      const int g = c / (F / G);
      const Split<float> o = split(offset[b * G + g], T);
      for (int p = 0; p < HW; ++p) {
        const long long at = b * T * frame + (long long)c * HW + p;
        for (int t = 0; t < T; ++t) {
          const float w = gain[(b * T + t) * G + g], d = grad[at + t * frame];
          const float value = shown(x + at, frame, T, t, o);
          y[at + t * frame] = w * value;
          grad_x[at + t * frame] = grad_input(grad + at, frame, T, t, o, gain + b * T * G + g, G);
          grad_gain[(b * T + t) * G + g] += d * value;
          grad_offset[b * G + g] += d * w * slope(x + at, frame, T, t, o);
        }
      }
    }
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler on this machine")
    folder = tmp_path_factory.mktemp("kernels")
    source, target = folder / "driver.cpp", folder / "driver.so"
    source.write_text(DRIVER)
    command = [compiler, "-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([*command, "-I", str(shipped("kernels")), str(source), "-o", str(target)], check=True)
    return ctypes.CDLL(str(target))


def run(library: ctypes.CDLL, x: np.ndarray, grad: np.ndarray, offset: np.ndarray, gain: np.ndarray, fold: int):
    clips, groups = offset.shape
    frames, channels, pixels = gain.shape[1], x.shape[1], x.shape[2] * x.shape[3]
    y, grad_x = x.copy(), grad.copy()  # what does not move passes through, forward and backward
    grad_offset, grad_gain = np.zeros_like(offset), np.zeros_like(gain)
    pointers = [np.ascontiguousarray(a, np.float32) for a in (x, grad, offset, gain)] + [y, grad_x]
    arguments = [a.ctypes.data_as(ctypes.c_void_p) for a in (*pointers, grad_offset, grad_gain)]
    library.run(*arguments, clips, frames, channels, pixels, fold, groups)
    return y, grad_x, grad_offset, grad_gain


def closeness(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.abs(found - wanted).max() / max(1e-12, np.abs(wanted).max()))


@pytest.mark.parametrize("case", ["a", "b", "c", "d"])
def test_forward_is_golden(library: ctypes.CDLL, case: str) -> None:
    golden = np.load(GOLDEN)
    meta = json.loads(str(golden["meta"]))[case]
    fold = meta["C"] // meta["shift_div"]
    gain = golden[f"{case}.weight"].reshape(meta["N"], meta["T"], fold)[..., :: fold // 4]
    x, grad = golden[f"{case}.x"], golden[f"{case}.grad_out"]
    y, grad_x, grad_offset, grad_gain = run(library, x, grad, golden[f"{case}.offset"], gain, fold)
    assert closeness(y, golden[f"{case}.out"]) < 1e-5
    # The golden gradients run through the steering networks too, so the operator's own are held against numpy here.
    wanted = slow_gradients(x, grad, golden[f"{case}.offset"], gain, fold)
    for name, found, value in zip(("x", "offset", "gain"), (grad_x, grad_offset, grad_gain), wanted, strict=True):
        assert closeness(found, value) < 1e-4, name


def slow_gradients(x: np.ndarray, grad: np.ndarray, offset: np.ndarray, gain: np.ndarray, fold: int):
    """The operator as a matrix over time in float64, and its transpose."""
    (clips, groups), frames = offset.shape, gain.shape[1]
    video = x.astype(np.float64).reshape(clips, frames, *x.shape[1:])
    back = grad.astype(np.float64).reshape(video.shape)
    grad_x, grad_offset, grad_gain = back.copy(), np.zeros(offset.shape), np.zeros(gain.shape)
    for b in range(clips):
        for g in range(groups):
            part = slice(g * fold // groups, (g + 1) * fold // groups)
            whole = int(np.floor(offset[b, g]))
            share = float(offset[b, g]) - whole
            late, early = np.eye(frames, k=-whole), np.eye(frames, k=-whole - 1)
            values, gradient = video[b, :, part].reshape(frames, -1), back[b, :, part].reshape(frames, -1)
            taps = (1 - share) * late + share * early
            grad_x[b, :, part] = (taps.T @ (gain[b, :, g, None] * gradient)).reshape(back[b, :, part].shape)
            grad_gain[b, :, g] = (gradient * (taps @ values)).sum(1)
            grad_offset[b, g] = (gain[b, :, g, None] * gradient * ((early - late) @ values)).sum()
    return grad_x.reshape(x.shape), grad_offset, grad_gain


@pytest.mark.parametrize("offset", [np.inf, -np.inf, np.nan, 1e30, -1e30, 5.0, -5.0])
def test_offsets_beyond_the_clip_read_zeros(library: ctypes.CDLL, offset: float) -> None:
    x = np.ones((4, 4, 1, 1), np.float32)
    y, grad_x, *_ = run(library, x, x, np.full((1, 4), offset, np.float32), np.ones((1, 4, 4), np.float32), 4)
    assert not y.any()
    assert not grad_x.any()
