"""What only the legacy API needs: JavaScript's coercions, Express's routing, old ids."""
