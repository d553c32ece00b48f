"""Manifests as anybody may write them: what is taken, and what each refusal says."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jeroboam.api.bays.manifest_reader import MOST_OCTETS, name_of, read_manifest
from jeroboam.domain.bay_manifests import BayManifestKind, build_facts
from jeroboam.domain.errors import Invalid

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: []}\n"


def refusal(text: str, kind: BayManifestKind = BayManifestKind.POD) -> str:
    with pytest.raises(Invalid) as caught:
        read_manifest(kind, text)
    assert caught.value.field == "manifest"
    return caught.value.detail


@pytest.mark.parametrize(
    "text",
    [
        POD,
        json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": []}}),
        '{"apiVersion":\t"v1", "kind": "Pod",\n\t"metadata": {"name": "x"}, "spec": {"containers": []}}',
        "{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {containers: []}}",
        f"---\n{POD}...\n",
        f"\ufeff# a comment\n{POD}",
        f"{POD}status: {{phase: Running}}\n",
    ],
)
def test_ways_to_write_it(text):
    found = read_manifest(BayManifestKind.POD, text)
    assert found == {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": []}}
    assert name_of(found) == "x"


def test_a_date_stays_the_text_that_it_is():
    found = read_manifest(BayManifestKind.POD, POD.replace("{name: x}", "{name: x, labels: {day: 2015-04-30}}"))
    assert found["metadata"]["labels"] == {"day": "2015-04-30"}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "has to be an object"),
        ("[]", "has to be an object"),
        ("a: b: c", "not YAML: mapping values are not allowed"),
        ("a: [", "in line"),
        ("\t", "not YAML"),
        ('{"a": ', "not YAML"),
        ("'", "not YAML"),
        (POD + "\0", "not YAML"),
        ("a: \ud800", "neither JSON nor plain YAML"),
        ("a: &a [1]\nb: *a", "an alias"),
        ("a: &a {b: c}\nd: {<<: *a}", "an alias"),
        (POD + "---\n" + POD, "more than one document"),
        ("[" * 5000, "nested too deeply"),
        ("- " * 3000, "nested too deeply"),
        ('{"a":' * 5000, "nested too deeply"),
        ('{"a":' * 60 + "1" + "}" * 60, "nested too deeply"),
        ("x" * (MOST_OCTETS + 1), "more than 65536 octets"),
        ("é" * (MOST_OCTETS // 2 + 1), "more than 65536 octets"),
        ("a: !!python/object:os.system x", "not YAML"),
        ("a: !!binary aGk=", "JSON does not support"),
        ("a: !!set {b}", "JSON does not support"),
        ("a: !!timestamp 2015-04-30", "JSON does not support"),
        ("a: .inf", "a number that is not finite"),
        ('{"a": NaN}', "a number that is not finite"),
        ("a: 0x" + "f" * 30, "too large"),
        ("a: " + "1" * 5000, "neither JSON nor plain YAML"),
        ('a: "\\0"', "a character that is not allowed"),
        ('{"a": "\\ud800"}', "a character that is not allowed"),
        ("1: a", "a key has to be a string"),
        ("? [a]\n: b", "not YAML"),
        (POD.replace("Pod", "Deployment"), "its kind is 'Deployment', and has to be Pod"),
        (POD.replace("kind: Pod\n", ""), "its kind is missing"),
        (POD.replace("kind: Pod", "kind: [Pod]"), "its kind is"),
        (POD.replace("v1", "v1beta3"), "its apiVersion is 'v1beta3', and has to be v1"),
        (POD.replace("spec: {containers: []}", ""), "its spec has to be an object"),
        (POD.replace("{name: x}", "{}"), "Field metadata['name'] can't be empty in manifest."),
        (POD.replace("metadata: {name: x}\n", ""), "Field metadata['name'] can't be empty in manifest."),
        (POD.replace("{name: x}", "[x]"), "its metadata has to be an object"),
        (POD.replace("{name: x}", "{name: [x]}"), "is not a valid name"),
        (POD.replace("{name: x}", "{name: 5}"), "is not a valid name"),
        (POD.replace("{name: x}", "{name: X}"), "is not a valid name"),
        (POD.replace("{name: x}", "{name: ../../x}"), "is not a valid name"),
        (POD.replace("{name: x}", '{name: "x\\n"}'), "is not a valid name"),
        (POD.replace("{name: x}", "{name: " + "x" * 254 + "}"), "is not a valid name"),
        (POD.replace("{name: x}", "{name: detail}"), "a word of the API's paths"),
        (POD.replace("{name: x}", "{name: x, namespace: kube-system}"), "has to be default"),
        (POD.replace("{name: x}", "{name: x, uid: y}"), "metadata.uid cannot be set by users"),
        (POD.replace("{name: x}", "{name: x, ownerReferences: []}"), "cannot be set by users"),
        (POD.replace("{name: x}", "{name: x, labels: [a]}"), "metadata.labels has to be an object of strings"),
        (POD.replace("{name: x}", "{name: x, labels: {a: 1}}"), "metadata.labels has to be an object of strings"),
        (POD.replace("{name: x}", "{name: x, labels: {jeroboam.io/workload: a}}"), "the service's own"),
        (
            POD.replace("{containers: []}", "{template: {metadata: {labels: {jeroboam.io/workload: a}}}}"),
            "spec.template.metadata.labels must not",
        ),
        (POD.replace("{name: x}", "{name: x, annotations: {jeroboam.io/given: a}}"), "metadata.annotations must not"),
        (
            POD.replace("{containers: []}", "{template: {metadata: {annotations: {Jeroboam.io/x: a}}}}"),
            "spec.template.metadata.annotations must not",
        ),
        (POD.replace("{containers: []}", "{selector: {jeroboam.io/workload: a}}"), "spec.selector must not"),
        (
            POD.replace("{containers: []}", "{a: [{selector: {matchLabels: {x.jeroboam.io/y: a}}}]}"),
            "spec.a.0.selector.matchLabels must not",
        ),
    ],
)
def test_what_is_not_taken(text, word):
    assert word in refusal(text)


def test_a_service_has_a_shorter_name():
    text = POD.replace("Pod", "Service").replace("name: x", "name: " + "x" * 64)
    assert "at most 63" in refusal(text, BayManifestKind.SERVICE)


def test_nothing_large_is_made_of_something_small():
    levels = ["a: &a [x, x, x, x, x, x, x, x, x]"] + [
        f"{name}: &{name} [{', '.join([f'*{former}'] * 9)}]"
        for former, name in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    assert "an alias" in refusal("\n".join(levels))


@given(st.text())
def test_no_text_is_a_bug(text):
    refusal(text)


@given(st.text(alphabet="{}[]:,-&*!|>'\"%@`#?~ \n\tab1.<", max_size=60))
def test_no_punctuation_is_a_bug(text):
    refusal(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
KEYS = [
    "containers",
    "template",
    "metadata",
    "labels",
    "spec",
    "selector",
    "ports",
    "clusterIP",
    "replicas",
    "nodeName",
]
ODD = st.dictionaries(
    st.sampled_from(KEYS), JSON | st.dictionaries(st.sampled_from(KEYS), JSON, max_size=3), max_size=4
)


@given(kind=st.sampled_from(BayManifestKind), spec=ODD, labels=JSON)
def test_no_form_is_too_odd_to_be_shown(kind, spec, labels):
    build_facts(kind, {"metadata": {"labels": labels}, "spec": spec})
    build_facts(kind, spec)


@pytest.mark.parametrize(
    "value", ["!!timestamp x", '!!timestamp ""', "!!bool x", "!!bool 1", '!!int ""', '!!float ""', "!!int .", "!!set x"]
)
def test_a_value_that_is_not_of_the_type_of_its_tag(value):
    with pytest.raises(Invalid, match="manifest"):
        read_manifest(BayManifestKind.POD, f"apiVersion: v1\nkind: Pod\nspec: {{a: {value}}}\nmetadata: {{name: a}}\n")
