"""OpenVINO, for x86."""
