"""Who asks: tokens checked against Keystone, and a Keystone of our own where there is none."""
