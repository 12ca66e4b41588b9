"""What every request passes through: authentication, body, rate limits, and the OpenAPI document."""
