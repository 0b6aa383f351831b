"""A video's frames scaled to the size of its first where they differ: by ffmpeg's own filter, to the same pixels."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from av.filter import Graph
from av.video.frame import VideoFrame

_Kind = tuple[int, int, str]
_SECOND = Fraction(1)  # which no filter here asks for


class Scaler:
    """Makes frames of any size and format RGB at ``width`` x ``height``, in one thread."""

    def __init__(self, width: int, height: int) -> None:
        self._size = f"{width}:{height}"
        self._graphs: dict[_Kind, Any] = {}

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        """``frame`` scaled (bicubic, ffmpeg's default) and converted to rgb24."""
        kind = (frame.width, frame.height, frame.format.name)
        graph = self._graphs.get(kind)
        if graph is None:
            graph = self._graphs[kind] = self._graph(frame)
        graph.push(frame)
        scaled: VideoFrame = graph.pull()
        return scaled

    def _graph(self, frame: VideoFrame) -> Any:
        graph: Any = Graph()
        graph.threads = 1
        nodes = [
            graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or _SECOND
            ),
            graph.add("scale", self._size),
            graph.add("format", "rgb24"),
            graph.add("buffersink"),
        ]
        graph.link_nodes(*nodes).configure()
        return graph
