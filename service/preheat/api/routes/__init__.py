"""Routes of the REST API, thin: dependencies in, one call, value out."""
