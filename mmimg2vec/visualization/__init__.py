"""Features as colors."""
