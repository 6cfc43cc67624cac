# One image a stage, on shared layers. Every image carries Snakemake and the whole source, and runs the rules of its own
# stage; the packages tell them apart: torch where models are fitted and exported, ONNX Runtime where files are made and
# run, and nothing but that in `infer`.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS grid
ENV PATH=/opt/venv/bin:$PATH PIP_CACHE_DIR=/var/cache/pip PIP_CONSTRAINT=/sideband/constraints.txt
RUN python3 -m venv /opt/venv
WORKDIR /sideband
COPY pyproject.toml constraints.txt ./
# Named in pyproject.toml; their text would only spoil the layers below.
RUN touch README.md LICENSE
RUN --mount=type=cache,target=/var/cache/pip pip install --quiet '.[grid]'
# Whoever runs it has neither a name nor a home here. The source lies in /sideband, the project being worked on in
# /work, and modules of the same names in the latter are not looked at.
ENV HOME=/tmp USER=sideband PYTHONPATH=/sideband PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1 MLFLOW_DISABLE_TELEMETRY=true
ENTRYPOINT ["/bin/sh", "/sideband/mlflow/entrypoint.sh"]

FROM grid AS infer-packages
ARG DEVICE=cpu
RUN --mount=type=cache,target=/var/cache/pip \
    if [ "$DEVICE" = cuda ]; then pip install --quiet '.[infer-gpu]'; \
    else pip install --quiet '.[infer]'; fi
# In root's home: what libraries leave in /tmp as root, nobody else could write to.
RUN HOME=/root python -c "import sys, onnxruntime; found = 'CUDAExecutionProvider' in onnxruntime.get_available_providers(); \
    sys.exit('this ONNX Runtime is not built for $DEVICE' if found != ('$DEVICE' == 'cuda') else 0)"

FROM grid AS tracking-packages
RUN --mount=type=cache,target=/var/cache/pip pip install --quiet '.[tracking]'

FROM tracking-packages AS benchmark-packages
RUN --mount=type=cache,target=/var/cache/pip pip install --quiet '.[benchmark]'

FROM benchmark-packages AS train-packages
ARG DEVICE=cpu
# Linux's default torch brings CUDA; the CPU build lies at PyTorch's own index, from which nothing else is taken.
RUN --mount=type=cache,target=/var/cache/pip \
    if [ "$DEVICE" = cpu ]; then \
        pip install --quiet --no-deps --retries 1 --extra-index-url https://download.pytorch.org/whl/cpu \
            "$(sed -n 's/.*"\(torch==[0-9.]*\)".*/\1/p' pyproject.toml)+cpu"; \
    fi && pip install --quiet '.[train]'
# A wheel at hand may outrank the build that was asked for.
RUN HOME=/root python -c "import sys, torch; found = 'cuda' if torch.version.cuda else 'cpu'; \
    sys.exit(f'torch {torch.__version__} is a build for {found}, not for $DEVICE' if found != '$DEVICE' else 0)"

FROM train-packages AS export-packages
ARG DEVICE=cpu
RUN --mount=type=cache,target=/var/cache/pip \
    if [ "$DEVICE" = cuda ]; then pip install --quiet '.[export,infer-gpu]'; \
    else pip install --quiet '.[export,infer]'; fi

FROM tracking-packages AS mlflow
COPY mlflow mlflow
USER 1000:1000
CMD ["/bin/sh", "/sideband/mlflow/server.sh"]

FROM benchmark-packages AS benchmark
COPY . .
USER 1000:1000

FROM infer-packages AS infer
COPY . .
USER 1000:1000

FROM train-packages AS train
COPY . .
USER 1000:1000

FROM export-packages AS export
COPY . .
USER 1000:1000
