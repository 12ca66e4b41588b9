"""What requests and responses are made of: their base, and the types of their fields."""
