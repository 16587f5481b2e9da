"""Models in folder form, run without torch: OpenVINO for pictures, numpy or OpenVINO for texts."""

import sys

# Importing OpenVINO sends a message to a statistics server, from a process that it forks in a thread, and writes files
# into the home folder. Nothing of photoseek's leaves this machine; and a fork while another thread multiplies matrices
# stops OpenBLAS's threads, so that the product never ends. Without this package, OpenVINO sends nothing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
