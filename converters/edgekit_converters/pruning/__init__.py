"""Make trained models smaller and faster, by what they can do without.

One call, from the request to the verdict, is `prune`; `prune_worker` serves it in a child process.

    trace, rules     which numbers of a model belong to which channel
    channels         which channels go, and the model without them
    zeros            weights that become zero, or alike, and stay so
    training, qat    fine-tuning, also with numbers rounded as in int8
    keras2           the same by tensorflow-model-optimization
    translation      Keras 2 models as Keras 3 models, to cut channels out of them
    verdict          files of both models side by side
"""
