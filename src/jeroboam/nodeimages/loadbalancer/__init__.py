"""The image that load balancers boot from: HAProxy in a container that is no machine.

What it promises to a COE: the script's commands run under an init that reaps, as root without further rights;
`/usr/sbin/haproxy` is Debian's, and `nobody` a user that it can become.
"""

from jeroboam.nodeimages.host import ENTRY, ImageRecipe, shipped


def recipe() -> ImageRecipe:
    """The recipe as it was shipped."""
    return shipped(__package__, {"entry.sh": ENTRY})
