"""The native library's way into a process: compiled once, kept, found, mended, or done without."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.native_children import Workshop, loaded, plain

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="native kernels are built on POSIX systems"),
    pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="no C++ compiler here"),
]

# The operator as it is really built: through PyTorch's stable ABI, in a namespace of its own.
OPERATOR = """
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
using torch::stable::Tensor;
static Tensor twice(Tensor x) {
  Tensor y = torch::stable::empty_like(x);
  const float* from = static_cast<const float*>(x.data_ptr());
  float* to = static_cast<float*>(y.data_ptr());
  for (int64_t i = 0; i < x.numel(); ++i) to[i] = 2 * from[i];
  return y;
}
STABLE_TORCH_LIBRARY_FRAGMENT(tinkit_test, m) { m.def("twice(Tensor x) -> Tensor"); }
STABLE_TORCH_LIBRARY_IMPL(tinkit_test, CPU, m) { m.impl("twice", TORCH_BOX(&twice)); }
"""
CHILD = """
import sys
from pathlib import Path
import torch
from tinkit.ops import native
kernels = Path(sys.argv[1])
native.shipped = lambda kind: kernels
print("ready", flush=True)
sys.stdin.readline()
print(native.load(), torch.ops.tinkit_test.twice(torch.ones(2)).tolist() if native.load() else "")
"""


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    shop = Workshop(tmp_path)
    shop.compiler()
    return shop


def wait_until(happened: Callable[[], bool]) -> None:
    for _ in range(1200):
        if happened():
            return
        time.sleep(0.05)
    raise AssertionError("it does not happen")


def test_processes_at_once_compile_once_and_those_after_find_it(shop: Workshop) -> None:
    shop.compiler("sleep 0.5")
    told = [child.told() for child in shop.start(8)]
    assert all(loaded(one) for one in told)
    assert sum(one.state.seconds is not None for one in told) == 1
    assert {one.state.file for one in told} == set(shop.kept())
    assert shop.compiled() == 1
    again = shop.load()
    assert loaded(again)
    assert again.state.compiler is None
    assert shop.compiled() == 0


@pytest.mark.slow
def test_interpreters_at_once_run_an_operator_of_the_stable_abi(shop: Workshop) -> None:
    (shop.kernels / "cpu" / "library.cpp").write_text(OPERATOR)
    environment = os.environ | {"PATH": str(shop.bin), "TINKIT_CACHE": str(shop.cache), "CXX": ""}
    command = [sys.executable, "-c", CHILD, str(shop.kernels)]
    children = [
        subprocess.Popen(command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    assert [child.communicate("go\n")[0] for child in children] == ["True [2.0, 2.0]\n"] * 3
    assert shop.compiled() == 1


def test_threads_at_once_load_once(shop: Workshop) -> None:
    code = CHILD + (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "native._decided.cache_clear()\n"
        "calls, really = [], native.open_library\n"
        "native.open_library = lambda kernels: calls.append(1) or really(kernels)\n"
        "with ThreadPoolExecutor(8) as pool: print(set(pool.map(lambda _: native.load(), range(64))), len(calls))\n"
    )
    environment = os.environ | {"PATH": str(shop.bin), "TINKIT_CACHE": str(shop.cache), "CXX": ""}
    (shop.kernels / "cpu" / "library.cpp").write_text("#error not this time\n")
    child = subprocess.run(
        [sys.executable, "-c", code, str(shop.kernels)],
        env=environment, text=True, input="go\n", capture_output=True, check=True,
    )  # fmt: skip
    assert child.stdout.splitlines()[-1] == "{False} 1"
    assert child.stderr.count("plain PyTorch") == 1
    assert "not this time" in child.stderr


def test_a_change_of_source_compiler_or_version_is_another_library(shop: Workshop) -> None:
    assert loaded(shop.load())
    shop.answers("two")
    assert loaded(shop.load(), "two")
    (shop.kernels / "cpu" / "library.cpp").write_text((shop.kernels / "cpu" / "library.cpp").read_text() + "// more\n")
    assert loaded(shop.load(), "two")
    shop.compiler(version="2")
    assert loaded(shop.load(), "two")
    assert shop.compiled() == len(shop.kept()) == 4
    shop.answers("one")
    shop.compiler()
    (shop.kernels / "README.md").write_text("not a source")
    (shop.kernels / "cpu" / "library.cpp").write_text((shop.kernels / "cpu" / "library.cpp").read_text()[:-8])
    assert loaded(shop.load())
    assert shop.compiled() == 0


def test_sources_that_change_under_the_compiler_are_not_kept_under_their_old_name(shop: Workshop) -> None:
    shop.compiler(f"echo '#define ANSWER \"late\"' >{shop.kernels / 'answer.h'}")
    assert plain(shop.load(), "changed while it was compiled")
    assert shop.kept() == []
    assert loaded(shop.load(), "late")


def test_another_pytorch_is_another_library(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(shop.load())
    monkeypatch.setattr("torch.__version__", "99.0")
    assert loaded(shop.load())
    assert shop.compiled() == len(shop.kept()) == 2


def broken(data: bytes) -> dict[str, bytes]:
    middle = len(data) // 2
    flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    shapes = {"empty": b"", "stub": data[:10], "half": data[:middle], "almost": data[:-1], "longer": data + b"\0"}
    return shapes | {"zeros": bytes(len(data)), "flipped": flipped}


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["empty", "stub", "half", "almost", "longer", "zeros", "flipped"])
def test_a_broken_file_is_made_again(shop: Workshop, shape: str) -> None:
    assert loaded(shop.load())
    (file,) = shop.kept()
    whole = file.read_bytes()
    file.write_bytes(broken(whole)[shape])
    told = [child.told() for child in shop.start(3)]
    assert all(loaded(one) for one in told)
    assert shop.compiled() == 2
    assert [path.read_bytes() for path in shop.kept()] == [whole]


def test_a_broken_file_of_another_name_is_removed(shop: Workshop) -> None:
    assert loaded(shop.load())
    (file,) = shop.kept()
    other = file.with_name(f"{file.stem.rpartition('-')[0]}-{'0' * 16}.so")
    file.rename(other)
    assert loaded(shop.load())
    assert shop.kept() == [file]


def test_a_file_that_is_whole_and_no_library_is_made_again(shop: Workshop) -> None:
    assert loaded(shop.load())
    (file,) = shop.kept()
    text = b"from a machine that this one is not"
    foreign = file.with_name(f"{file.stem.rpartition('-')[0]}-{hashlib.sha256(text).hexdigest()[:16]}.so")
    foreign.write_bytes(text)
    file.unlink()
    told = [child.told() for child in shop.start(3)]
    assert all(loaded(one) for one in told)
    assert shop.kept() == [file]
    assert shop.compiled() == 2


def test_whoever_compiles_may_be_killed(shop: Workshop) -> None:
    first = shop.folder / "first"
    shop.compiler(f"mkdir {first} && sleep 600")
    (killed,) = shop.start()
    wait_until(first.is_dir)
    waiting = shop.start(3)
    time.sleep(0.3)
    assert shop.compiled() == 1
    os.killpg(killed.process.pid, signal.SIGKILL)
    assert all(loaded(child.told()) for child in waiting)
    assert shop.compiled() == 1
    assert len(shop.kept()) == 1


def test_a_compiler_that_is_killed_leaves_nothing(shop: Workshop) -> None:
    half = 'while [ "$1" != -o ]; do shift; done; echo half >"$2"; kill -9 $$'
    shop.compiler(half)
    assert plain(shop.load(), "killed by signal 9")
    assert shop.kept() == []
    shop.compiler()
    assert loaded(shop.load())
    assert not [path for path in (shop.cache / "kernels").iterdir() if path.suffix not in (".so", ".lock")]


def test_those_who_waited_for_a_failure_do_not_repeat_it(shop: Workshop) -> None:
    shop.compiler("sleep 1; echo 'library.cpp:1: error: of the test'; exit 1")
    told = [child.told() for child in shop.start(6)]
    assert all(plain(one, "library.cpp:1: error: of the test") for one in told)
    assert shop.compiled() == 1
    assert plain(shop.load(), "error: of the test")
    assert shop.compiled() == 1


def test_a_compiler_that_makes_no_library_is_said(shop: Workshop) -> None:
    shop.compiler('while [ "$1" != -o ]; do shift; done; echo text >"$2"; exit 0')
    assert plain(shop.load(), "cannot be loaded")


@pytest.mark.parametrize("place", ["a file", "below a file", "/proc"])
def test_a_cache_that_cannot_be_written_is_said_once(shop: Workshop, place: str) -> None:
    stands = shop.folder / "stands"
    stands.write_text("in the way")
    where = {"a file": stands, "below a file": stands / "cache", "/proc": Path("/proc/tinkit")}[place]
    told = shop.load(TINKIT_CACHE=str(where))
    assert told.state.loaded
    assert told.answer == "one"
    assert told.state.file is None
    assert len(told.warnings) == 1
    assert f"cannot be kept in {where / 'kernels'}" in told.warnings[0]
    quiet = shop.load(TINKIT_CACHE=str(where), LOCAL_RANK="1")
    assert loaded(quiet)
    assert stands.read_text() == "in the way"


def test_a_filled_cache_may_be_read_only(shop: Workshop) -> None:
    assert loaded(shop.load())
    environment = os.environ | {"TINKIT_CACHE": str(shop.cache), "CXX": ""}
    code = (
        "import sys; from pathlib import Path; from tinkit.ops import native\n"
        "print(native.open_library(Path(sys.argv[1])).problem)"
    )
    mount = f'mount --bind "{shop.cache}" "{shop.cache}" && mount -o remount,ro,bind "{shop.cache}"'
    inside = ["unshare", "--mount", "sh", "-c"]
    if subprocess.run([*inside, mount], check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    script = f'{mount} && PATH="{shop.bin}" exec "{sys.executable}" -c "$0" "{shop.kernels}"'
    child = subprocess.run([*inside, script, code], env=environment, capture_output=True, text=True, check=True)
    assert child.stdout == "None\n"
    assert child.stderr == ""
    assert shop.compiled() == 1


def test_without_a_compiler_the_plain_operators_run(shop: Workshop) -> None:
    empty = shop.folder / "empty"
    empty.mkdir()
    assert plain(shop.load(PATH=str(empty)), "no C++ compiler was found")
    assert loaded(shop.load())  # built ahead of time ...
    assert loaded(shop.load(PATH=str(empty)))  # ... and used where the compiler has gone
    assert shop.compiled() == 1
    (file,) = shop.kept()
    file.write_bytes(file.read_bytes()[:-1])
    assert plain(shop.load(PATH=str(empty)), "no C++ compiler was found")


def test_it_can_be_turned_off(shop: Workshop) -> None:
    told = shop.load(TINKIT_NATIVE="0")
    assert not told.state.loaded
    assert told.answer is None
    assert told.warnings == []
    assert shop.compiled() == 0


def test_a_chosen_compiler_comes_first_and_a_broken_one_gives_way(shop: Workshop) -> None:
    shop.compiler(name="mine", version="3")
    told = shop.load(CXX="mine -DEXTRA='a b'")
    assert loaded(told)
    assert told.state.compiler is not None
    assert told.state.compiler.startswith("mine '-DEXTRA=a b' test 3")
    assert shop.calls.read_text().startswith("mine -DEXTRA=a b -std=c++20")
    assert loaded(shop.load(CXX="mine -DEXTRA=b"))  # options make another library
    assert shop.compiled() == 2
    shop.answers("two")
    shop.compiler("echo 'error: too old' >&2; exit 1", name="mine", version="4")
    assert loaded(shop.load(CXX="mine"), "two")
    assert shop.compiled() == 2
    for number, chosen in enumerate(("nowhere", "/nowhere/c++", "'unclosed", "false")):
        shop.answers(f"chosen {number}")
        assert loaded(shop.load(CXX=chosen), f"chosen {number}")
