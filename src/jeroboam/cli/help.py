"""The form of help texts: plain text, commands in the order of use and in sections.

Neighbours: `jeroboam.cli`, which names sections and their order.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from typer.core import TyperCommand, TyperGroup

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 80}
"""Settings that commands inherit from the one above them."""
_NO_LIMIT = 1000
"""Characters of a sentence: on a narrow terminal it has several lines, and is not cut."""
_NEGATIVE = re.compile(r"-\d+")
_BRACES = re.compile(r"^\{(.*)\}")


def drop_separator(words: Sequence[str]) -> list[str]:
    """Return the words of a command without a leading `--`, which `kubectl exec` has and some write here too."""
    return list(words[1:] if words[:1] in (["--"], ("--",)) else words)


class UserCommand(TyperCommand):
    """A command whose help names arguments as users type them, and no types of Python."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words of the command line."""
        words = tuple(args)
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            # Typer has click inside under a private name, so the class of the error cannot be imported.
            name = getattr(error, "option_name", None) or ""
            if _NEGATIVE.fullmatch(name) and hasattr(error, "possibilities"):
                negative = next((word for word in words if word.startswith(name)), name)
                error.message, error.possibilities = f"{negative}: a number of 0 or more is expected", []  # type: ignore[attr-defined]
            raise

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the parts of the line `Usage:`."""
        return [_BRACES.sub(r"\1", piece).upper() for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments and the options."""
        parameters = self.get_params(ctx)
        arguments = [
            (str(param.metavar or param.name).upper(), str(getattr(param, "help", "") or ""))
            for param in parameters
            if param.param_type_name == "argument"
        ]
        options = [param.get_help_record(ctx) for param in parameters if param.param_type_name == "option"]
        for title, records in (("Arguments", arguments), ("Options", options)):
            if records:
                with formatter.section(title):
                    formatter.write_dl([record for record in records if record])


class SectionedGroup(TyperGroup):
    """A group whose help has its commands in sections, and those of no section at the end."""

    sections: ClassVar[Mapping[str, Sequence[str]]] = {}

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands in the order of the sections."""
        names = [name for section in self.sections.values() for name in section]
        return names + [name for name in super().list_commands(ctx) if name not in names]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the sections, with all texts in one column."""
        names = self.list_commands(ctx)
        width = max(map(len, names))
        in_sections = {name for section in self.sections.values() for name in section}
        sections = {**self.sections, "More": [name for name in names if name not in in_sections]}
        for title, members in sections.items():
            commands = [(name.ljust(width), self.get_command(ctx, name)) for name in members]
            if commands:
                with formatter.section(title):
                    formatter.write_dl(
                        [(name, command.get_short_help_str(_NO_LIMIT)) for name, command in commands if command]
                    )


def build_group(sections: Mapping[str, Sequence[str]]) -> type[SectionedGroup]:
    """Return a group with these sections: titles, and names of commands."""
    return type("SectionedGroup", (SectionedGroup,), {"sections": sections})
