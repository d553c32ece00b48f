"""What can go wrong, in two families.

`Refused` is what a caller did: the API turns each kind into one 4xx. `DriverError` is what the outside world
did: the loop, never the driver, decides whether to try again. Anything else that is raised is a bug of ours.
"""


class Refused(Exception):
    """A request that cannot be granted. `detail` is shown to the caller; it holds no secret."""

    status = 400
    code = "invalid"

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field


class Invalid(Refused):
    """Bad input. The detail names the field and the reason."""

    code = "invalid-value"


_SHOWN = 80


def describe_bad_value(field: str, value: object, reason: str) -> str:
    """Field, value and rule in one sentence: clients show no more than the first."""
    text = str(list(value) if isinstance(value, tuple) else value)
    if len(text) > _SHOWN:
        text = f"{text[:_SHOWN]}..."
    return f"Invalid input for field '{field}', value '{text}': {reason}"


class BadValue(Invalid):
    """A field whose value breaks its rule."""

    def __init__(self, field: str, value: object, reason: str) -> None:
        super().__init__(describe_bad_value(field, value, reason), field=field)


def bad_label(name: str, value: str, reason: str) -> BadValue:
    """The refusal of that label of a cluster or a template."""
    return BadValue(f"labels/{name}", value, reason)


class NotFound(Refused):
    """No such object in the caller's sight."""

    status = 404
    code = "not-found"


class Forbidden(Refused):
    """Policy says no."""

    status = 403
    code = "policy-not-authorized"


class OverQuota(Refused):
    """A project's limit is reached."""

    status = 403
    code = "over-quota"


class Conflict(Refused):
    """The object's state, or another object, forbids it now."""

    status = 409
    code = "conflict"


class Unavailable(Refused):
    """A part that the answer needs (an agent, Keystone) cannot be reached now."""

    status = 503
    code = "unavailable"


class UnreadableRow(Unavailable):
    """What is stored of an object cannot be read: nobody can tell what it is until the operator repairs it."""

    code = "broken-row"


class NotImplementedHere(Refused):
    """The published API has it, and this service does not do it."""

    status = 501
    code = "not-offered"


class DriverError(Exception):
    """The outside world failed. `reason` is fit for a user's eyes: what failed, where, and what the other side said."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Temporary(DriverError):
    """Worth another try: a time-out, a refused connection, a busy engine."""


class Permanent(DriverError):
    """Trying again with the same wish cannot help: no such image, a malformed request, a full quota."""
