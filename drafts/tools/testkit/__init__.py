"""Makes the cases of `drafts/vectors/`, and runs them through this project's responder and client."""
