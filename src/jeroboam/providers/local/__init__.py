"""The provider `local`: nodes are containers on a Docker Engine."""
