"""Controllers: one per journey; the only place where panels meet the session."""
