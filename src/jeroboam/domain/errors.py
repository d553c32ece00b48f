"""The errors of the service, in two families.

`Refused` is for requests: the API turns each kind into one 4xx. `DriverError` is for the outside world: the loop, never
the driver, decides whether to try again. Any other exception is a bug of ours.
"""


class Refused(Exception):
    """A request that is refused. `detail` is shown to the caller; it holds no secret."""

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
    """Return field, value and rule in one sentence: clients show only the first one."""
    text = _format_value(value)
    if len(text) > _SHOWN:
        text = f"{text[:_SHOWN]}..."
    return f"Invalid input for field '{field}', value '{text}': {reason}"


def _format_value(value: object) -> str:
    """Return the value as JSON writes it, as far as that differs for a scalar."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer():
            return f"{value:.15g}"
        case tuple():
            return str(list(value))
    return str(value)


class BadValue(Invalid):
    """A field whose value breaks its rule."""

    def __init__(self, field: str, value: object, reason: str) -> None:
        super().__init__(describe_bad_value(field, value, reason), field=field)


def bad_label(name: str, value: str, reason: str) -> BadValue:
    """Return the error for that label of a cluster or a template."""
    return BadValue(f"labels/{name}", value, reason)


class NotFound(Refused):
    """There is no such object that the caller may see."""

    status = 404
    code = "not-found"


class Forbidden(Refused):
    """The policy forbids it."""

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
    """A part that is needed for the answer (an agent, Keystone) cannot be reached now."""

    status = 503
    code = "unavailable"


class UnreadableRow(Unavailable):
    """The stored object cannot be read until the operator repairs it."""

    code = "broken-row"


class TooManyRequests(Refused):
    """The project has too many requests or sessions under way."""

    status = 429
    code = "too-many-requests"


class NotImplementedHere(Refused):
    """The published API has it, but this service does not support it."""

    status = 501
    code = "not-offered"


class DriverError(Exception):
    """The outside world failed. `reason` is for users: what failed, where, and what the other side answered."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Temporary(DriverError):
    """Worth another try: a time-out, a refused connection, a busy engine."""


class Permanent(DriverError):
    """Another try with the same wish cannot help: no such image, a malformed request, a full quota."""
