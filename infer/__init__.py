"""Deployed inference: templates and anomaly scores from exported ONNX files.

The ground floor of Sideband. Needs numpy, h5py and onnxruntime only, and nothing from the other packages, so the
folder can be copied into another analysis environment as it is.
"""

import os

# Official builds of ONNX Runtime since 1.29 report sessions and names of models to their maker unless told not to.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
