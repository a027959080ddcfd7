"""The classes and functions that a saved model may name. The lists are closed.

Additions of later Keras versions are refused until they are listed here. We leave out Lambda and
layers that hold operations or methods by name, because these may run code; and StringLookup,
TextVectorization and IntegerLookup, because they read files. TFOpLambda and SlicingOpLambda are
layers of operators such as `x + y`; OPERATIONS lists the functions that they may call.
"""

from __future__ import annotations

import re

_NETWORKS = """
Functional Model Sequential Policy
"""
_LAYERS = """
Activation ActivityRegularization Add AdditiveAttention AlphaDropout Attention Average
AveragePooling1D AveragePooling2D AveragePooling3D BatchNormalization Bidirectional CategoryEncoding
CenterCrop Concatenate Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose
ConvLSTM1D ConvLSTM2D ConvLSTM3D Cropping1D Cropping2D Cropping3D Dense DepthwiseConv1D
DepthwiseConv2D Dot Dropout ELU EinsumDense Embedding Flatten GRU GRUCell GaussianDropout
GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D
GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization Identity InputLayer LSTM
LSTMCell LayerNormalization LeakyReLU LocallyConnected1D LocallyConnected2D Masking MaxPooling1D
MaxPooling2D MaxPooling3D Maximum Minimum MultiHeadAttention Multiply Normalization PReLU Permute
RNN RandomBrightness RandomContrast RandomCrop RandomFlip RandomHeight RandomRotation
RandomTranslation RandomWidth RandomZoom ReLU RepeatVector Rescaling Reshape Resizing
SeparableConv1D SeparableConv2D SimpleRNN SimpleRNNCell Softmax SpatialDropout1D SpatialDropout2D
SpatialDropout3D SpectralNormalization StackedRNNCells Subtract SyncBatchNormalization
ThresholdedReLU TimeDistributed UnitNormalization UpSampling1D UpSampling2D UpSampling3D
ZeroPadding1D ZeroPadding2D ZeroPadding3D
"""
_VALUES = """
Constant GlorotNormal GlorotUniform HeNormal HeUniform LecunNormal LecunUniform Ones Orthogonal
RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros L1 L1L2 L2 OrthogonalRegularizer
MaxNorm MinMaxNorm NonNeg RadialConstraint UnitNorm
"""
_TRAINING = """
Adadelta Adafactor Adagrad Adam AdamW Adamax Ftrl Lion LossScaleOptimizer Nadam RMSprop SGD
CosineDecay CosineDecayRestarts ExponentialDecay InverseTimeDecay PiecewiseConstantDecay
PolynomialDecay BinaryCrossentropy BinaryFocalCrossentropy CategoricalCrossentropy
CategoricalFocalCrossentropy CategoricalHinge CosineSimilarity Hinge Huber KLDivergence LogCosh
MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredError MeanSquaredLogarithmicError Poisson
SparseCategoricalCrossentropy SquaredHinge AUC Accuracy BinaryAccuracy CategoricalAccuracy F1Score
FBetaScore FalseNegatives FalsePositives LogCoshError Mean MeanMetricWrapper Precision Recall
RootMeanSquaredError SparseCategoricalAccuracy SparseTopKCategoricalAccuracy Sum
TopKCategoricalAccuracy TrueNegatives TruePositives
"""
_OPERATORS = "TFOpLambda SlicingOpLambda"
_LARQ = """
QuantConv1D QuantConv2D QuantConv2DTranspose QuantConv3D QuantConv3DTranspose QuantDense
QuantDepthwiseConv2D QuantLocallyConnected1D QuantLocallyConnected2D QuantSeparableConv1D
QuantSeparableConv2D ApproxSign DoReFa MagnitudeAwareSign NoOp SteHeaviside SteSign SteTern
SwishSign WeightClip weight_clip FlipRatio Bop CaseOptimizer
"""
_LARQ_ZOO = "BinaryDenseNet"
_ZOO = """
SymmetricConv2D SymmetricMaxPool2D BatchNorm LeakyClip LearnableShift LearnedScale RPReLU
SubsamplePad ApproximateSign EDESign ScaledSign SelfDistributionSign StraightThroughSign
"""
_KERAS_FUNCTIONS = """
elu exponential gelu hard_sigmoid linear mish relu relu6 selu sigmoid softmax softplus softsign
swish silu tanh leaky_relu log_softmax binary_crossentropy categorical_crossentropy
categorical_hinge cosine_similarity hinge huber kl_divergence log_cosh mean_absolute_error
mean_absolute_percentage_error mean_squared_error mean_squared_logarithmic_error poisson
sparse_categorical_crossentropy squared_hinge binary_accuracy categorical_accuracy
sparse_categorical_accuracy top_k_categorical_accuracy sparse_top_k_categorical_accuracy
"""
_LARQ_FUNCTIONS = """
approx_sign dorefa_quantizer hard_tanh leaky_tanh magnitude_aware_sign
magnitude_aware_sign_unclipped ste_heaviside ste_sign ste_tern swish_sign blurpool_initializer
clip_by_value_activation xnor_weight_scale
"""

KERAS = frozenset(" ".join((_NETWORKS, _LAYERS, _OPERATORS, _VALUES, _TRAINING)).split())
LARQ = frozenset(f"{_LARQ} {_LARQ_ZOO}".split())
ZOO = frozenset(_ZOO.split())
# Layers of Keras that are known and refused.
REFUSED = frozenset(("Lambda", "StringLookup", "TextVectorization", "IntegerLookup", "TFSMLayer"))
FUNCTIONS = frozenset(f"{_KERAS_FUNCTIONS} {_LARQ_FUNCTIONS}".split())
# Classes that "activation" may name, as a bare word.
ACTIVATIONS = frozenset(("ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax", "ThresholdedReLU"))
# TensorFlow's functions that an operator may call. All in math and nn only compute with numbers.
OPERATIONS = re.compile(
    r"(?:(?:__operators__|math|nn)\.\w+|cast|concat|expand_dims|clip_by_value|identity|pad|reshape"
    r"|reverse|squeeze|stack|tile|transpose)"
)
MODULES = re.compile(r"(?:tf_)?keras(?:\.\w+)*|larq(?:\.\w+)*|larq_zoo(?:\.\w+)*|zoo(?:\.\w+)*")
