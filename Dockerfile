# Both stages are of one base. A tag can be built anew; `docker buildx imagetools inspect python:3.11.17-slim-bookworm`
# prints the digest to pin it by: --build-arg PYTHON_IMAGE=python:3.11.17-slim-bookworm@sha256:…
ARG PYTHON_IMAGE=python:3.11.17-slim-bookworm

# Builds a virtual environment with the service; nothing of this stage but that environment is kept.
FROM ${PYTHON_IMAGE} AS build

# CPU builds of torch, as its own "Get started" page names the index for "Linux, pip, CPU".
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /build
RUN python -m venv /opt/preheat
ENV PATH=/opt/preheat/bin:$PATH

# Everything but torch is locked with its hashes. torch has others in each index, so its version alone is pinned, and the
# default index would bring a CUDA build several times as large.
COPY constraints.txt requirements.lock ./
RUN pip install --no-deps --only-binary :all: --index-url "$TORCH_INDEX_URL" --constraint constraints.txt torch \
    && if ! grep -q '^cuda.*= None' /opt/preheat/lib/python3*/site-packages/torch/version.py; \
       then echo "a CUDA build of torch: TORCH_INDEX_URL must be an index of CPU builds" >&2; exit 1; fi
RUN pip install --only-binary :all: --require-hashes --requirement requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY service ./service
RUN pip install --no-deps --no-build-isolation . \
    && pip check \
    && pip uninstall --yes pip setuptools \
    && find /opt/preheat/lib -depth \( -path '*/torch/include/*' -o -path '*/torch/share/*' -o -path '*/tests/*' \
       -o -path '*/torch/test/*' -o -path '*/torch/bin/*' ! -name torch_shm_manager \) -delete \
    && python -c 'import preheat.api'

# Runs the service as a user without rights; schedules are kept in the volume /data, and nothing else but /tmp is written.
FROM ${PYTHON_IMAGE}

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Preheat" \
      org.opencontainers.image.description="Learning-rate schedules as a service" \
      org.opencontainers.image.source="https://preheat.example/source" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

RUN useradd --no-log-init --uid 10001 --user-group --home-dir /data --create-home --shell /usr/sbin/nologin preheat
COPY --from=build /opt/preheat /opt/preheat
ENV PATH=/opt/preheat/bin:$PATH \
    MPLCONFIGDIR=/tmp/matplotlib \
    PREHEAT_HOST=0.0.0.0 \
    PREHEAT_PORT=8000 \
    PREHEAT_DATABASE_URL=sqlite:////data/preheat.db

USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000

# Without the proxy that a container may have in its environment.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; service = http.client.HTTPConnection('127.0.0.1', int(os.environ['PREHEAT_PORT']), timeout=2); service.request('GET', '/livez'); sys.exit(service.getresponse().status != 200)"]

CMD ["preheat", "serve"]
