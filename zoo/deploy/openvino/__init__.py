"""Export to OpenVINO, for x86."""
