"""What runs in processes of their own for :mod:`benchmarks.prepare`, as text."""

MEASURE = """
import ctypes, json, os, resource, subprocess, sys, time
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # processes whose parent is gone are waited for here
begun = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
code = done.returncode
if code:
    sys.stderr.write(done.stderr)
wall = time.perf_counter() - begun
try:
    while True:
        os.wait()
except ChildProcessError:
    pass
use = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"code": code, "wall": wall, "cpu": use.ru_utime + use.ru_stime, "mib": use.ru_maxrss / 1024}))
"""
"""Runs a command, and says what it and all its processes took; ``mib`` is the largest process's."""

BARE = """
import sys, av
from pathlib import Path
for path in sorted(Path(sys.argv[1]).rglob("[0-9]*.mp4")):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        packets = [packet for packet in container.demux(stream) if packet.size]
        pixels = None
        for packet in packets:
            for frame in stream.codec_context.decode(packet):
                pixels = frame.to_ndarray(format="rgb24")
                break
            if pixels is not None:
                break
"""
"""The peer: each file opened by PyAV, its packets counted and the first frame decoded, and no more."""

COMPUTE = "import sys; x = 0\nfor i in range(int(sys.argv[1])): x = (x * 31 + i) % 1000003"

OPENING = """
import sys, time
from pathlib import Path
from tinkit.data.config.dataset import DataConfig
from tinkit.data.manifest.manifest import open_manifest
config = DataConfig(dataset="pyslowfast", root=Path(sys.argv[1]))
times = []
for _ in range(9):
    begun = time.process_time()
    assert len(open_manifest(config, "train")) == int(sys.argv[2])
    times.append(time.process_time() - begun)
print(sorted(times)[4])
"""
"""The median processor seconds of opening a manifest, whose checksum is compared."""
