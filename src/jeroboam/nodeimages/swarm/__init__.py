"""The Swarm node image: a Docker Engine that thinks it has a machine of its own.

Assembled from the engine of this host, so that it needs no registry. The recipe and the entry script beside this file
are data.
"""

from jeroboam.nodeimages.host import ENTRY, ImageRecipe, shipped


def recipe() -> ImageRecipe:
    """The recipe as it was shipped."""
    return shipped(__package__, {"entry.sh": ENTRY})
