"""Sends thousands of requests to the application in process and reports wrong answers; `make fuzz`.

Twenty thousand go to the container-infra family, spread over all its versions, and a fifth of that to the container
family. Neighbour: `tests/api/fuzz.py`, which creates the requests and checks the answers.
"""

import asyncio
import logging
import pathlib
import sys
import tempfile
import time

import structlog
from schemathesis import GenerationMode
from tests.api.fuzz import Range, versions_of


def main(count: int = 20_000) -> int:
    """Send the requests and print the result. Return 1 if any answer was not as documented."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    started = time.monotonic()
    with asyncio.Runner() as runner, tempfile.TemporaryDirectory(prefix="jeroboam-fuzz-") as folder:
        target = Range(pathlib.Path(folder) / "store.db", runner.run)
        for family, share in (("container-infra", count), ("container", count // 5)):
            versions = versions_of(family)
            each = -(-share // (2 * len(versions)))
            for number, version in enumerate(versions):
                for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                    target.shoot(family, version, mode, each, seed=number)
                print(version, target.totals(version), flush=True)
            seen = target.totals(family)
            print(f"{family}: {sum(seen.values())} requests over {len(versions)} versions: {seen}")
        target.close()
    for (operation, kind), text in target.breaches.items():
        print(f"\n{operation}: {kind}\n{text}")
    print(f"{len(target.breaches)} kinds of breaches, {time.monotonic() - started:.0f} s")
    return 1 if target.breaches else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
