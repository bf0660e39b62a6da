# A media node: it joins calls and captions them. Build it from the top of the repository:
#
#   docker build -f deploy/docker/node.Dockerfile -t surtitle-node .
#
# For NVIDIA GPUs, some 2 GB more; the driver comes from the host (NVIDIA Container Toolkit):
#
#   docker build -f deploy/docker/node.Dockerfile --build-arg LOCK=cuda -t surtitle-node:cuda .

# --- what is installed: the same steps as `make setup`, from the same lock ------------
FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d AS install
# run, or cuda: with cuBLAS and cuDNN.
ARG LOCK=run
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# Without pip: what runs needs none. The image's own installs into it.
RUN python3 -m venv --without-pip /opt/surtitle
COPY requirements/run.lock requirements/cuda.lock requirements/build.lock requirements/
# The models come with it, as packages: a node needs no other download.
RUN python3 -m pip --python /opt/surtitle/bin/python install --only-binary :all: --require-hashes -r "requirements/${LOCK}.lock"
# The builder has a place of its own, so that it does not end up in the image.
RUN python3 -m venv --without-pip /opt/build \
    && python3 -m pip --python /opt/build/bin/python install --only-binary :all: --require-hashes -r requirements/build.lock
COPY pyproject.toml README.md LICENSE ./
COPY captions captions
COPY media media
COPY signaling signaling
COPY surtitle surtitle
COPY turn turn
# Without the page, which gateways serve.
RUN python3 -m pip --python /opt/build/bin/python wheel --no-deps --no-build-isolation --wheel-dir /opt/wheels . \
    && python3 -m pip --python /opt/surtitle/bin/python install --no-deps /opt/wheels/*.whl
# `base` comes in two halves. Put together here, it need not be where a container starts,
# whose file system is read-only.
RUN /opt/surtitle/bin/python -c "import pathlib, captions.models as m; print(m.locate('base', pathlib.Path('/opt/surtitle/cache/surtitle/models')))"
# What it is made of, with versions and licenses (CycloneDX): docs/supply-chain.md.
COPY requirements/sbom.lock requirements/
RUN python3 -m venv --without-pip /opt/sbom \
    && python3 -m pip --python /opt/sbom/bin/python install --only-binary :all: --no-deps --require-hashes -r requirements/sbom.lock
RUN /opt/sbom/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --output-reproducible --no-validate \
    -o /opt/surtitle/sbom.cdx.json /opt/surtitle

# --- what runs -----------------------------------------------------------------------
FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d
LABEL org.opencontainers.image.title="surtitle-node" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=install /opt/surtitle /opt/surtitle
COPY --chmod=0755 deploy/docker/node-entrypoint.sh /usr/local/bin/node-entrypoint
# Where models from the hub are kept, if one is asked for: a volume, in Compose.
RUN install -d -o 10001 -g 10001 /var/lib/surtitle
# NVIDIA_…: what NVIDIA's container runtime gives the container; without it they mean nothing.
ENV PATH=/opt/surtitle/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    XDG_CACHE_HOME=/opt/surtitle/cache \
    HF_HOME=/var/lib/surtitle/hub \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    SURTITLE_HOST=0.0.0.0 \
    SURTITLE_PORT=8081 \
    SURTITLE_LOG=json
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
# Control, health and metrics. Media is UDP on ports that the system picks: docs/deploying.md.
EXPOSE 8081
# A model takes some seconds to load, one from the hub minutes.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python3", "-SE", "-c", "import os, urllib.request as u; e = os.environ; u.urlopen('http://' + e['SURTITLE_HOST'].replace('0.0.0.0', '127.0.0.1') + ':' + e['SURTITLE_PORT'] + '/health', timeout=4)"]
# It drains on SIGTERM and ends with 0; give it 45 s.
STOPSIGNAL SIGTERM
ENTRYPOINT ["node-entrypoint"]
