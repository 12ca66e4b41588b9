# The server, as docs/containers.md says. BASE is any Debian with Python 3.11 or newer.
ARG BASE=python:3.13-slim-bookworm

FROM $BASE AS build
WORKDIR /build
RUN python3 -m venv /uv && /uv/bin/pip install --no-cache-dir uv==0.13.9
ENV UV_PROJECT_ENVIRONMENT=/opt/portal UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never
# a layer of their own, which changes with the lock file only
COPY pyproject.toml uv.lock ./
RUN /uv/bin/uv sync --frozen --no-cache --no-dev --extra pdf --extra otel --no-install-project
COPY . .
RUN /uv/bin/uv sync --frozen --no-cache --no-dev --extra pdf --extra otel --no-editable

FROM $BASE
# PostgreSQL, which runs here where there is no DATABASE_URL, wants a user with a name
RUN useradd --uid 10001 --no-create-home --home-dir /data portal && install -d -o portal -g portal -m 700 /data
COPY --from=build /opt/portal /opt/portal
ENV PATH=/opt/portal/bin:$PATH HOST=0.0.0.0 DATA_DIR=/data
USER 10001:10001
WORKDIR /
VOLUME /data
EXPOSE 8000
HEALTHCHECK --start-period=60s --interval=10s --timeout=5s \
  CMD ["python3", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ.get('PORT') or 8000}/health/live\", timeout=4)"]
ENTRYPOINT ["portal"]
CMD ["run"]
