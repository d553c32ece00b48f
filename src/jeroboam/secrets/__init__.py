"""How secrets are sealed at rest."""
