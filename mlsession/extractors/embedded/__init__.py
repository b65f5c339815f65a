"""The extractors that need no download: EfficientNet-Lite, as a plan, in torch and in OpenVINO."""
