"""A Bayeux client."""
