//! Keeps ONNX models by their content and runs them.
