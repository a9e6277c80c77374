"""The whole of what an app needs: load once, call often. Run it where its two files are.

python examples/embed.py
"""

import numpy as np

import edgekit

model = edgekit.load("fashion.int8.tflite", self_test=True)  # once, when the app starts

for found in model.classify("boot.png", top=3):  # also bytes, a PIL image, an array of pixels
    print(f"{found.score:6.1%}  {found.label}")

image = np.zeros((1, 28, 28, 1), np.float32)  # what the model was trained on
scores = model(image)  # real numbers in and out, whatever the file stores
print(scores.shape, scores.dtype)
