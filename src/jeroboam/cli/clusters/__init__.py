"""The commands of a cluster's user, as clients of the published API. Neighbours: `own_clusters`, what else they need.

They know nothing of the service's insides, which the import contracts hold: against a Magnum they work the same.
"""
