"""The API of 2015 (Kilo and Liberty), as views of today's objects: a bay is a cluster, a baymodel a template.

Contract: container-infra, section 15. `routes` is what the family adds to its table; there is one module a resource.
No microversion hides or changes anything here. What both share is done by the modules of today's objects, so an object
that one of them made is the other's too.
"""
