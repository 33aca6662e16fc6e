"""A load test of one's own deployments, or of a fake cloud in their place, through the real Router."""
