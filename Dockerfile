# syntax=docker/dockerfile:1
FROM python:3.12-slim AS build
WORKDIR /src
RUN python -m venv /opt/emblem
ENV PATH=/opt/emblem/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements/container.txt requirements/build.txt requirements/
# With the extras postgres, redis and otel.
RUN pip install --require-hashes -r requirements/container.txt
# What builds the package stays out of the environment that is shipped.
RUN python -m venv /opt/build && /opt/build/bin/pip install --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && pip install --no-deps /wheels/emblem-*.whl

FROM python:3.12-slim
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin emblem \
    && install -d -o emblem -g emblem -m 0700 /data
COPY --from=build /opt/emblem /opt/emblem
# HOME is where libraries put caches of their own; all state is in the volume.
ENV PATH=/opt/emblem/bin:$PATH \
    HOME=/data \
    EMBLEM_HOME=/data \
    EMBLEM_HOST=0.0.0.0 \
    EMBLEM_PORT=8080 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER emblem
VOLUME /data
EXPOSE 8080
# The first start fetches the model, so it may take minutes on a slow line.
# Over TLS nobody's name is checked: it asks itself.
HEALTHCHECK --interval=15s --timeout=5s --start-period=5m --retries=3 CMD ["python", "-c", \
    "import os, ssl, urllib.request as r; e = os.environ; s = 's' * bool(e.get('EMBLEM_TLS_CERT')); r.urlopen(f\"http{s}://127.0.0.1:{e['EMBLEM_PORT']}/health\", timeout=4, context=ssl._create_unverified_context() if s else None)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["emblem"]
CMD ["serve"]
