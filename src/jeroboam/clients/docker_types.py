"""The names of the Engine's client library that drivers use.

Only `clients` imports the library: drivers take its objects from here. Neighbour: `docker`, which has the client.
"""

from aiodocker import DockerError
from aiodocker.containers import DockerContainer
from aiodocker.networks import DockerNetwork
from aiodocker.types import JSONValue
from aiodocker.volumes import DockerVolume

__all__ = ["DockerContainer", "DockerError", "DockerNetwork", "DockerVolume", "JSONValue"]
