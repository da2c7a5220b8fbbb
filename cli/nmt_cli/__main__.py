"""The `nmt` command as a program: `nmt`, or `python -m nmt_cli`."""

import atexit
import gc
import signal


def main() -> None:
    """Run the command; until it is loaded, an interrupt ends the process at once and in silence, as a shell expects."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell's background jobs ignore it
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.disable()  # until a command runs: what modules make stays
    atexit.register(gc.freeze)  # or Python would search all of torch for garbage before the process ends
    from nmt_cli.main import app

    app(prog_name="nmt")


if __name__ == "__main__":
    main()
