"""Layers that only have an effect in training; exports skip them."""

import tensorflow as tf

keras = tf.keras.layers

IDLE = (
    keras.InputLayer,
    keras.Dropout,
    keras.SpatialDropout2D,
    keras.GaussianDropout,
    keras.AlphaDropout,
    keras.GaussianNoise,
    keras.ActivityRegularization,
    keras.RandomFlip,
    keras.RandomRotation,
    keras.RandomTranslation,
    keras.RandomZoom,
    keras.RandomContrast,
    keras.RandomBrightness,
)
