"""Read an offline run of Weights & Biases; the library itself (0.31) has no reader in Python."""

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEADER, BLOCK = 7, 32768  # LevelDB's log format: a file header, then blocks of chunks with a header of 7 bytes each


def records(path: Path) -> Iterator[Any]:
    """Yield the records of a file; a long record is cut into chunks."""
    from wandb.proto.wandb_internal_pb2 import Record  # imports W&B: seconds, in each process that collects tests

    content, place, record = path.read_bytes(), HEADER, b""
    while place + 7 <= len(content):
        if (left := BLOCK - place % BLOCK) < 7:  # too short for the header of a chunk
            place += left
            continue
        _, length, part = struct.unpack("<IHB", content[place : place + 7])
        record += content[place + 7 : place + 7 + length]
        place += 7 + length
        if part in (1, 4):  # a whole record, or its last part
            yield Record.FromString(record)
            record = b""


def read(run: Path) -> dict[str, Any]:
    """Return what the one offline run in a run folder holds, once W&B's own process has written its end."""
    [path] = (run / "wandb").glob("offline-run-*/run-*.wandb")
    for _ in range(100):
        found = {name: [] for name in ("run", "config", "history", "summary", "files", "artifact", "exit")}
        for record in records(path):
            name = record.WhichOneof("record_type")
            found.setdefault(name, []).append(getattr(record, name))
        if found["exit"]:
            break
        time.sleep(0.1)
    first = found["run"][0]
    configs = [run.config for run in found["run"]] + found["config"]
    return {
        **{name: getattr(first, name) for name in ("run_id", "run_group", "job_type", "sweep_id")},
        "tags": list(first.tags),
        "config": {key: value for config in configs for key, value in _values(config.update).items()},
        "history": [_values(row.item) for row in found["history"]],
        "summary": {key: value for row in found["summary"] for key, value in _values(row.update).items()},
        "files": [file.path for row in found["files"] for file in row.files],
        "artifacts": found["artifact"],
        "exit": found["exit"][-1].exit_code if found["exit"] else None,
    }


def _values(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}
