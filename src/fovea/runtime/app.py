"""The entry point of every command. Hydra is imported only when a command runs: `--help` answers at once."""

import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from fovea.runtime.errors import FULL_ERROR
from fovea.runtime.help import answer

if TYPE_CHECKING:
    from fovea.runtime.objective import Outcome

Config = dict[str, Any]


def command(
    name: str,
    ended: "Callable[[Config], Outcome | None]" = lambda config: None,
    passed_on: Callable[[Sequence[str]], Sequence[str]] = lambda words: words,
) -> Callable[[Callable[[Config], float | None]], Callable[[], None]]:
    """Make a command of a function of the resolved configuration (`configs/<name>.yaml`).

    The exit status is 0, 1 after one line on stderr, 130 after Ctrl-C, or 128 + N after signal N. A traceback is shown
    only under `HYDRA_FULL_ERROR=1`. Each run first writes the files of `record` into its folder, unless `ended` returns
    the outcome of a run that ended earlier with this configuration. `passed_on` translates the command line for Hydra.
    """

    def decorate(run: Callable[[Config], float | None]) -> Callable[[], None]:
        def start() -> None:
            if text := answer(name, sys.argv[1:]):
                print(text)
                return
            from fovea.runtime.job import Command

            sys.argv[1:] = passed_on(sys.argv[1:])
            Command(name, run, ended).start()

        return partial(end_in_one_line, name, start)

    return decorate


def end_in_one_line(name: str, start: Callable[[], None]) -> None:
    """Call `start`; end with the exit status of the command, after one line if it failed."""
    # A command under nohup ignores SIGHUP.
    handled = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
    for number in handled:
        signal.signal(number, interrupt)
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network on import
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_MININTERVAL", "30")  # seconds between two states of a bar: in a file each one stays
    try:
        start()
    except KeyboardInterrupt as error:
        by = signal.Signals.__members__.get(str(error), signal.SIGINT)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C would print a traceback of what ends
        sent = f" by {error}" if by != signal.SIGINT else ""
        from fovea.runtime.processes import first

        if first():  # of the processes of a training
            print("; ".join([f"fovea-{name}: interrupted{sent}", *getattr(error, "__notes__", [])]), file=sys.stderr)
        sys.exit(128 + by)
    except Exception as error:
        if os.environ.get(FULL_ERROR, "0") not in ("", "0"):
            raise
        from fovea.runtime.one_line import one_line

        print(f"fovea-{name}: {one_line(error)}", file=sys.stderr)
        sys.exit(1)
    finally:
        logging.disable(logging.NOTSET)
        for number in handled:
            signal.signal(number, signal.SIG_DFL)


def interrupt(number: int, frame: object) -> NoReturn:
    """End like after Ctrl-C, so that nothing is left half-written; the handler of a signal."""
    ignore_further()
    raise KeyboardInterrupt(signal.Signals(number).name)


def ignore_further() -> None:
    """Let no further signal disturb a command that ends by one."""
    for each in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(each) is interrupt:
            signal.signal(each, lambda *_: None)  # SIG_IGN makes Python print an error for one that is on its way
