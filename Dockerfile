# The image of docker-compose.yml's migration, worker and Flower. The database is the official image.
FROM python:3.13-slim

RUN useradd --system --uid 10001 --no-create-home pgqueue

COPY pyproject.toml README.md LICENSE /src/
COPY pgqueue /src/pgqueue
RUN pip install --no-cache-dir '/src[flower,worker]' && rm -r /src

COPY docker/entrypoint.sh /usr/local/bin/pgqueue-entrypoint
USER pgqueue
ENTRYPOINT ["pgqueue-entrypoint"]
CMD ["pgqueue", "worker"]
