"""Views that are compiled from the rows of a table."""

from types import SimpleNamespace
from typing import get_type_hints

import pytest

from jeroboam.api.field_table import Field, build_shape, compile_view

SHOWN = SimpleNamespace(uuid="u", spec=SimpleNamespace(size=3, tag=None), observed=SimpleNamespace(address="a"))
CONTEXT = SimpleNamespace(base="http://cloud")
FIELDS = (
    Field(name="uuid", type=str, show="uuid"),
    Field(name="volume", type=int, attribute="size"),
    Field(name="secret"),
    Field(name="url", type=str, show=lambda shown, context: f"{context.base}/{shown.uuid}"),
    Field(name="address", type=str, show="observed.address"),
    Field(name="root", type=str, show="context.base"),
    Field(name="tag", type=str | None),
)


def test_a_view_has_the_shown_rows_in_their_order():
    assert list(compile_view(FIELDS)(SHOWN, CONTEXT).items()) == [
        ("uuid", "u"),
        ("volume", 3),
        ("url", "http://cloud/u"),
        ("address", "a"),
        ("root", "http://cloud"),
        ("tag", None),
    ]


def test_each_view_is_a_dictionary_of_its_own():
    view = compile_view(FIELDS)
    view(SHOWN, CONTEXT).clear()
    assert view(SHOWN, CONTEXT)["uuid"] == "u"


@pytest.mark.parametrize("path", ["uuid()", "", "spec.", "a b", "__import__('os')"])
def test_only_attributes_are_compiled(path):
    with pytest.raises(ValueError, match="is no attribute"):
        compile_view([Field(name="bad", type=str, show=path)])


def test_a_shape_has_the_types_of_what_the_view_shows():
    shape = build_shape("Shape", "What is shown.", FIELDS, links=list[str])
    shown = set(compile_view(FIELDS)(SHOWN, CONTEXT))
    assert set(get_type_hints(shape)) == shown | {"links"}
    assert (shape.__name__, shape.__doc__) == ("Shape", "What is shown.")
