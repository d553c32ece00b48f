"""A cluster is accepted only where its nodes fit, so each COE says what they need."""

import pytest

from jeroboam.bootstrap.drivers import list_driver_names, load_coe
from jeroboam.coes.base import CoeSettings, HasRequirements
from jeroboam.domain.clusters import MASTER, WORKER
from jeroboam.kit.clock import SystemClock


@pytest.mark.parametrize("name", [name for name in list_driver_names("coes") if not name.startswith("fake")])
def test_each_coe_says_what_its_nodes_need(name):
    coe = load_coe(name).from_settings(CoeSettings(clock=SystemClock()))
    assert isinstance(coe, HasRequirements)
    assert coe.memory(MASTER) >= coe.memory(WORKER) > 0
    assert coe.disk > 0
