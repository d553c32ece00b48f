import pytest

from tests.agent_rig import Rig
from tests.encoded_session import SESSIONS


@pytest.fixture(params=SESSIONS)
async def rig(tmp_path, request):
    made = Rig(tmp_path, SESSIONS[request.param])
    yield made
    await made.kill()
