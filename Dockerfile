# syntax=docker/dockerfile:1

# Builds a virtual environment with the service; nothing of this stage but that environment is kept.
FROM python:3.11-slim AS build

# An index with CPU builds of torch, as torch's own "Get started" page names it for "Linux, pip, CPU". Without it the
# default index may bring a CUDA build several times as large, and the check below refuses that.
ARG PIP_EXTRA_INDEX_URL=""

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /build
RUN python -m venv /opt/preheat
ENV PATH=/opt/preheat/bin:$PATH

COPY constraints.txt ./
RUN pip install --constraint constraints.txt torch \
    && python -c 'import sys, torch; sys.exit(torch.version.cuda and "a CUDA build: pass PIP_EXTRA_INDEX_URL")'

COPY pyproject.toml README.md LICENSE ./
COPY service ./service
RUN pip install --constraint constraints.txt '.[postgresql]' && pip uninstall --yes pip setuptools

# Runs the service as a user without rights; schedules are kept in the volume /data.
FROM python:3.11-slim

RUN useradd --system --uid 10001 --home-dir /data --create-home preheat
COPY --from=build /opt/preheat /opt/preheat
ENV PATH=/opt/preheat/bin:$PATH \
    MPLCONFIGDIR=/tmp/matplotlib \
    PREHEAT_HOST=0.0.0.0 \
    PREHEAT_PORT=8000 \
    PREHEAT_DATABASE_URL=sqlite:////data/preheat.db

USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8000

HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"PREHEAT_PORT\"]}/livez', timeout=2)"]

CMD ["preheat", "serve"]
