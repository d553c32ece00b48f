"""The image that load balancers boot from: HAProxy in a plain container.

What it guarantees to a COE: the script's commands run under an init that reaps orphans, as root without further
privileges; `/usr/sbin/haproxy` is Debian's, and it can switch to the user `nobody`.
"""

from jeroboam.nodeimages.host import ENTRY, ImageRecipe, load_recipe


def build_recipe() -> ImageRecipe:
    """Return the recipe of this package."""
    return load_recipe(__package__, {"entry.sh": ENTRY})
