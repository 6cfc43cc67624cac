"""Deployed inference: templates and anomaly scores from exported ONNX files.

The ground floor of Sideband. Needs numpy, h5py and onnxruntime only, and nothing from the other packages, so the
folder can be copied into another analysis environment as it is.
"""
