"""The `nmt` command as a program: `nmt`, or `python -m nmt_cli`."""

import gc
import os
import signal
import sys

_LOADING = "loading nmt"


def main() -> None:
    """Run the command; until it is loaded, an interrupt ends the process at once and in silence, as a shell expects."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell's background jobs ignore it
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # a person sees within a blink that something happens; a shell that asks for completions does not
    seen = sys.stderr is not None and sys.stderr.isatty() and "_NMT_COMPLETE" not in os.environ
    if seen:
        _write(_LOADING)
    gc.disable()  # what modules make stays: `loading` says more
    from nmt_cli.main import app

    gc.freeze()
    gc.enable()
    if seen:
        _write(" " * len(_LOADING))
    try:
        app(prog_name="nmt")
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if callable(signal.getsignal(number)):  # Python, which is about to end, would complain of an interrupt
                signal.signal(number, signal.SIG_DFL)


def _write(text: str) -> None:
    sys.stderr.write(f"{text}\r")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
