"""The API of 2015 (Kilo and Liberty), as views of today's objects: a bay is a cluster, a baymodel is a template.

Contract: container-infra, section 15. `routes` is what the family adds to its table; each resource has one module. No
microversion hides or changes anything here. The modules of today's objects do the work, so an object that was created
through one API is visible in the other.
"""
