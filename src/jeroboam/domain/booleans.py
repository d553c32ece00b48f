"""Which words mean yes and which mean no: the same in fields, arguments and labels, as both peers read them."""

TRUE_WORDS = frozenset({"1", "t", "true", "on", "y", "yes"})
FALSE_WORDS = frozenset({"0", "f", "false", "off", "n", "no"})


def read_flag(text: str) -> bool | None:
    """What that word means, in any case and with spaces around it; None where it means neither."""
    word = text.strip().lower()
    if word in TRUE_WORDS:
        return True
    return False if word in FALSE_WORDS else None
