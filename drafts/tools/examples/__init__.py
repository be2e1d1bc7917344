"""Makes `drafts/examples/`: what happens in them, and how their texts show it."""
