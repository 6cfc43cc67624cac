"""What is compared and how: events, tasks, suites, metrics, figures, report. No torch, no onnx."""
