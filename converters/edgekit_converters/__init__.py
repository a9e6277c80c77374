"""Turn Keras models into TFLite and ONNX files: everything that needs TensorFlow, ONNX tools or a quantizer."""
