"""A Python that is ready at once: a server imports the heavy libraries, and forks for each command.

`warm.py serve SOCKET` is the server. `warm.py run SOCKET -m MODULE ARGUMENTS` stands for `python -m MODULE ARGUMENTS`:
it passes on its environment, folder, open files and signals, and ends as the forked process does. Killed, it takes that
process along.
"""

import gc
import json
import logging
import os
import selectors
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


def start(folder: Path) -> tuple[subprocess.Popen[bytes], Path]:
    """Start a server that ends with this process, or when its input is closed; return it and its `python`."""
    path = folder / "socket"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NO_ALBUMENTATIONS_UPDATE": "1"}
    server = subprocess.Popen([sys.executable, __file__, "serve", path], stdin=subprocess.PIPE, env=environment)
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "{__file__}" run "{path}" "$@"\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    return server, python


def run(path: str, arguments: list[str]) -> None:
    """Have the server run a module, and end with its exit status."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        for number in SIGNALS:
            signal.signal(number, lambda received, frame: connection.sendall(bytes([received])))
        python = str(Path(path).with_name("python"))
        request = {"arguments": arguments, "environment": dict(os.environ), "folder": str(Path.cwd()), "python": python}
        content = json.dumps(request).encode()
        socket.send_fds(connection, [len(content).to_bytes(4, "big")], [0, 1, 2])
        connection.sendall(content)
        status = int(connection.recv(16) or b"70")
    if status < 0:
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


def serve(path: str) -> tuple[dict, list[int]]:
    """Answer requests for ever; return one, with its open files, in the process that is forked for it."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    running: dict[socket.socket, int] = {}  # process of each connection
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                connection = listener.accept()[0]
                length, files, *_ = socket.recv_fds(connection, 4, 3)
                content = b""
                while len(content) < int.from_bytes(length, "big"):
                    content += connection.recv(65536)
                import_heavy_libraries()
                if (process := os.fork()) == 0:
                    return json.loads(content), files
                for file in files:
                    os.close(file)
                running[connection] = process
                selector.register(connection, selectors.EVENT_READ)
                selector.register(os.pidfd_open(process), selectors.EVENT_READ, connection)
            elif key.fileobj is sys.stdin:
                for process in running.values():
                    os.kill(process, signal.SIGKILL)
                sys.exit()
            elif isinstance(key.fileobj, int):  # a process that ended
                _, status = os.waitpid(running.pop(key.data), 0)
                selector.unregister(key.fileobj)
                os.close(key.fileobj)
                try:
                    selector.unregister(key.data)
                    key.data.sendall(b"%d" % os.waitstatus_to_exitcode(status))
                except (KeyError, OSError):  # its client was killed
                    pass
                key.data.close()
            elif (connection := key.fileobj) in running:
                received = connection.recv(1)
                os.kill(running[connection], received[0] if received else signal.SIGKILL)
                if not received:
                    selector.unregister(connection)


def import_heavy_libraries() -> None:
    """Import what commands import; a fork is safe as long as that starts no thread."""
    gc.disable()
    handler = logging.NullHandler()
    logging.root.addHandler(handler)  # as Hydra does before; else Lightning adds a handler of its own
    import fovea.data.images.source
    import fovea.engine.train
    import fovea.models.basic_unet  # noqa: F401

    logging.root.removeHandler(handler)
    gc.enable()
    threads = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    assert len(threads) == 1 + threads.count("jemalloc_bg_thd"), threads  # PyArrow's allocator has one, safe in a fork


def become(request: dict, files: list[int]) -> None:
    """Run a module as `python -m` would."""
    import random
    import runpy

    import numpy as np
    from lightning_fabric.utilities.rank_zero import _get_rank, rank_zero_only

    for number, file in enumerate(files):
        os.dup2(file, number)
    os.closerange(3, 1024)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    rank_zero_only.rank = _get_rank() or 0  # Lightning reads it from the environment when it is imported
    random.seed()
    np.random.seed()
    flag, module, *arguments = request["arguments"]
    assert flag == "-m", flag
    more = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [request["folder"], *(path for path in more if path not in sys.path)]
    sys.executable = request["python"]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    if sys.argv[1] == "run":
        run(sys.argv[2], sys.argv[3:])
    become(*serve(sys.argv[2]))
