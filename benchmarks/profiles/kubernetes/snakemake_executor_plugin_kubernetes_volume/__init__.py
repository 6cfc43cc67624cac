"""Snakemake's executor for Kubernetes, for pods that share a volume: the executor `kubernetes-volume`.

Snakemake's own takes pods to have no common files, and copies what rules declare. Our steps also keep checkpoints and
journals beside their results, so every pod mounts one volume where the first process has the folder of runs.
"""

import dataclasses
import shlex

from snakemake_executor_plugin_kubernetes import Executor as Pods
from snakemake_executor_plugin_kubernetes import ExecutorSettings as ExecutorSettings
from snakemake_executor_plugin_kubernetes import common_settings as apart
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

common_settings = dataclasses.replace(
    apart, implies_no_shared_fs=False, job_deploy_sources=False, auto_deploy_default_storage_provider=False
)


class Executor(Pods):  # type: ignore[misc] # Snakemake's has no types
    """Starts each job in the suite's folder, which a pod of its own would not know."""

    def get_job_exec_prefix(self, job: JobExecutorInterface) -> str:
        """What a pod does first."""
        return f"cd {shlex.quote(self.workflow.workdir_init)}"
