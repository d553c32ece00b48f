"""The Swarm node image: a Docker Engine in a container that behaves like a machine.

It is built from the engine of this host, so it needs no registry. The recipe and the entry script are package data.
"""

from jeroboam.nodeimages.host import ENTRY, ImageRecipe, load_recipe


def build_recipe() -> ImageRecipe:
    """Return the recipe of this package."""
    return load_recipe(__package__, {"entry.sh": ENTRY})
