"""The program `jeroboam`, and `python -m jeroboam`.

It imports nothing of ours before it can catch Ctrl-C: the imports take half a second. Neighbour: `jeroboam.cli`.
"""

import os
import sys

_INTERRUPTED = 130
_BROKEN_PIPE = 141


def main() -> None:
    """Run the command line. Ctrl-C ends it with status 130, a reader that has gone away with 141; both say nothing."""
    try:
        try:
            from jeroboam.cli import main as run  # noqa: PLC0415

            run()
        finally:
            # There is none where the caller has closed it.
            if sys.stdout is not None:
                sys.stdout.flush()
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        # Python flushes once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_BROKEN_PIPE)


if __name__ == "__main__":
    main()
