"""The network family: a small part of the published Networking API, version 2.0, for networks on one machine."""
