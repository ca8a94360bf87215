"""Opening any published checkpoint safely and recognising what it is."""
