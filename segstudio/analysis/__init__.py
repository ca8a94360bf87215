"""Why a model failed: where the wrong pixels lie, how they hang together, how sure it was."""
