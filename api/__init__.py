"""The portal's API on Postgres."""
