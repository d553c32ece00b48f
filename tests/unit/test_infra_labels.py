"""The labels that a provider reads: what counts as a value, and what is refused by name."""

import pytest

from jeroboam.domain import infra_labels
from jeroboam.domain.errors import Invalid
from jeroboam.domain.field_effects import INFRA_LABELS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("boot_volume_size", "big"),
        ("boot_volume_size", "-1"),
        ("etcd_volume_size", "1.5"),
        ("etcd_volume_size", "1" * 10),
        ("fixed_subnet_cidr", "10.0.0.1/24"),
        ("fixed_subnet_cidr", "10.0.0.0"),
        ("master_lb_floating_ip_enabled", "maybe"),
        ("master_lb_allowed_cidrs", "10.0.0.0/8,everybody"),
        ("octavia_lb_algorithm", "RANDOM"),
        ("octavia_lb_healthcheck", "perhaps"),
    ],
)
def test_a_value_that_cannot_be_is_refused_and_counts_as_absent(name, value):
    with pytest.raises(Invalid, match=f"labels/{name}") as refused:
        infra_labels.check_label(name, value)
    assert refused.value.field == f"labels/{name}"
    labels = {name: value}
    assert infra_labels.read_size(labels, name) is None
    assert infra_labels.read_text(labels, name) is None
    assert infra_labels.read_choice(labels, name, default=True) is True


@pytest.mark.parametrize("value", ["everybody", "10.0.0.0/8,everybody", "10.0.0.0/8,", ",", " ", "10.0.0.1/8"])
def test_a_list_of_networks_that_is_not_valid_never_counts_as_everybody(value):
    with pytest.raises(Invalid) as refused:
        infra_labels.read_cidrs({"a": value}, "a")
    assert refused.value.field == "labels/a"
    assert refused.value.detail.endswith("it has to be a comma separated list of IPv4 networks.")
    assert infra_labels.read_cidrs({"a": ""}, "a") == infra_labels.read_cidrs({}, "a") == ()


@pytest.mark.parametrize("name", INFRA_LABELS)
def test_an_empty_value_asks_for_nothing(name):
    infra_labels.check_label(name, "")
    assert infra_labels.read_text({name: ""}, name) is None
    assert infra_labels.read_text({}, name) is None


def test_values_are_read():
    assert infra_labels.read_size({"boot_volume_size": "20"}, "boot_volume_size") == 20
    assert infra_labels.read_size({"boot_volume_size": "0"}, "boot_volume_size") is None
    assert infra_labels.read_cidrs({"a": "10.0.0.0/8, 192.0.2.0/24"}, "a") == ("10.0.0.0/8", "192.0.2.0/24")
    assert infra_labels.read_choice({"a": "No"}, "a", default=True) is False
