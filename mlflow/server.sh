#!/bin/sh
# The tracking server. Its store lies in the shared runs folder; files go through the server, so that the other
# containers and the browser need no access to it. The workers for GenAI jobs, on by default, would take 1.5 GB.
set -eu
store=/work/runs/mlflow/server
mkdir -p "$store"
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
exec mlflow server --host 0.0.0.0 --port 5000 --workers 1 --uvicorn-opts '--log-level warning' \
    --backend-store-uri "sqlite:///$store/mlflow.db" \
    --artifacts-destination "$store/artifacts" \
    --allowed-hosts 'mlflow:*,localhost:*,127.0.0.1:*'
