"""Jeroboam: containers, and clusters that run containers, as cloud resources."""
