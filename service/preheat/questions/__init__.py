"""Questions about a curve, or about two."""
