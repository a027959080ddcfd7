"""Deployment: models of this zoo for OpenVINO (x86) and Larq Compute Engine (ARM).

    from zoo.deploy import to_openvino

Importing this imports neither runtime, nor TensorFlow.
"""

from __future__ import annotations

from zoo.deploy.openvino import to_openvino

__all__ = ["to_openvino"]
