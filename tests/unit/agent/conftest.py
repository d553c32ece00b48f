import pytest

from tests.agent_rig import MAKE, Rig, capsule
from tests.encoded_session import SESSIONS


@pytest.fixture(params=SESSIONS)
async def rig(tmp_path, request):
    made = Rig(tmp_path, SESSIONS[request.param])
    yield made
    await made.kill()


@pytest.fixture
async def made(rig: Rig):
    """Makes a capsule of that spec and returns the rig."""

    async def make(**spec) -> Rig:
        await rig.start()
        await rig.assign(capsule(MAKE, **spec))
        return rig

    return make
