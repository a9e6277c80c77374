"""Turn Keras models into TFLite and ONNX: all that needs TensorFlow, ONNX tools or a quantizer."""
