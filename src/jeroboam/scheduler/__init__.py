"""A pure function: hosts and wants in, placements or an explanation out."""
