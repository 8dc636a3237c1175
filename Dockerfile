# The worker and every other command of streamscore. Made in two steps, so that no compiler and no cache is left.
FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml requirements.txt README.md LICENSE ./
COPY schemas schemas
COPY models models
COPY streams streams
# An environment of its own: another package called `models` would overwrite ours. The constraints are the tested ones.
RUN python -m venv /opt/streamscore \
    && /opt/streamscore/bin/pip install --no-cache-dir --constraint requirements.txt . confluent-kafka

FROM python:3.11-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin streamscore \
    && install --directory --owner 10001 /data
COPY --from=build /opt/streamscore /opt/streamscore
# River's clusters depend on the hash seed: models can be built again only with a fixed one.
ENV PATH=/opt/streamscore/bin:$PATH \
    PYTHONHASHSEED=0 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    STREAMSCORE_DATA=/data
WORKDIR /data
USER 10001
EXPOSE 9108
ENTRYPOINT ["streamscore"]
CMD ["worker"]
