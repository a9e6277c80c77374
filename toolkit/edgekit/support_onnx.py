"""Which ONNX operators ONNX Runtime has, and since which version of their operator set.

Measured on 2026-11-23 with onnxruntime 1.32.0 from PyPI: the kernels it registers for the CPU
(``get_all_opkernel_def``), and the operators it composes from others (``has_function`` of onnx
1.23.2). ``Name:9`` begins with operator set 9, ``Name:7-9`` ends with 9, a bare name begins with 1.
The newest operator set and file version are those it loads without refusal or warning.

onnxruntime-web runs on the same engine compiled to WebAssembly, "including full ONNX operator
coverage" (README of onnxruntime-web 1.24, read 2026-11-23), so it has the same table. Its WebGPU
and WebGL backends know fewer operators and hand the rest to WebAssembly.
"""

from __future__ import annotations

_STANDARD = """
Abs:6 Acos:7 Acosh:9 Add:7 Affine AffineGrid:20 And:7 ArgMax ArgMin Asin:7 Asinh:9 Atan:7 Atanh:9
Attention:23 AveragePool:7 BatchNormalization:7 Bernoulli:15 BitCast:26 BitShift:11 BitwiseAnd:18
BitwiseNot:18 BitwiseOr:18 BitwiseXor:18 BlackmanWindow:17 Cast:6 CastLike:15
CausalConvWithState:27 Ceil:6 Celu:12 CenterCropPad:18 Clip:6 Col2Im:18 Compress:9 Concat:4
ConcatFromSequence:11 Constant ConstantOfShape:9 Conv ConvInteger:10 ConvTranspose Cos:7 Cosh:9
Crop CumProd:26 CumSum:11 DFT:17 DeformConv:19 DepthToSpace DequantizeLinear:10 Det:11 Div:7
Dropout:7 DynamicQuantizeLinear:11 DynamicSlice Einsum:12 Elu:6 Equal:7 Erf:9 Exp:6 Expand:8
EyeLike:9 Flatten Floor:6 GRU:7 Gather GatherElements:11 GatherND:11 Gelu:20 Gemm:7
GlobalAveragePool GlobalLpPool:2 GlobalMaxPool Greater:7 GreaterOrEqual:12 GridSample:16
GroupNormalization:18 HammingWindow:17 HannWindow:17 HardSigmoid:6 HardSwish:14 Hardmax Identity
If ImageScaler InstanceNormalization:6 IsInf:10 IsNaN:9 LRN LSTM:7 LayerNormalization LeakyRelu:6
Less:7 LessOrEqual:12 LinearAttention:27 Log:6 LogSoftmax Loop LpNormalization LpPool:2 MatMul
MatMulInteger:10 Max:6 MaxPool MaxRoiPool MaxUnpool:9 Mean:6 MeanVarianceNormalization
MelWeightMatrix:17 Min:6 Mish:18 Mod:10 Mul:7 Multinomial:7 Neg:6 NegativeLogLikelihoodLoss:12
NonMaxSuppression:10 NonZero:9 Not OneHot:9 Optional:15 OptionalGetElement:15
OptionalHasElement:15 Or:7 PRelu:7 Pad:2 ParametricSoftplus Pow:7 QLinearConv:10 QLinearMatMul:10
QuantizeLinear:10 RMSNormalization:23 RNN:7 RandomNormal RandomNormalLike RandomUniform
RandomUniformLike Range:11 Reciprocal:6 ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax
ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare RegexFullMatch:20 Relu:6 Reshape
Resize:10 ReverseSequence:10 RoiAlign:10 RotaryEmbedding:23 Round:11 STFT:17 Scale ScaledTanh
Scan:8 Scatter:9-10 ScatterElements:11 ScatterND:11 Selu:6 SequenceAt:11 SequenceConstruct:11
SequenceEmpty:11 SequenceErase:11 SequenceInsert:11 SequenceLength:11 SequenceMap:17 Shape
Shrink:9 Sigmoid:6 Sign:9 SimplifiedLayerNormalization Sin:7 Sinh:9 Size Slice Softmax
SoftmaxCrossEntropyLoss:12 Softplus Softsign SpaceToDepth Split:2 SplitToSequence:11 Sqrt:6
Squeeze StringConcat:20 StringNormalizer:10 StringSplit:20 Sub:7 Sum:6 SwiGLU:28 Swish:24 Tan:7
Tanh:6 TensorScatter:24 TfIdfVectorizer:9 ThresholdedRelu Tile:6 TopK Transpose Trilu:14 Unique:11
Unsqueeze Upsample:7-9 Where:9 Xor:7
"""
_MACHINE_LEARNING = """
ArrayFeatureExtractor Binarizer CastMap CategoryMapper DictVectorizer FeatureVectorizer Imputer
LabelEncoder LinearClassifier LinearRegressor Normalizer OneHotEncoder SVMClassifier SVMRegressor
Scaler TreeEnsemble:5 TreeEnsembleClassifier TreeEnsembleRegressor ZipMap
"""
_MICROSOFT = """
Attention AttnLSTM BeamSearch BiasGelu BifurcationDetector BranchwiseRMSNorm CDist
CausalConvWithState ConvTransposeWithDynamicPads CropAndResize DecoderMaskedMultiHeadAttention
DequantizeLinear DynamicQuantizeLSTM DynamicQuantizeMatMul DynamicTimeWarping
EmbedLayerNormalization EngramGate ExpandDims FastGelu FusedConv FusedGemm FusedMatMul GatedAdd
GatedDeltaNet GatedRMSNorm GatherBlockQuantized GatherND GatherPacked Gelu GreedySearch GridSample
GroupQueryAttention HyperConnectionPostMix HyperConnectionPreMix Inverse LinearAttention
LinearAttentionGate MRotaryEmbedding MatMulBnb4 MatMulFpQ4 MatMulInteger16 MatMulIntegerToFloat
MatMulNBits MaxpoolWithMask MoE MoEGroupRouter MultiHeadAttention MurmurHash3 NGramHashMapping
NGramRepeatBlock NhwcMaxPool Pad QAttention QEmbedLayerNormalization QGemm QLinearAdd
QLinearAveragePool QLinearConcat QLinearConv QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul
QLinearSigmoid QLinearSoftmax QLinearWhere QMoE QuantizeLinear QuickGelu Range RotaryEmbedding
SampleOp Sampling ScaledSiLU SkipLayerNormalization SkipSimplifiedLayerNormalization
SparseAttention SparseToDenseMatMul Tokenizer TransposeMatMul Trilu UnfoldTensor Unique
VarlenCausalConvWithState VarlenNGramHashMapping WhisperBeamSearch WordConvEmbedding
"""
NEWEST_OPSET = 28
NEWEST_IR = 14
_FOREVER = 1 << 30


def _parsed(table: str) -> dict[str, tuple[int, int]]:
    """Operator names with the first and the last operator set version that has them."""
    known: dict[str, tuple[int, int]] = {}
    for entry in table.split():
        name, _, versions = entry.partition(":")
        first, _, last = versions.partition("-")
        known[name] = (int(first or "1"), int(last) if last else _FOREVER)
    return known


OPERATORS: dict[str, dict[str, tuple[int, int]]] = {
    "": _parsed(_STANDARD),
    "ai.onnx.ml": _parsed(_MACHINE_LEARNING),
    "com.microsoft": _parsed(_MICROSOFT),
}
"""By domain, then by name."""
