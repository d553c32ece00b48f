"""The volume family: a part of the published Block Storage API, version 3, for the volumes of the embedded service."""
