"""The driver `local`: networks on one machine, with security groups as rules of its packet filter."""
