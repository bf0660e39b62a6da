# A gateway: Socket.IO, HTTP and the page. Build it from the top of the repository:
#
#   docker build -f deploy/docker/gateway.Dockerfile -t surtitle-gateway .

# --- the page: npm is needed for it and nothing else ---------------------------------
FROM node:22.22.2-bookworm-slim@sha256:9f6d5975c7dca860947d3915877f85607946403fc55349f39b4bc3688448bb6e AS page
WORKDIR /src
COPY web/package.json web/package-lock.json web/
COPY web/client/package.json web/client/
RUN npm --prefix web ci --ignore-scripts --no-audit --no-fund --loglevel=error
COPY web web
# Writes /src/signaling/page, and what is in it.
RUN npm --prefix web run --silent build \
    && npm --prefix web sbom --package-lock-only --omit dev --sbom-format cyclonedx --sbom-type application >sbom-page.cdx.json

# --- what is installed: the same steps as `make setup`, from the same kind of lock ----
FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d AS install
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# Without pip: what runs needs none. The image's own installs into it.
RUN python3 -m venv --without-pip /opt/surtitle
# Of run.lock what a gateway imports (requirements/gateway.in): no models.
COPY requirements/gateway.lock requirements/build.lock requirements/
RUN python3 -m pip --python /opt/surtitle/bin/python install --only-binary :all: --require-hashes -r requirements/gateway.lock
# The builder has a place of its own, so that it does not end up in the image.
RUN python3 -m venv --without-pip /opt/build \
    && python3 -m pip --python /opt/build/bin/python install --only-binary :all: --require-hashes -r requirements/build.lock
COPY pyproject.toml README.md LICENSE ./
COPY captions captions
COPY media media
COPY signaling signaling
COPY surtitle surtitle
COPY turn turn
COPY --from=page /src/signaling/page signaling/page
RUN python3 -m pip --python /opt/build/bin/python wheel --no-deps --no-build-isolation --wheel-dir /opt/wheels . \
    && python3 -m pip --python /opt/surtitle/bin/python install --no-deps /opt/wheels/*.whl
# What it is made of, with versions and licenses (CycloneDX): docs/supply-chain.md.
COPY requirements/sbom.lock requirements/
RUN python3 -m venv --without-pip /opt/sbom \
    && python3 -m pip --python /opt/sbom/bin/python install --only-binary :all: --no-deps --require-hashes -r requirements/sbom.lock
RUN /opt/sbom/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --output-reproducible --no-validate \
    -o /opt/surtitle/sbom.cdx.json /opt/surtitle

# --- what runs -----------------------------------------------------------------------
FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d
LABEL org.opencontainers.image.title="surtitle-gateway" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=install /opt/surtitle /opt/surtitle
COPY --from=page /src/sbom-page.cdx.json /opt/surtitle/sbom-page.cdx.json
ENV PATH=/opt/surtitle/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SURTITLE_HOST=0.0.0.0 \
    SURTITLE_PORT=8080 \
    SURTITLE_LOG=json
# A number, so that Kubernetes can see that it is not root. Nothing needs to be written.
USER 10001:10001
EXPOSE 8080
# 503, and so unhealthy, while Redis or the database does not answer. -S spares what it does
# not need of a whole Python.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python3", "-SE", "-c", "import os, urllib.request as u; e = os.environ; u.urlopen('http://' + e['SURTITLE_HOST'].replace('0.0.0.0', '127.0.0.1') + ':' + e['SURTITLE_PORT'] + '/health', timeout=4)"]
# It drains on SIGTERM and ends with 0; give it 40 s.
STOPSIGNAL SIGTERM
ENTRYPOINT ["surtitle", "gateway"]
