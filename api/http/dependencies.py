"""The types of the parameters that `create_app` provides to routes, by name."""

from litestar.di import NamedDependency

from api.http.upload import Uploads
from api.storage import Storage

InjectedStorage = NamedDependency[Storage]

InjectedUploads = NamedDependency[Uploads]

IdempotencyKey = NamedDependency[str | None]
"""See `read_key`."""
