"""The operator's file of limits, read once at the start. Neighbours: `service`; `explain`; `cli`."""

from pathlib import Path

import yaml

from jeroboam.domain.limits import Limit, parse_limits


def read_limits(file: str) -> tuple[Limit, ...]:
    """Return the limits in that YAML file; none if no file is named.

    Raises `ValueError` with one line that names the file, and the limit or the line in it.
    """
    if not file:
        return ()
    try:
        return parse_limits(yaml.safe_load(Path(file).read_text(encoding="utf-8")))
    except OSError as error:
        raise ValueError(f"limits file {file}: {error.strerror or error}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"limits file {file}: {' '.join(str(error).split())}") from error
    except ValueError as error:
        raise ValueError(f"limits file {file}: {error}") from error
