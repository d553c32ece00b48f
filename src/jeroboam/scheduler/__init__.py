"""The scheduler, a pure function from hosts and requests to placements or explanations."""
