"""Models in folder form, run without torch: OpenVINO for pictures, numpy or OpenVINO for texts."""
