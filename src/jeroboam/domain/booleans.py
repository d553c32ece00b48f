"""The words for true and false, the same in fields, arguments and labels, as Magnum and Zun read them."""

TRUE_WORDS = frozenset({"1", "t", "true", "on", "y", "yes"})
FALSE_WORDS = frozenset({"0", "f", "false", "off", "n", "no"})


def read_flag(text: str) -> bool | None:
    """Return the value of the word, in any case and with spaces around it; None if it is neither."""
    word = text.strip().lower()
    if word in TRUE_WORDS:
        return True
    return False if word in FALSE_WORDS else None
