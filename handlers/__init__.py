"""The handlers that come with heavylift. Each module without a leading underscore is loaded by a worker."""
