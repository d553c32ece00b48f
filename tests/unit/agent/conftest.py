import pytest

from tests.agent_rig import Rig


@pytest.fixture
async def rig(tmp_path):
    made = Rig(tmp_path)
    yield made
    await made.kill()
