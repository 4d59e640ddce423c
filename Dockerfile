# The image of docker-compose.yml and of deploy/helm: migration, worker, fleet host, exporter and Flower. The database is
# the official image. Build with --build-arg VERSION to label it; docker/constraints.txt pins what pip installs.
FROM python:3.13.9-slim-trixie AS build

COPY docker/constraints.txt /constraints.txt
COPY pyproject.toml README.md LICENSE /src/
COPY pgqueue /src/pgqueue
RUN python -m venv /opt/pgqueue \
    && /opt/pgqueue/bin/pip install --no-cache-dir --constraint /constraints.txt '/src[flower,worker]'

FROM python:3.13.9-slim-trixie

ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="pgqueue" \
      org.opencontainers.image.description="SQL statements and Celery tasks queued in PostgreSQL" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"

RUN groupadd --system --gid 10001 pgqueue \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin pgqueue
COPY --from=build /opt/pgqueue /opt/pgqueue
COPY docker/entrypoint.sh /usr/local/bin/pgqueue-entrypoint
ENV PATH=/opt/pgqueue/bin:$PATH PYTHONUNBUFFERED=1
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["pgqueue-entrypoint"]
CMD ["pgqueue", "worker"]
