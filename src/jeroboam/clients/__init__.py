"""The only code that talks to other systems: one module for each system."""
