"""Foreign score files of one small truth, each written as its program writes it."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from pyarrow import feather, ipc

from tests.helpers.places import ROOT

DUMPS = ROOT / "tests" / "foreign_scores" / "files"
CLASSES = ("walk", "run", "stroking/petting", "déjà+vu", "sit down")
IDS = ("a/1.mp4", "b, c/2.mp4", "Übung 3.mp4", "-_x", "078", "P01_101_0")
LABELS = ((0,), (3,), (2,), (4,), (1,), (0,))
SCORES = np.loadtxt(DUMPS / "truth.csv", delimiter=",").astype(np.float32)
ORDER = [3, 0, 4, 1, 2]


@dataclass(frozen=True)
class ForeignFile:
    """``write`` makes it; ``hints`` are what must be said of it; ``ordered``: it has no ids."""

    write: Callable[[Path], Any]
    suffix: str
    ordered: bool = False
    hints: dict[str, Any] = field(default_factory=dict)
    numbers: bool = False
    """Whether its ids are the numbers from 10."""
    close: float = 1e-6


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(columns | {name: SCORES[:, place] for place, name in enumerate(CLASSES)})


def rows(delimiter: str, header: list[str] | None, ids: Any = IDS, comma: bool = False) -> Callable[[Path], Any]:
    def write(path: Path) -> None:
        lines = [] if header is None else [delimiter.join(header)]
        for name, row in zip(ids, SCORES, strict=True):
            cells = [f"{value:.8g}".replace(".", "," if comma else ".") for value in row]
            quoted = f'"{name}"' if delimiter in name or "," in name else name
            lines.append(delimiter.join([quoted, *cells]))
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    return write


def table(**columns: Any) -> pa.Table:
    return pa.table(columns | {name: SCORES[:, place] for place, name in enumerate(CLASSES)})


def lists(kind: pa.DataType) -> pa.Table:
    return pa.table({"video_id": list(IDS), "scores": pa.array(SCORES.tolist(), kind), "fold": ["x"] * 6})


def arrow(path: Path, content: pa.Table, new: Any = ipc.new_file, **options: Any) -> None:
    with new(path, content.schema, **options) as writer:
        writer.write_table(content, max_chunksize=4)


def pickled(content: Any, protocol: int = 4) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(pickle.dumps(content, protocol))


def as_json(content: Any) -> Callable[[Path], Any]:
    return lambda path: path.write_text(json.dumps(content), encoding="utf-8")


def torch_file(content: Any, **options: Any) -> Callable[[Path], Any]:
    return lambda path: torch.save(content, path, **options)


def copied(name: str) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes((DUMPS / name).read_bytes())


TENSOR = torch.from_numpy(SCORES.copy())
BY_CLASS = [dict(zip(CLASSES, row, strict=True)) for row in SCORES.tolist()]
EPIC = [
    {"verb_output": row, "noun_output": torch.zeros(3), "narration_id": name}
    for row, name in zip(TENSOR, IDS, strict=True)
]
EPIC_ARRAYS = {"verb_output": SCORES, "noun_output": SCORES[:, :3], "narration_id": np.array(IDS)}
EPIC_JSON = {
    "version": "0.2",
    "results": {
        name: {"verb": {str(k): v for k, v in enumerate(row)}, "noun": {"0": 1.0}}
        for name, row in zip(IDS, SCORES.tolist(), strict=True)
    },
}
ACTIVITYNET = {
    "version": "VERSION 1.3",
    "results": {
        name: [{"label": label, "score": score} for label, score in sorted(row.items(), key=lambda one: -one[1])]
        for name, row in zip(IDS, BY_CLASS, strict=True)
    },
}
NUMBERED = [str(place) for place in range(5)]
SPLIT = {"columns": list(CLASSES), "index": list(IDS), "data": SCORES.tolist()}

F = ForeignFile
FILES: dict[str, ForeignFile] = {
    "csv, names": F(rows(",", ["id", *CLASSES]), ".csv"),
    "csv, from 0": F(rows(",", ["video", *NUMBERED]), ".csv"),
    "csv, from 1": F(rows(",", ["filename", *(str(k + 1) for k in range(5))]), ".csv"),
    "csv, score_0": F(rows(",", ["clip", *(f"score_{k}" for k in range(5))]), ".csv"),
    "csv, semicolons": F(rows(";", ["id", *CLASSES]), ".csv"),
    "csv, decimal commas": F(rows(";", ["id", *CLASSES], comma=True), ".csv"),
    "csv, tabs": F(rows("\t", ["id", *CLASSES]), ".tsv"),
    "csv, bars": F(rows("|", ["id", *CLASSES]), ".txt"),
    "csv, no header": F(rows(",", None), ".csv"),
    "csv, no header, tabs": F(rows("\t", None), ".txt"),
    "Charades's spaces": F(rows(" ", None, ids=[name.replace(" ", "") for name in IDS]), ".txt"),
    "csv, integer ids": F(rows(",", None, ids=[str(10 + n) for n in range(6)]), ".csv", numbers=True),
    "csv, UTF-16": F(
        lambda path: path.write_text(frame(id=IDS).to_csv(index=False), encoding="utf-16"),
        ".csv",
    ),
    "numpy.savetxt": F(lambda path: np.savetxt(path, SCORES, fmt="%12.8g"), ".txt", ordered=True),
    "numpy.savetxt, commas": F(lambda path: np.savetxt(path, SCORES, delimiter=","), ".csv", ordered=True),
    "pandas csv": F(lambda path: frame(id=IDS).to_csv(path), ".csv"),
    "pandas csv, index": F(lambda path: frame(i=IDS).set_index("i").to_csv(path), ".csv"),
    "pandas csv, index without name": F(
        lambda path: frame(i=IDS).set_index("i").rename_axis(None).to_csv(path), ".csv"
    ),
    "pandas csv, labels": F(lambda path: frame(id=IDS, label=[own[0] for own in LABELS]).to_csv(path), ".csv"),
    "pandas csv, integers": F(
        lambda path: frame(video_id=range(10, 16)).to_csv(path, index=False), ".csv", numbers=True
    ),
    "Parquet": F(lambda path: frame(id=IDS).to_parquet(path), ".parquet"),
    "Parquet, index": F(lambda path: frame(name=IDS).set_index("name").to_parquet(path), ".parquet"),
    "Parquet, index without name": F(lambda path: frame().set_axis(list(IDS)).to_parquet(path), ".parquet"),
    "Parquet, lists": F(lambda path: lists(pa.list_(pa.float64())).to_pandas().to_parquet(path), ".pq"),
    "Feather": F(lambda path: frame(id=IDS).to_feather(path), ".feather"),
    "Feather, uncompressed": F(
        lambda path: feather.write_feather(table(id=list(IDS)), path, compression="uncompressed"), ".feather"
    ),
    "Arrow": F(lambda path: arrow(path, table(id=pa.array(IDS).dictionary_encode())), ".arrow"),
    "Arrow, stream": F(lambda path: arrow(path, table(id=pa.array(IDS, pa.large_binary())), ipc.new_stream), ".arrows"),
    "Arrow, lists, zstd": F(
        lambda path: arrow(path, lists(pa.list_(pa.float32(), 5)), options=ipc.IpcWriteOptions(compression="zstd")),
        ".arrow",
    ),
    "Arrow, large lists": F(lambda path: arrow(path, lists(pa.large_list(pa.float16()))), ".arrow", close=2e-3),
    "json, id to row": F(as_json(dict(zip(IDS, SCORES.tolist(), strict=True))), ".json"),
    "json, id to classes": F(as_json(dict(zip(IDS, BY_CLASS, strict=True))), ".json"),
    "json, objects": F(
        as_json([{"video_id": n, "scores": r} for n, r in zip(IDS, SCORES.tolist(), strict=True)]), ".json"
    ),
    "json, pairs": F(as_json([[n, r] for n, r in zip(IDS, SCORES.tolist(), strict=True)]), ".json"),
    "json lines": F(
        lambda path: path.write_text(
            "\n".join(json.dumps({"id": n} | row) for n, row in zip(IDS, BY_CLASS, strict=True)), encoding="utf-8"
        ),
        ".jsonl",
    ),
    "json, pandas records": F(lambda path: frame(id=IDS).to_json(path, orient="records", double_precision=15), ".json"),
    "json, pandas split": F(as_json(SPLIT), ".json"),
    "json, ActivityNet": F(as_json(ACTIVITYNET), ".json"),
    "json, EPIC hand-in": F(as_json(EPIC_JSON), ".json", hints={"head": "verb"}),
    "npy": F(lambda path: np.save(path, SCORES), ".npy", ordered=True),
    "npy, Fortran, float64": F(
        lambda path: np.save(path, np.asfortranarray(SCORES.astype(">f8"))), ".npy", ordered=True
    ),
    "npy, objects": F(
        lambda path: np.save(path, np.array([{"id": n, "logits": r} for n, r in zip(IDS, SCORES, strict=True)])), ".npy"
    ),
    "npz, text": F(lambda path: np.savez(path, ids=np.array(IDS), scores=SCORES), ".npz"),
    "npz, classes": F(
        lambda path: np.savez(path, ids=IDS, scores=SCORES[:, ORDER], classes=[CLASSES[k] for k in ORDER]), ".npz"
    ),
    "npz, bytes": F(lambda path: np.savez(path, names=[n.encode() for n in IDS], logits=SCORES), ".npz"),
    "npz, objects": F(lambda path: np.savez(path, ids=np.array(IDS, object), preds=SCORES), ".npz"),
    "npz, integers": F(
        lambda path: np.savez_compressed(path, id=np.arange(10, 16), output=SCORES), ".npz", numbers=True
    ),
    "npz, without names": F(lambda path: np.savez(path, SCORES, np.array(IDS)), ".npz"),
    "torch.save, dictionary": F(torch_file({"ids": list(IDS), "logits": TENSOR}), ".pt"),
    "torch.save, tensor": F(torch_file(TENSOR), ".pt", ordered=True),
    "torch.save, bfloat16": F(
        torch_file({"video": IDS, "out": TENSOR.bfloat16()}), ".pt", hints={"scores": "out"}, close=1e-2
    ),
    "torch.save, before 1.6": F(
        torch_file(dict(zip(IDS, TENSOR, strict=True)), _use_new_zipfile_serialization=False), ".pth"
    ),
    "EPIC, list": F(torch_file(EPIC), ".pt", hints={"head": "verb"}),
    "EPIC, pickled list": F(pickled(EPIC, 2), ".pkl", hints={"head": "verb"}),
    "EPIC, arrays": F(pickled(EPIC_ARRAYS), ".pkl", hints={"head": "verb"}),
    "pickle, protocol 0": F(pickled({"ids": list(IDS), "scores": SCORES}, 0), ".pkl"),
    "pickle, protocol 5": F(pickled(dict(zip(IDS, SCORES, strict=True)), 5), ".pkl"),
    "pickle, tensors by id": F(pickled(dict(zip(IDS, TENSOR, strict=True))), ".pickle"),
    "pickle of a DataFrame's values": F(pickled(list(zip(IDS, SCORES.tolist(), strict=True))), ".pkl"),
}
