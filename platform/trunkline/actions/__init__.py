"""Writes to a provider: asked for once, done once as far as the provider allows, and told of."""
